"""From a configuration to network, loss and optimiser, and from runs to table and figures."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import jax
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh

from smoothjax import data, models, training

from ..common.config import fill_devices
from ..common.network import Network, build_network, compute_dtype, model_state_of
from ..common.report import align, median_seconds, spread
from ..common.study import Comparison, Curve, Evaluation, Job, Page, Result, Study
from ..common.train import read_examples
from .config import Config
from .figures import draw_fields
from .gridding import measure, smoothing_parameters
from .scores import Scorer, sums
from .tasks import CopyTask, Sizes, Task, describe_text, open_task

_UNIT = "bits (adding: squared error)"


class Sequences(Study[Config]):
    """Causal networks over time that differ in the smoothing of their dilated convolutions."""

    config: ClassVar[type[Config]] = Config
    labels: ClassVar[Mapping[str, str]] = {
        "none": "baseline",
        "group_interaction": "group interaction",
        "ss_conv": "SS convolution",
    }
    metric: ClassVar[str] = "score"
    mode: ClassVar[Literal["max", "min"]] = "min"
    curves: ClassVar[tuple[Curve, ...]] = (
        Curve("train", "score", "Training", _UNIT),
        Curve("val", "score", "Validation", _UNIT),
    )

    def title(self, config: Config) -> str:
        """The heading of a comparison."""
        return f"Causal dilated convolutions: {open_task(config.data).title}"

    def describe_data(self, config: Config) -> Mapping[str, Any]:
        """What a text is: `--data.file` says no more than where."""
        return describe_text(config.data.file) if config.data.name == "text" and config.data.file is not None else {}

    def build_network(self, config: Config, sizes: Sizes) -> Network:
        """Initialises the network of a configuration."""
        model = config.model
        return build_network(
            lambda rngs: models.TemporalConvNet(
                sizes.out_features,
                vocabulary=sizes.vocabulary,
                in_features=sizes.in_features,
                width=model.width,
                depth=model.depth,
                kernel_size=model.kernel_size,
                smoothing=model.smoothing,
                dtype=compute_dtype(model.precision),
                rngs=rngs,
            ),
            config.seed,
        )

    def make_loss(self, task: Task, network: Network) -> training.LossFn:
        """Cross-entropy in nats, or squared error, of the scored steps."""

        def loss_fn(params: Any, model_state: Any, batch: Any) -> training.LossOutput:
            model = nnx.merge(network.train_graph, params, model_state)
            found = sums(model(batch["input"]), batch, real=task.real)
            loss, steps = found.pop("loss"), found.pop("steps")
            return training.LossOutput(loss, steps, model_state_of(model), found)

        return loss_fn

    def make_optimizer(self, config: Config) -> tuple[optax.GradientTransformation, optax.Schedule]:
        """Adam, with a rate that falls to 0, of a gradient clipped to norm 1."""
        schedule = optax.cosine_decay_schedule(config.optim.learning_rate, config.steps)
        return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule)), schedule

    def prepare(self, config: Config, mesh: Mesh, *, progress: bool) -> Job:
        """Opens the task and builds the network."""
        del progress
        task = open_task(config.data)
        validation = task.split("val")
        iterator = data.train_iterator(
            range(_POSITIONS),
            augmentation=_Draw(task),
            batch_size=config.batch_size,
            seed=config.seed,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
        network = self.build_network(config, task)
        _tell_what_is_out_of_sight(network, task)
        optimizer, schedule = self.make_optimizer(config)
        scorer = Scorer(task, network, fill_devices(config, mesh.size).eval_batch_size, mesh)

        def evaluate(state: training.TrainState, limit: int | None) -> Evaluation:
            return Evaluation(scorer.score(state, validation, limit))

        def summarize(state: training.TrainState, last: Evaluation) -> tuple[Result, Mapping[str, np.ndarray]]:
            del last
            return describe(network, state, task, "val")

        loss_fn = self.make_loss(task, network)
        return Job(iterator, network, loss_fn, optimizer, schedule, evaluate, summarize)

    def outcome(self, result: Result) -> str:
        """A line about a trained run."""
        trivial = result["trivial"]
        return (
            f"{result['val']['score']:.4f} {result['unit']} ({trivial['name']}: {trivial['score']:.4f}), gridding of "
            f"the block of rate {result['gridding_rate']}: {result['gridding']:.3f}"
        )

    def report(self, comparison: Comparison[Config]) -> Page:
        """Mean over seeds, and spread where there are several; the receptive fields of the last output."""
        first = next(iter(comparison.results.values()))[0]
        accurate = "accuracy" in first["val"]
        rows = []
        for method, runs in comparison.results.items():
            rows.append(
                [
                    comparison.labels[method],
                    spread([run["val"]["score"] for run in runs], 4),
                    *([spread([100 * run["val"]["accuracy"] for run in runs], 1)] if accurate else []),
                    f"{runs[0]['smoothing_parameters']:,}",
                    spread([run["gridding"] for run in runs], 3),
                    spread([run["gridding_network"] for run in runs], 3),
                    spread([run["half_of_field"] for run in runs], 0),
                    median_seconds(runs),
                ]
            )
        trivial = first["trivial"]
        accuracy = [f"{100 * trivial['accuracy']:.1f}"] if accurate else []
        rows.append([trivial["name"], f"{trivial['score']:.4f}", *accuracy, *"-----"])
        header = ["method", first["unit"], *(["accuracy %"] if accurate else []), "extra parameters"]
        header += ["gridding, last block", "gridding, network", "half of ERF, steps", "s / step"]
        return Page(align(header, rows), self._setting(comparison.config, first), figures=self._draw(comparison, first))

    def _setting(self, config: Config, result: Result) -> str:
        rate = result["gridding_rate"]
        return f"""{open_task(config.data).title.capitalize()}: {result["sequences"]} validation sequences of
{result["steps_per_sequence"]} steps, after {config.steps:,} steps of {config.batch_size} sequences. Rates 1 ..
{2 ** (config.model.depth - 1)}, {config.model.kernel_size} taps, {config.model.width} channels. Gridding: phase
imbalance at rate {rate} (`smoothjax.analysis.phase_imbalance`) of the effective receptive field, 1 where all of it lies
on one of the {rate} phases, 0 where it is spread evenly; of the block of rate {rate} (skip connection included, from
its input, a mean over outputs of all phases), and of the last output of the whole network, which also shows where the
task has it look. Half of ERF: the fewest steps that hold half of the latter. The masked half of group interactions is
not counted as parameters."""

    def _draw(self, comparison: Comparison[Config], first: Result) -> Mapping[str, str]:
        seed = comparison.seeds[0]
        fields = {
            comparison.labels[method]: read_examples(comparison.folder(method, seed)) for method in comparison.results
        }
        title = f"{comparison.title}, seed {seed}"
        draw_fields(fields, first["gridding_rate"], comparison.out / "erf.png", title=title)
        return {"erf.png": "What the last output sees"}


# Of an endless stream: an example depends on its position there, and nothing is stored.
_POSITIONS = 2**16


@dataclasses.dataclass(frozen=True)
class _Draw:
    """Draws a training example, for `data.train_iterator`."""

    task: Task

    def __call__(self, record: int, rng: np.random.Generator, /) -> dict[str, np.ndarray]:
        del record
        return self.task.draw(rng)


def _tell_what_is_out_of_sight(network: Network, task: Task) -> None:
    """Whoever asks for it may train in vain, but knows."""
    seen = nnx.merge(network.eval_graph, network.params, network.model_state).receptive_field
    if isinstance(task, CopyTask) and seen <= task.lag:
        training.say(
            f"an output sees {seen} steps, and what it is to copy came {task.lag} steps before: take a larger "
            "--model.depth, or a smaller --data.delay"
        )


def describe(
    network: Network, state: training.TrainState, task: Task, split: str
) -> tuple[Result, Mapping[str, np.ndarray]]:
    """What a network's score is compared with, its gridding on a split, and the receptive fields behind it."""
    examples = task.split(split)
    found = measure(network, state, examples)
    model = nnx.merge(network.eval_graph, network.params, network.model_state)
    results = {
        "unit": task.unit,
        "trivial": {k: v for k, v in dataclasses.asdict(task.trivial).items() if v is not None},
        "sequences": len(examples),
        "steps_per_sequence": task.length,
        "smoothing_parameters": smoothing_parameters(model),
        "gridding_rate": found.rate,
        "gridding": found.block,
        "gridding_network": found.network,
        "half_of_field": found.half,
    }
    return results, found.fields


STUDY = Sequences()
