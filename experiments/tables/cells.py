"""Which recipe fills which row of which table: the only place that says so. Imports no configuration.

A row is a preset with options and a method. From it follow the command that fills it, and, by `matching`, the runs that
belong to it: those whose configuration is the same but for what does not change a network (see `facts`).
"""

import functools
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..common.config import command_of
from ..common.published import smoothed_table, upsampling_rows

#: Kinds of published weights (--init.source) that stand for a table's initialisation; the first is that of commands.
#: DeepLab's own were trained on MS-COCO, those of classification networks on ImageNet alone.
WITH_COCO, WITHOUT_COCO = ("deeplab",), ("slim", "torchvision")

NOT_MEASURED = "not measured by us"


@dataclass(frozen=True)
class Setting:
    """What the rows of a table, or of a part of one, have in common.

    Attributes:
      table: its name for `--table`.
      title: what it says of it.
      study, preset: the recipe.
      methods: by row as it is printed, the method of the study.
      options: further options by name.
      weights: kinds of published weights, one of which the encoder starts from; empty for none.
      part: prefix of the names of the rows, and of what the table file calls them.
      time: expected time of a run on one GPU.
    """

    table: str
    title: str
    study: str
    preset: str
    methods: Mapping[str, str]
    options: Mapping[str, Any] = field(default_factory=dict)
    weights: tuple[str, ...] = ()
    part: tuple[str, str] | None = None
    time: str = NOT_MEASURED

    @property
    def digits(self) -> int:
        """Digits of percentages that tell its rows apart."""
        return 1 if self.part is None else 2


_SMOOTHING = {
    "DeepLabv2": "none",
    "Multigrid": "multigrid",
    "G Interact": "group_interaction",
    "SS Conv": "ss_conv",
}
_UPSAMPLING = {"DCL": "dcl", "iPixelDCL": "ipixel_dcl", "PixelDCL": "fast_pixel_dcl"}
_LARGE_FOV = {"model.head": "large_fov"}

_VOC, _CITYSCAPES = "PASCAL VOC 2012 val", "Cityscapes val"
_WITH, _WITHOUT = "with MS-COCO pre-training", "without MS-COCO pre-training"


def _smoothed(number: int, title: str, preset: str, weights: tuple[str, ...], **options: Any) -> Setting:
    return Setting(str(number), title, "segmentation", preset, _SMOOTHING, weights=weights, **options)


def _pixel(title: str, preset: str, part: tuple[str, str], weights: tuple[str, ...] = ()) -> Setting:
    return Setting("pixel-1", title, "pixel_dcn", preset, _UPSAMPLING, weights=weights, part=part)


SETTINGS = (
    _smoothed(1, f"{_VOC}, ASPP, {_WITH}", "voc2012-coco", WITH_COCO),
    _smoothed(2, f"{_VOC}, ASPP, {_WITHOUT}", "voc2012", WITHOUT_COCO),
    _smoothed(3, f"{_VOC}, LargeFOV, {_WITH}", "voc2012-coco", WITH_COCO, options=_LARGE_FOV),
    _smoothed(4, f"{_VOC}, LargeFOV, {_WITHOUT}", "voc2012", WITHOUT_COCO, options=_LARGE_FOV),
    _smoothed(5, f"{_CITYSCAPES}, ASPP, {_WITH}", "cityscapes", WITH_COCO),
    _smoothed(6, f"{_CITYSCAPES}, ASPP, {_WITHOUT}", "cityscapes", WITHOUT_COCO),
    _pixel("U-Net from scratch, PASCAL VOC 2012", "voc2012-unet", ("PASCAL 2012", "U-Net")),
    _pixel("U-Net from scratch, MS-COCO", "coco-unet", ("MSCOCO 2015", "U-Net")),
    _pixel("DeepLab fine-tuned, PASCAL VOC 2012", "voc2012-deeplab", ("PASCAL 2012", "DeepLab-ResNet"), WITH_COCO),
)

#: Tables with scores, by the names of `--table`.
TITLES = {
    **{str(number): f"Table {number} of Wang & Ji (KDD 2018)" for number in range(1, 7)},
    "pixel-1": "Table 1 of Gao et al. (2017)",
}
#: Gao et al.'s Table 2 has times; see `timing`.
TIMING = "pixel-2"


@dataclass(frozen=True)
class Cell:
    """A row of a table.

    Attributes:
      setting: what it shares with others.
      row: the model as it is printed.
      method: the method of the study.
      scores: the published ones in percent by column.
    """

    setting: Setting
    row: str
    method: str
    scores: Mapping[str, float]

    @property
    def name(self) -> str:
        """As in "Table 2, SS Conv"."""
        return f"{TITLES[self.setting.table].split(' of ')[0]}, {self.row}"

    def command(self, seeds: tuple[int, ...] = (0, 1, 2)) -> str:
        """What fills the cell; FOLDER and FILE stand for the data set and the published weights."""
        return _command(self.setting, (self.method,), seeds)


def command(setting: Setting) -> str:
    """What fills all rows."""
    rows = published_rows(setting)
    return _command(setting, tuple(method for row, method in setting.methods.items() if row in rows), (0, 1, 2))


def folder(setting: Setting) -> str:
    """Where those commands keep their runs: presets serve several tables, so each has a folder of its own."""
    name = f"table{setting.table}" if setting.part is None else setting.preset
    return f"runs/{setting.study}/{name}"


def _command(setting: Setting, methods: tuple[str, ...], seeds: tuple[int, ...]) -> str:
    words = [*command_of(setting.study).split(), "compare", setting.preset, "--data.root", "FOLDER"]
    if setting.weights:
        words += ["--init.source", setting.weights[0], "--init.checkpoint", "FILE"]
    for name, value in setting.options.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join([*words, "--methods", *methods, "--seeds", *map(str, seeds), "--out", folder(setting)])


def published_rows(setting: Setting) -> dict[str, dict[str, float]]:
    """The printed rows by model: scores in percent by column, the last of which is the mean IoU."""
    if setting.part is not None:
        rows = upsampling_rows(*setting.part)
        titles = {"pixel_accuracy": "pixel accuracy", "miou": "mean IoU"}
        return {row: {titles[key]: 100 * value for key, value in rows[row].items()} for row in rows}
    table = smoothed_table(int(setting.table))
    return {
        row: {**dict(zip(table["classes"], values["iou"], strict=True)), "mean IoU": values["miou"]}
        for row, values in table["rows"].items()
    }


@functools.cache
def cells() -> tuple[Cell, ...]:
    """All rows of all tables with scores, in their order."""
    return tuple(
        Cell(setting, row if setting.part is None else _named(setting, row), setting.methods[row], scores)
        for setting in SETTINGS
        for row, scores in published_rows(setting).items()
    )


def _named(setting: Setting, row: str) -> str:
    assert setting.part is not None
    dataset, model = setting.part
    return f"{dataset}, {model} + {row}"
