"""How results of semantic segmentation are shown: tables of classes, reference rows, the report of a comparison."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from smoothjax import data

from ..comparison import Comparison, Page, Result
from ..differences import value_of
from ..labels import data_label
from ..report import spread
from ..run_files import read_examples, read_result
from ..run_folder import load_config
from .config import DenseConfig
from .figures import draw_predictions
from .seen import HOW_TO_READ, PICTURE, Seen, verdict
from .sources import note_on_split

#: Options that determine which images are scored, and at what size.
_SCORED_ON = ("name", "root", "classes", "val_images", "image_size", "size")

C = TypeVar("C", bound=DenseConfig)


def views_of(result: Result) -> list[str]:
    """How images were seen and scored, in words."""
    words: list[str] = []
    averaging = result.get("averaging", {})
    if averaging.get("tile") is not None:
        words.append("tiles of {} x {}".format(*averaging["tile"]))
    if list(averaging.get("scales", [1.0])) != [1.0]:
        words.append(f"scales {' '.join(f'{scale:g}' for scale in averaging['scales'])}")
    if averaging.get("flip"):
        words.append("mirror images")
    if result.get("boundary"):
        words.append(f"with scores within {100 * result['boundary']['distance']:g} % of contours")
    if result.get("calibration"):
        words.append("with the calibration error")
    if result.get("data_root") is not None:
        words.append(f"images in {result['data_root']}")
    return words


def score_table(result: Result) -> str:
    """The scores of each class and their means, and scores near contours if they were measured."""
    columns: dict[str, dict[str, float | None]] = {"IoU %": result["iou"], "Dice %": result["dice"]}
    means: dict[str, list[float | None]] = {
        "mean": [result["mean_iou"], result["mean_dice"]],
        "pixel accuracy %": [result["pixel_accuracy"]],
    }
    near, calibration = result.get("boundary"), result.get("calibration")
    if near is not None:
        columns |= {"boundary IoU %": near["boundary_iou"], "trimap IoU %": near["trimap_iou"]}
        means["mean"] += [near["mean_boundary_iou"], near["trimap_mean_iou"]]
    if calibration is not None:
        means["calibration error %"] = [calibration["error"]]
    lines = ["  ".join([" " * 20, *columns])]
    rows = {name: [column[name] for column in columns.values()] for name in result["iou"]} | means
    for name, values in rows.items():
        cells = ["absent" if value is None else f"{100 * value:.1f}" for value in values]
        padded = (cell.rjust(len(head)) for cell, head in zip(cells, columns, strict=False))
        lines.append("  ".join([name.rjust(20), *padded]))
    if near is not None:
        lines.append(
            f"boundary and trimap: pixels within {100 * near['distance']:g} % of the image's diagonal of a contour"
        )
    return "\n".join(lines)


def primary_column(config: DenseConfig, runs: Mapping[str, Sequence[Result]]) -> tuple[list[str], list[list[str]]]:
    """Heading and cells, one for each method, of the declared primary score; none for mean IoU, which has a column."""
    score = config.ordered_scores[0]
    if score.path == ("mean_iou",):
        return [], [[] for _ in runs]
    cells = [[spread([value_of(run, score) for run in found], score.digits)] for found in runs.values()]
    return [f"{score.title} %"], cells


def outcome(result: Result) -> str:
    """A line about a trained run."""
    val, majority = result["val"], result["majority"]
    return (
        f"mean IoU {100 * val['mean_iou']:.1f} %, pixel accuracy {100 * val['pixel_accuracy']:.1f} % (always the "
        f"most frequent class: {100 * majority['mean_iou']:.1f} %, {100 * majority['pixel_accuracy']:.1f} %)"
    )


def reference_rows(
    comparison: Comparison[C], columns: int, keys: Sequence[str] = ("mean_iou", "pixel_accuracy")
) -> list[list[str]]:
    """Rows below a table of these scores: the parent of the runs, and a constant prediction."""
    rows: dict[str, Result] = {}
    before = parent_scores(comparison.config)
    if before is not None and before.keys() >= set(keys):
        rows[f"{comparison.config.init.parent}, before"] = before
    rows["always the most frequent class"] = next(iter(comparison.results.values()))[0]["majority"]
    _, primary = primary_column(comparison.config, {name: [{"val": values}] for name, values in rows.items()})
    lines = []
    for (name, values), declared in zip(rows.items(), primary, strict=True):
        cells = [*(spread([100 * values[key]]) for key in keys), *declared]
        lines.append([name, *cells, *["-"] * (columns - 1 - len(cells))])
    return lines


def parent_scores(config: DenseConfig) -> Result | None:
    """The scores of the parent run on the same split; None if they are not known any more."""
    parent = config.init.parent
    if parent is None or config.init.take != "latest":
        return None
    try:
        there = load_config(parent, type(config)).data
        same = all(getattr(there, name, None) == getattr(config.data, name, None) for name in _SCORED_ON)
        result = read_result(parent)
        return {**result["val"], "boundary": result.get("boundary")} if same else None
    except (FileNotFoundError, ValueError):  # a report does not fail because of it
        return None


def page(
    comparison: Comparison[C],
    validation: data.Source,
    table: str,
    scored: str,
    sections: tuple[str, ...] = (),
    seen: Seen | None = None,
) -> Page:
    """The report of a comparison; draws the figure of predictions.

    Args:
      comparison: the runs.
      validation: the split that they are scored on.
      table: the table of the methods, in Markdown.
      scored: the size of scoring, in words.
      sections: text after the table.
      seen: the receptive fields, drawn already; None without dilated layers.
    """
    config, seed = comparison.config, comparison.seeds[0]
    masks = {
        _heading(comparison.labels[method], runs[0]["val"]): {
            int(index): mask for index, mask in read_examples(comparison.folder(method, seed)).items()
        }
        for method, runs in comparison.results.items()
    }
    said, lines = verdict(comparison, config.baseline)
    title = f"{comparison.title}, seed {seed}" + f": {said}" * bool(said)
    draw_predictions(validation, masks, comparison.out / "predictions.png", title=title)
    setting = (
        f"Validation split of {data_label(config.data.name, config.data.root)}: {len(validation)} images, scored "
        f"{scored} after {comparison.steps} steps of\n{config.batch_size} images."
    )
    if note := note_on_split(config.data):
        setting = f"{setting} {note}"
    if config.init.parent is not None:
        setting = f"{setting} Started from the weights of {config.init.parent}."
    # With several processes, none has seen a whole mask.
    figures = {"predictions.png": "Predictions"} if any(masks.values()) else {}
    if len(comparison.seeds) > 1 and lines:
        differing = "\n".join(f"- {line}" for line in lines)
        sections = (f"Paired differences over seeds, with 95 % intervals, in points:\n\n{differing}", *sections)
    if seen is not None and seen.fields:
        figures = {PICTURE: "Receptive fields of all dilated layers", **figures}
        sections = (*sections, "\n".join(HOW_TO_READ))
    return Page(table, setting, sections, figures)


def _heading(label: str, val: Result) -> str:
    isolated = f"\nisolated {100 * val['isolated_pixels']:.2f} %" if "isolated_pixels" in val else ""
    return f"{label}\nmIoU {spread([100 * val['mean_iou']])} %{isolated}"
