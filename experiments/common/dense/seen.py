"""The receptive fields of the networks of a comparison, side by side, and their effect on predictions."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import jax
import numpy as np

from smoothjax import training

from ..comparison import Comparison, Result
from ..differences import paired_differences
from ..labels import data_label
from ..report import spread
from ..run_files import Json
from ..statistics import LEVEL, Difference, holm
from ..table import Score
from ..trained import read_run
from ..writing import write_arrays
from .config import DenseConfig
from .field_figures import draw
from .fields import RATE, SIZES, Field, Images, dilated_block, measure_block, numbers

if TYPE_CHECKING:
    from .study import DenseStudy

C = TypeVar("C", bound=DenseConfig)

#: Names of files in the folder of a run, and in that of a comparison.
FIELD_FILE, PICTURE = "receptive_field.npz", "receptive_fields.png"
COLUMNS = ("isolated pixels %", "zeros in the receptive field %", "phase imbalance")
HOW_TO_READ = (
    "Zeros in the receptive field are pixels within it that an output cannot see, black in receptive_fields.png. At a "
    "phase imbalance of 1 an output sees one of four interleaved grids, and its neighbour sees another; at 0 it sees "
    "all four equally.",
    "Isolated pixels are predictions that agree with none of their neighbours: in predictions.png, what remains of the "
    "grid. An interval above that contains 0 leaves open whether there is a difference.",
)
_IMAGES = 4


@dataclass(frozen=True)
class Seen:
    """The receptive fields of the networks of the first seed, through all their dilated layers.

    Attributes:
      fields: their receptive fields by method; empty if networks have no dilated layers.
      numbers: the entries of the table for each field.
    """

    fields: Mapping[str, Field]
    numbers: Mapping[str, Json]

    @property
    def columns(self) -> tuple[str, ...]:
        """Headings of the cells."""
        return COLUMNS if self.fields else COLUMNS[:1]

    def cells(self, method: str, runs: Sequence[Result]) -> list[str]:
        """The cells of a row; a dash for a value that was not measured."""
        isolated = [run["val"].get("isolated_pixels") for run in runs]
        row = ["-" if None in isolated else spread([100 * share for share in isolated], 2)]
        if not self.fields:
            return row
        if method not in self.numbers:
            return [*row, "-", "-"]
        found = self.numbers[method]
        return [*row, f"{100 * found['zero_share']:.0f}", f"{found['phase_imbalance']:.2f}"]

    def draw(self, comparison: Comparison[C], cell: int) -> None:
        """Draws the fields side by side."""
        images = comparison.config.data
        over = f"mean over {_IMAGES} validation images of {data_label(images.name, images.root)}"
        note = f"networks of seed {comparison.seeds[0]}, {over}; black: zero"
        rows = [self.numbers[method] for method in self.fields]
        title = "What an output sees through all dilated layers: effective receptive fields"
        draw(
            list(self.fields.values()),
            rows,
            comparison.out / PICTURE,
            title=title,
            note=note,
            cell=cell,
            outline="around all that has a weight",
        )


def seen_of(study: "DenseStudy[C, Any]", comparison: Comparison[C]) -> Seen:
    """Measures the networks of the first seed of a comparison, once: the fields are kept in their folders.

    Nothing is measured with several processes, since only one reports.
    """
    if comparison.single or jax.process_count() > 1:
        return Seen({}, {})
    fields: dict[str, Field] = {}
    for method, runs in comparison.results.items():
        folder = comparison.folder(method, comparison.seeds[0])
        field = _field(study, folder, comparison.labels[method], runs[0]["steps"])
        if field is not None:
            fields[method] = field
    described = {method: numbers(field) for method, field in fields.items()}
    for method, found in described.items():
        comparison.results[method][0]["receptive_field"] = found
    return Seen(fields, described)


def _field(study: "DenseStudy[C, Any]", folder: Path, label: str, step: int) -> Field | None:
    """The field of a run; None if it has no dilated layers, or no checkpoint any more."""
    path = folder / FIELD_FILE
    known = _read(path, label, step)
    if known is not None or not (folder / "checkpoints").is_dir():
        return known
    trained = read_run(study, folder, "latest")
    model, config = trained.local_model(), trained.config
    size, scale = SIZES[study.encoder_cell(config)], getattr(config.data, "scale", 1.0)
    block = dilated_block(model, size, config.data.channels)
    if block is None:
        return None
    training.say(f"receptive field of {label}")
    images = Images(study.open_split(config, "val"), config, size, _IMAGES, _IMAGES, scale)
    with _compiled_quickly():
        field = measure_block(block, images, label, RATE, theoretical=False)
    if not field.values.any():
        training.say(f"{folder} sees nothing: its units have died, so its row has no receptive field")
        return None
    write_arrays(path, {"values": field.values, "connected": field.connected, "step": np.asarray(trained.step)})
    return field


@contextlib.contextmanager
def _compiled_quickly() -> Iterator[None]:
    """Compiles with few optimisations: these programs run once, and their compilation takes several times as long."""
    name = "jax_disable_most_optimizations"
    before = jax.config.read(name)
    jax.config.update(name, True)
    try:
        yield
    finally:
        jax.config.update(name, before)


def _read(path: Path, label: str, step: int) -> Field | None:
    """A field that was measured earlier on the same parameters; None if there is none."""
    try:
        with np.load(path) as arrays:
            if int(arrays["step"]) == step:
                return Field(label, arrays["values"], arrays["connected"], RATE)
    except (OSError, ValueError, KeyError):
        pass
    return None


def verdict(comparison: Comparison[C], baseline: str) -> tuple[str, list[str]]:
    """The verdict for the title of the predictions, and a line about each method."""
    primary = comparison.config.ordered_scores[0]
    found, isolated = (
        {method: pair for method, pair in paired_differences(comparison, baseline, score).items() if pair is not None}
        for score in (primary, Score("isolated pixels", ("isolated_pixels",), 100))
    )
    labels, first = comparison.labels, comparison.labels.get(baseline, baseline)
    lines = []
    for method, difference in found.items():
        alone = isolated.get(method)
        also = "" if alone is None else f", isolated pixels {alone.text(2)}"
        lines.append(f"{labels[method]} - {first}: {primary.title} {difference.text()}{also}")
    if not lines:
        return "", []
    if len(comparison.seeds) == 1:
        return "one seed: differences may be chance", lines
    said = [
        *_significant(found, ("lower", "higher"), primary.title, labels),
        *_significant(isolated, ("fewer", "more"), "isolated pixels", labels),
    ]
    seeds = f"over {len(comparison.seeds)} seeds"
    return (f"{', '.join(said)} ({seeds})" if said else f"no distinguishable difference {seeds}"), lines


def _significant(
    differences: Mapping[str, Difference], words: tuple[str, str], what: str, labels: Mapping[str, str]
) -> list[str]:
    """The methods significantly below the baseline and those above it, over the tests of this score (Holm)."""
    adjusted = holm([each.p_value for each in differences.values()])
    significant = {
        method: each.mean < 0 for (method, each), p in zip(differences.items(), adjusted, strict=True) if p < 1 - LEVEL
    }
    sides = (
        (word, [labels[method] for method, below in significant.items() if below is side])
        for word, side in zip(words, (True, False), strict=True)
    )
    return [f"{word} {what} with {' and '.join(names)}" for word, names in sides if names]
