"""Runs side by side, and the page about them; imports no JAX."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Generic, TypeVar

from .config import RunConfig
from .run_files import Json

C = TypeVar("C", bound=RunConfig)
Result = Json
"""A JSON object: `result.json`, or a file of scores."""


@dataclass(frozen=True)
class Curve:
    """A panel of the figure of training curves.

    Attributes:
      split: "train" or "val".
      key: name of the number in the log.
      title, unit: heading, and label of the axis.
      factor: the number is multiplied by it.
      from_zero: whether the axis begins at 0.
    """

    split: str
    key: str
    title: str
    unit: str
    factor: float = 1.0
    from_zero: bool = True


@dataclass(frozen=True)
class Comparison(Generic[C]):
    """Runs side by side.

    Attributes:
      config: the shared configuration.
      results: by method, `result.json` of each seed.
      labels: names of the methods in tables and figures.
      seeds: the seeds of each method.
      out: the folder that holds the folders of the runs.
      title: the heading.
      single: whether `out` is the folder of a single run.
    """

    config: C
    results: dict[str, list[Result]]
    labels: Mapping[str, str]
    seeds: Sequence[int]
    out: Path
    title: str
    single: bool = False

    def variant(self, method: str, seed: int) -> C:
        """The configuration of one run."""
        return replace(self.config.with_method(method), seed=seed)

    @property
    def steps(self) -> str:
        """The length of the runs, which may have ended early."""
        lengths = sorted({run["steps"] for runs in self.results.values() for run in runs})
        return f"{lengths[0]:,} to {lengths[-1]:,}" if len(lengths) > 1 else f"{lengths[0]:,}"

    def folders(self) -> list[Path]:
        """The folders of all runs."""
        return [self.folder(method, seed) for method in self.results for seed in self.seeds]

    def folder(self, method: str, seed: int) -> Path:
        """The folder of one run."""
        return self.out if self.single else self.out / f"{method}-seed{seed}"


@dataclass(frozen=True)
class Page:
    """The report of a comparison.

    Attributes:
      table: in Markdown, see `table.align`.
      setting: a sentence about data and scores.
      sections: more Markdown, after the table.
      figures: files in the folder of the comparison, with a caption each.
    """

    table: str
    setting: str
    sections: tuple[str, ...] = ()
    figures: Mapping[str, str] = field(default_factory=dict)
