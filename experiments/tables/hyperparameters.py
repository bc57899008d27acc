"""What makes two runs the same but for their seed, and what runs that are compared have in common.

Hyperparameters are the options of a configuration by dotted name, without those that do not change what is learned:
where a named data set lies, how often something is logged or evaluated, recomputed activations, and options that the
data set does not have. The user's own data and published weights are known by the last part of their path, since they
may have moved, and by the digests that the run has recorded. The initial rates of all methods give way to the one that
the run has.
"""

from collections.abc import Mapping
from pathlib import PurePath
from typing import get_args

from smoothjax.names import EfficientNetLite

from ..common.config import RunConfig, flat
from ..common.dense.config import DRAWN
from ..common.run_folder import FREE, free_options, to_dict

Hyperparameters = dict[str, object]
#: What a run has recorded of its data, see `identity.summarized`.
Data = Mapping[str, str | None]

RATE, SPLIT = "initial rate", "data.train_split"
#: Options that are paths.
PATHS = ("data.root", "data.file", "data.classes", "init.checkpoint")

_IRRELEVANT = (FREE | {"seed", "model.remat", "optim.learning_rate"}) - set(PATHS)
_OF_DRAWN = {"data.train_images", "data.val_images", "data.image_size"}
#: Kinds of weights whose file need not be named.
_INSTALLED = get_args(EfficientNetLite)
_OF_WEIGHTS = {"init.checkpoint", "init.sha256"}


def hyperparameters(config: RunConfig, data: Data | None = None) -> Hyperparameters:
    """What a run is, but for its seed; `data` is what it has recorded of its data."""
    options: Hyperparameters = {"study": config.study, **flat(to_dict(config)), RATE: config.initial_rate}
    data = data or {}
    if SPLIT in options and options[SPLIT] is None:
        options[SPLIT] = config.default_split or data.get("train_split")
    omitted = _IRRELEVANT - (FREE - free_options(config))
    if config.own_data:
        options["data.sha256"] = data.get("sha256")
    else:
        omitted |= {"data.root", "data.file"}
    if options.get("init.checkpoint") is not None or options.get("init.source") in _INSTALLED:
        options["init.sha256"] = data.get("weights_sha256")
    name = options.get("data.name")
    if name not in DRAWN:
        omitted |= _OF_DRAWN
    # Options that came later: stored results of other data and networks lack them.
    if name != "wires":
        omitted.add("data.noise")
    if options.get("model.encoder") != "dilated_stack":
        omitted.add("model.stem")
    return {
        name: last_part(value) if name in PATHS and isinstance(value, str) else value
        for name, value in options.items()
        if name not in omitted and not name.startswith("optim.rates.")
    }


def setting(config: RunConfig, data: Data | None = None) -> Hyperparameters:
    """What methods that are compared have in common: the hyperparameters of the baseline, without its initial rate.

    Options that the run's method sets itself are left out, such as the head of a DUC and its loss.
    """
    shared = hyperparameters(config.with_method(config.baseline), data)
    return {name: value for name, value in shared.items() if name != RATE and name not in config.set_by_method}


def mismatches(run: Hyperparameters, wanted: Hyperparameters) -> list[str]:
    """Where a run is not what a row asks for; empty if it belongs there.

    A tuple stands for several accepted values. A row asks for a kind of weights, whatever the name of their file.
    """
    lines = []
    for name in dict.fromkeys(name for name in (*wanted, *run) if name not in _OF_WEIGHTS):
        has, asked = run.get(name), wanted.get(name)
        choices = asked if isinstance(asked, tuple) else (asked,)
        if has not in choices:
            lines.append(f"{name} {has}, not {' or '.join(map(str, choices))}")
    return lines


def last_part(path: str) -> str:
    """What a path names, wherever it lies."""
    return PurePath(path).name or path
