"""What makes two runs the same but for their seed, and what a run's method and initial rate are.

Facts are the options of a configuration by name, without those that do not change what is learnt: where a named data
set lies, how often something is logged or evaluated, recomputed activations, and options that the data set does not
have. Data of one's own and published weights are known by the last part of their path, for they may have moved, and by
the digests that the run has kept of them. Of a run of an earlier version these digests are unknown, which is a setting
of its own. The initial rates of the methods give way to the one that the run has.
"""

import dataclasses
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..common.config import RunConfig
from ..common.run_folder import FREE, from_dict, to_dict
from .cells import Cell

Facts = dict[str, Any]
RATE, SPLIT = "initial rate", "data.train_split"

#: Options that are paths.
PATHS = ("data.root", "data.file", "data.classes", "init.checkpoint")

_SAME = (FREE | {"seed", "model.remat"}) - set(PATHS)
# By data.name: what the data are, only their path tells.
_OWN_DATA = {"folder", "haze", "text"}
# The only data set whose training split depends on what has been prepared.
_OF_TWO_SPLITS = "voc2012"
_OF_WEIGHTS = {"init.checkpoint", "init.sha256"}
_OF_SHAPES = {"data.train_images", "data.val_images", "data.image_size"}
_BASELINES = {"segmentation": "none", "pixel_dcn": "dcl", "vae": "dcl", "restoration": "none", "sequence": "none"}
_OF_DUC = {"model.head", "model.head_rates", "optim.loss_at"}


def baseline_of(study: str) -> str:
    """The method that others are compared with."""
    return _BASELINES.get(study, "none")


def rate_of(config: Any) -> float:
    """The initial rate of a run."""
    if config.study == "segmentation":
        return importlib.import_module("experiments.segmentation.config").learning_rate(config)
    return config.optim.learning_rate


def facts(config: RunConfig, data: Mapping[str, str | None] | None = None) -> Facts:
    """What a run is, but for its seed; see above. `data` is what it has kept of its data, see `identity.summarized`."""
    options: Facts = {"study": config.study, **flat(to_dict(config)), RATE: rate_of(config)}
    data = data or {}
    if SPLIT in options and options[SPLIT] is None:
        # Of VOC, train or train_aug, whichever there was.
        options[SPLIT] = data.get("train_split") if options["data.name"] == _OF_TWO_SPLITS else "train"
    if options.get("data.name") in _OWN_DATA:
        options["data.sha256"] = data.get("sha256")
    if options.get("init.checkpoint") is not None:
        options["init.sha256"] = data.get("weights_sha256")
    gone = _SAME | (_OF_SHAPES if options.get("data.name") != "shapes" else set())
    if options.get("data.name") not in _OWN_DATA:
        gone |= {"data.root", "data.file"}
    return {
        name: last_part(value) if name in PATHS and value is not None else value
        for name, value in options.items()
        if name not in gone and name != "optim.learning_rate" and not name.startswith("optim.rates.")
    }


def setting(config: RunConfig, data: Mapping[str, str | None] | None = None) -> Facts:
    """What methods that are compared have in common: the facts of the baseline in place of this run, without rate.

    A DUC is a head with the loss that it needs: it has neither of the baseline's.
    """
    shared = facts(config.with_method(baseline_of(config.study)), data)
    gone = {RATE} | (_OF_DUC if config.method == "duc" else set())
    return {name: value for name, value in shared.items() if name not in gone}


def expected(cell: Cell) -> Facts:
    """The facts of the runs that belong to a row; where several kinds of weights are taken, a tuple of them.

    A recipe for VOC that names no training split is one for the augmented one.
    """
    presets = importlib.import_module(f"experiments.{cell.setting.study}.config").PRESETS
    preset = presets[cell.setting.preset].config
    config = with_options(preset, cell.setting.options).with_method(cell.method)
    wanted = facts(config, {"train_split": "train_aug"})
    return wanted | ({"init.source": cell.setting.weights} if cell.setting.weights else {})


def differences(run: Facts, wanted: Facts) -> list[str]:
    """Where a run is not what a row asks for; empty where it belongs there.

    A row asks for a kind of weights, whatever the name of their file. A run that does not tell the split that it was
    trained on, one of an earlier version, is taken at its word.
    """
    lines = []
    for name in dict.fromkeys(name for name in (*wanted, *run) if name not in _OF_WEIGHTS):
        has, asked = run.get(name), wanted.get(name)
        if name == SPLIT and has is None:
            continue
        choices = asked if isinstance(asked, tuple) else (asked,)
        if has not in choices:
            lines.append(f"{name} {has}, not {' or '.join(map(str, choices))}")
    return lines


def with_options(config: Any, options: Mapping[str, Any]) -> Any:
    """A configuration with other values of some options, by their dotted names."""
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    for name, value in options.items():
        first, _, rest = name.partition(".")
        values[first] = with_options(values[first], {rest: value}) if rest else value
    return dataclasses.replace(config, **values)


def last_part(path: str) -> str:
    """What a path names, wherever it lies."""
    return Path(path).name or path


def flat(values: Mapping[str, Any], prefix: str = "") -> Facts:
    """Nested options by dotted names."""
    found: Facts = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def restored(study: str, values: Mapping[str, Any]) -> RunConfig:
    """A configuration from its plain form.

    Raises:
      ModuleNotFoundError: there is no such study.
      ValueError, TypeError: this version has other options.
    """
    return from_dict(importlib.import_module(f"experiments.{study}.config").Config, dict(values))
