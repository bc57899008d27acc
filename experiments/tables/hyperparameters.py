"""Decides which runs differ only in their seed, and which runs share a setting.

Hyperparameters are the options of a configuration by dotted name, without those that do not affect what is learned:
the location of a named data set, intervals of logs and evaluations, recomputed activations, and options that do not
apply to the data set. The user's own data and published weights are identified by the last part of their path, since
they may have moved, and by the digests that the run has recorded. One initial rate, that of the run, replaces the rates
of all methods.
"""

from collections.abc import Mapping
from pathlib import PurePath
from typing import get_args

from smoothjax.names import EfficientNetLite

from ..common.config import RunConfig, flat
from ..common.dense.config import DRAWN
from ..common.plain import to_dict
from ..common.run_folder import FREE, free_options

Hyperparameters = dict[str, object]
#: The record that a run keeps of its data, see `identity.summarized`.
Data = Mapping[str, str | None]

RATE, SPLIT = "initial rate", "data.train_split"
#: Options that are paths.
PATHS = ("data.root", "data.file", "data.classes", "init.checkpoint")

_IRRELEVANT = (FREE | {"seed", "model.remat", "optim.learning_rate"}) - set(PATHS)
_OF_DRAWN = {"data.train_images", "data.val_images", "data.image_size"}
#: Kinds of weights that are found without the name of a file.
_INSTALLED = get_args(EfficientNetLite)
_OF_WEIGHTS = {"init.checkpoint", "init.sha256"}


def hyperparameters(config: RunConfig, data: Data | None = None) -> Hyperparameters:
    """The hyperparameters of a run, without its seed; `data` is the record that it keeps of its data."""
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
    # Newer options: stored results of other data and networks lack them.
    if name != "wires":
        omitted.add("data.noise")
    if "dilated_stack" not in (options.get("model.encoder"), options.get("model.network")):
        omitted.add("model.stem")
    return {
        name: last_part(value) if name in PATHS and isinstance(value, str) else value
        for name, value in options.items()
        if name not in omitted and not name.startswith("optim.rates.")
    }


def setting(config: RunConfig, data: Data | None = None) -> Hyperparameters:
    """The setting that compared methods share: the hyperparameters of the baseline, without its initial rate.

    Options that the run's method sets are left out, such as the head of a DUC and its loss.
    """
    shared = hyperparameters(config.with_method(config.baseline), data)
    return {name: value for name, value in shared.items() if name != RATE and name not in config.set_by_method}


def mismatches(run: Hyperparameters, wanted: Hyperparameters) -> list[str]:
    """The differences between a run and the demands of a row; empty if the run belongs to the row.

    A tuple lists several accepted values. A row demands a kind of weights, whatever the name of their file.
    """
    lines = []
    for name in dict.fromkeys(name for name in (*wanted, *run) if name not in _OF_WEIGHTS):
        has, asked = run.get(name), wanted.get(name)
        choices = asked if isinstance(asked, tuple) else (asked,)
        if has not in choices:
            lines.append(f"{name} {has}, not {' or '.join(map(str, choices))}")
    return lines


def last_part(path: str) -> str:
    """The last part of a path, which stays when a file or folder is moved."""
    return PurePath(path).name or path
