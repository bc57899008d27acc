"""A run that starts from another run: it takes only the weights, and begins at step 0 with a new optimiser."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import jax
from flax import nnx

from smoothjax import nn, training, weights

from .comparison import C, Result
from .config import RunConfig, flat
from .given import unread
from .learner import S, T
from .network import M, Network, Tree, Trees
from .plain import to_dict
from .run_folder import load_config, with_parent
from .study import Study
from .trained import read_run

Place: TypeAlias = tuple[Hashable, ...]
"""The path of a parameter or a statistic in a network."""

# Options that a fork may change, or that change no parameter: precision, memory, frozen or trained statistics.
_EITHER = {"model.remat", "model.precision", "model.batch_norm", "model.order", "model.align"}
_LISTED = 5


@dataclass(frozen=True)
class _Skeleton:
    """A network without its values: shapes, and the kinds of its smoothing parameters, by place."""

    shapes: Mapping[Place, tuple[int, ...]]
    smoothers: Mapping[Place, nn.SmootherKind]


@dataclass(frozen=True)
class Plan:
    """The parts that a network takes from a parent; prints as a few lines.

    Attributes:
      parent: folder of the parent.
      taken: places that get the parent's values.
      new_outputs: places whose outputs have another meaning or shape.
      new_smoothers: smoothing parameters that the parent lacks, which start as the identity.
      new_layers: other layers that the method adds.
      left_out: places of the parent that this network does not have.
      notes: options of the network that differ without a change of shapes.
    """

    parent: Path
    taken: tuple[Place, ...]
    new_outputs: tuple[Place, ...]
    new_smoothers: tuple[Place, ...]
    new_layers: tuple[Place, ...]
    left_out: tuple[Place, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        groups = {
            "new, because the outputs differ": self.new_outputs,
            "new, starting as the identity": self.new_smoothers,
            "new, of this method": self.new_layers,
            "left out of the run": self.left_out,
        }
        total = len(self.taken) + len(self.new_outputs) + len(self.new_smoothers) + len(self.new_layers)
        lines = [f"weights of the run {self.parent}: {len(self.taken)} of {total} arrays"]
        lines += [f"{title}: {_names(places)}" for title, places in groups.items() if places]
        lines += [f"other than there: {'; '.join(self.notes)}"] * bool(self.notes)
        return "\n".join(lines)


def describe(study: Study[C, T, S, M], config: C) -> Result:
    """The run folder's record of data and initial weights, see `Study.describe_data`; a parent is known by its arrays.

    Raises:
      FileNotFoundError: the parent has no checkpoint, or no scored one if the best is asked for.
    """
    found, parent = study.describe_data(config), config.init.parent
    if parent is None:
        return found
    folder, metric = parent / "checkpoints", study.ranked_by(load_config(parent, study.config))
    with training.Checkpoints(folder, metric=metric, mode=study.mode, read_only=True) as checkpoints:
        if not checkpoints.steps:
            raise FileNotFoundError(f"{parent} holds no checkpoint yet: let it train until the first one")
        step = checkpoints.steps[-1] if config.init.take == "latest" else checkpoints.best_step
        if step is None:
            raise FileNotFoundError(
                f"{parent} holds no checkpoint that was scored on the whole validation split: add --init.take latest"
            )
        return {**found, "weights": {"name": str(parent), "step": step, "sha256": checkpoints.digest(step)}}


def check_forks(study: Study[C, T, S, M], config: C, methods: Sequence[str]) -> None:
    """Refuses a comparison if the parent does not fit all of its runs, before the first is trained."""
    parent = config.init.parent
    if parent is None:
        return
    target = study.target(config, study.open_split(config, study.training_split(config)))
    for method in methods:
        plan_fork(study, config.with_method(method), target, parent)


def forked(study: Study[C, T, S, M], config: C, target: T, network: Network[M]) -> Network[M]:
    """The network with the weights of the run that the configuration starts from; prints the parts taken and left out.

    Raises:
      FileNotFoundError: that run is missing, or has no checkpoint.
      ValueError: it is of another network; the message has the shapes that differ.
    """
    parent = config.init.parent
    if parent is None:
        return network
    if config != with_parent(config):
        raise ValueError(f"the configuration must take over what {parent} passes on: call with_parent on it first")
    plan = plan_fork(study, config, target, parent)
    trained = read_run(study, parent, config.init.take)
    values = _flat(jax.device_get(Trees.of(trained.state)))
    training.say(f"{plan}\nstep 0 with a new optimizer; there: step {trained.step:,}, {trained.config.method}")
    taken = set(plan.taken)

    def choose(tree: Tree) -> Tree:
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: jax.numpy.asarray(values[_place(path)]) if _place(path) in taken else leaf, tree
        )

    return replace(network, params=choose(network.params), model_state=choose(network.model_state))


def plan_fork(study: Study[C, T, S, M], config: C, target: T, parent: Path) -> Plan:
    """Plans what a run takes from another run, from their configurations and the records of their data.

    Raises:
      FileNotFoundError: there is no such run.
      ValueError: it is of another network; the message has the shapes that differ.
    """
    before = load_config(parent, study.config)
    learnt = study.read_target(before, parent)
    here, there = _skeleton(study, config, target), _skeleton(study, before, learnt)
    exchanged = study.method_key(config) != study.method_key(before)
    methods = [*study.method_layers(config), *study.method_layers(before)]
    outputs = [*study.output_layers(config), *study.output_layers(before)]

    def swapped(place: Place) -> bool:
        return exchanged and _below(place, methods)

    def output_shapes(skeleton: _Skeleton) -> dict[Place, tuple[int, ...]]:
        return {p: shape for p, shape in skeleton.shapes.items() if _below(p, outputs) and not swapped(p)}

    renewed = not study.same_target(target, learnt) or output_shapes(here) != output_shapes(there)

    def kind(place: Place) -> str:
        same = here.shapes.get(place) == there.shapes.get(place)
        if place in here.smoothers or place in there.smoothers:
            return "taken" if same and here.smoothers.get(place) == there.smoothers.get(place) else "smoother"
        if swapped(place):
            return "method"
        if renewed and _below(place, outputs):
            return "output"
        return "taken" if same else "differing"

    kinds = {place: kind(place) for place in dict.fromkeys((*here.shapes, *there.shapes))}
    options = _other_options(config, before)
    notes = [f"--{name} {there} there, {value} here" for name, (there, value) in options.items()]
    if differing := [place for place, found in kinds.items() if found == "differing"]:
        lines = [f"{_dotted(p)} {_shape(there, p)} there, {_shape(here, p)} here" for p in differing[:_LISTED]]
        lines += [f"and {len(differing) - _LISTED} more"] * (len(differing) > _LISTED)
        lines += notes
        typed = " ".join(_typed(name, there) for name, (there, _) in options.items())
        remedy = f"give the options of that run, {typed}" if options else "name a run of this network"
        raise ValueError(
            f"--init.checkpoint {parent} is a run of another network; its arrays differ in\n  "
            + "\n  ".join(lines)
            + f"\n{remedy}, or leave --init.source and --init.checkpoint out"
        )

    def places(*wanted: str, of: _Skeleton = here) -> tuple[Place, ...]:
        return tuple(place for place in of.shapes if kinds[place] in wanted)

    return Plan(
        parent,
        taken=places("taken"),
        new_outputs=places("output"),
        new_smoothers=places("smoother"),
        new_layers=places("method"),
        left_out=places("output", "smoother", "method", of=there),
        notes=tuple(notes),
    )


def _skeleton(study: Study[C, T, S, M], config: C, target: T) -> _Skeleton:
    model = nnx.eval_shape(lambda: study.make_model(config, target, nn.traced_rngs(0)))
    shapes: dict[Place, tuple[int, ...]] = {path: leaf.shape for path, leaf in nnx.to_flat_state(nnx.state(model))}
    kinds: dict[Place, nn.SmootherKind] = {path: smoother.kind for path, smoother in nn.smoothers(model).items()}
    return _Skeleton(shapes, kinds)


def _other_options(config: RunConfig, before: RunConfig) -> dict[str, tuple[object, object]]:
    """Options of the network and its inputs that differ, except those that a fork may change: values there and here."""
    here, there = flat(to_dict(config)), flat(to_dict(before))
    free = _EITHER | {config.compared} | config.set_by_method | before.set_by_method
    free |= unread(before, before.network_read_by, by="model.network")
    return {
        name.replace("_", "-"): (there.get(name), value)
        for name, value in here.items()
        if (name.startswith("model.") or name in ("data.channels", "data.scale"))
        and name not in free
        and there.get(name) != value
    }


def _typed(option: str, value: object) -> str:
    """An option with its value, as a command line has it."""
    section, _, name = option.rpartition(".")
    if isinstance(value, bool):
        return f"--{section}.{'' if value else 'no-'}{name}"
    values = value if isinstance(value, list | tuple) else [value]
    return " ".join([f"--{option}", *map(str, values)])


def _flat(trees: Trees) -> dict[Place, jax.Array]:
    return {_place(path): leaf for tree in trees for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _place(path: Sequence[Any]) -> Place:
    """The keys of a path in a nested dict."""
    return tuple(key.key for key in path)


def _below(place: Place, paths: Sequence[Place]) -> bool:
    return any(place[: len(path)] == path for path in paths)


def _shape(skeleton: _Skeleton, place: Place) -> str:
    return str(list(skeleton.shapes[place])) if place in skeleton.shapes else "missing"


def _dotted(place: Place) -> str:
    return ".".join(map(str, place))


def _names(places: Sequence[Place]) -> str:
    return weights.grouped_names([_dotted(place) for place in places])
