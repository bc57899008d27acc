"""The rows of a paper's table that a preset reproduces, the command that fills them, and their published scores."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from .published import smoothed_scores, upsampling_scores

#: Kinds of published weights (`--init.source`) that a table starts from; commands name the first. DeepLab's weights
#: were trained on MS-COCO, those of classification networks only on ImageNet.
WITH_COCO, WITHOUT_COCO = ("deeplab",), ("slim-as-authors", "slim", "torchvision")
#: Why the commands of tables without MS-COCO name this source.
_AS_AUTHORS = (
    "The source slim-as-authors loads TF-slim's weights as the authors' code does by default: strides in the first 1x1 "
    "convolution, SAME padding, an epsilon of 1e-3 and BGR images. The weights were trained with none of these. "
    "--init.source slim computes the features that they were trained for, which is the better practice; its runs fill "
    "the same rows."
)
NOT_MEASURED = "not measured by us"


@dataclass(frozen=True)
class Recipe:
    """Rows of a published table that a preset fills.

    Attributes:
      table: name of the table for `--table`, "1" to "6" of Wang & Ji, "pixel-1" of Gao et al.
      title: the heading of these rows.
      methods: the study's method of each row, by the name that the paper prints.
      options: options of the runs that differ from the preset, by dotted names.
      weights: kinds of published weights that the encoder can start from; empty for none.
      part: data set and model of the rows, in a table with several.
      time: expected time of a run on one GPU.
    """

    table: str
    title: str
    methods: Mapping[str, str]
    options: Mapping[str, str] = field(default_factory=dict)
    weights: tuple[str, ...] = ()
    part: tuple[str, str] | None = None
    time: str = NOT_MEASURED

    @property
    def source(self) -> str:
        """The table, as in "Table 2 of Wang & Ji (KDD 2018)"."""
        return table_title(self.table)

    @property
    def digits(self) -> int:
        """Decimal digits that distinguish its rows."""
        return 1 if self.part is None else 2

    def scores(self) -> dict[str, dict[str, float]]:
        """Published scores by row, in percent by column; the last column is the mean IoU."""
        return smoothed_scores(int(self.table)) if self.part is None else upsampling_scores(*self.part)

    def folder(self, study: str, preset: str) -> PurePosixPath:
        """The folder of its runs; a preset can serve several tables, and each needs a separate folder."""
        return PurePosixPath("runs", study, f"table{self.table}" if self.part is None else preset)

    def command(
        self, study: str, preset: str, methods: Sequence[str] | None = None, seeds: Sequence[int] = (0, 1, 2)
    ) -> str:
        """The command that fills the rows of some methods, by default of all published methods.

        FOLDER and FILE stand for the data set and the published weights.
        """
        if methods is None:
            methods = [self.methods[row] for row in self.scores()]
        words = ["python", "-m", f"experiments.{study}", "compare", preset, "--data.root", "FOLDER"]
        if self.weights:
            words += ["--init.source", self.weights[0], "--init.checkpoint", "FILE"]
        for name, value in self.options.items():
            words += [f"--{name.replace('_', '-')}", value]
        out = str(self.folder(study, preset))
        return shlex.join([*words, "--methods", *methods, "--seeds", *map(str, seeds), "--out", out])

    def describe(self, study: str, preset: str) -> str:
        """Rows, published scores, time and command, for the help of the preset."""
        scores = ", ".join(f"{row} {values['mean IoU']:.1f}" for row, values in self.scores().items())
        return (
            f"{self.source}: {self.title}. Expected score, as published, mean IoU %: {scores}. Time of a run on one "
            f"GPU: {self.time}. {f'{_AS_AUTHORS} ' if self.weights == WITHOUT_COCO else ''}Command:\n\n"
            f"{self.command(study, preset)}"
        )


def table_title(table: str) -> str:
    """A table by its name for `--table`, as in "Table 2 of Wang & Ji (KDD 2018)"."""
    paper, _, number = table.rpartition("-")
    return f"Table {number} of Gao et al. (2017)" if paper else f"Table {number} of Wang & Ji (KDD 2018)"
