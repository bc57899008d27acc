"""Table 2 of Gao et al.: the cost of up-sampling layers in a U-Net, beside our benchmark."""

from pathlib import Path

from ..common.published import upsampling_times, upsampling_times_caption
from ..common.recipe import table_title
from .formats import Table
from .validate import is_number, json_object, load_json

#: The name of the table for `--table`.
TIMING = "pixel-2"
COMMAND = "python -m experiments.timing networks --json timing.json"
_PARTS = {"train": "training step", "predict": "prediction"}
_SIZE = "2x256x256x3"


def timing_table(path: Path | None) -> Table:
    """Published seconds and our milliseconds; only their ratios to DCL are comparable.

    Raises:
      ValueError: the file was not written by `experiments.timing --json`.
    """
    content = {"rows": []} if path is None else _read(path)
    measured = {(row["title"], row["part"]): row for row in content["rows"]}
    times, rows, sizes = upsampling_times(), [], set()
    for layer, seconds in times.items():
        for key, part in _PARTS.items():
            row = measured.get((title(layer if layer != "DCL" else "PixelDCL"), part))
            ratio = seconds[key] / times["DCL"][key]
            if row is None:
                ours = ("-", "-", "-")
            else:
                own = 1.0 if layer == "DCL" else row["ratio"]
                milliseconds = row["reference" if layer == "DCL" else "ours"]
                ours = (f"{milliseconds:.1f}", f"{own:.2f}", f"{own - ratio:+.2f}")
                sizes.add(row["size"])
            rows.append((f"U-Net + {layer}", part, f"{seconds[key]:,}", f"{ratio:.2f}", *ours))
    header = ("model", "part", "published, s", "ratio to DCL", "ours, ms", "ratio to DCL", "difference of ratios")
    notes = [f"Published: {upsampling_times_caption()}.", *_source(content, sizes)]
    if path is not None and not sizes:
        notes[-1] = f"Not measured: {path} has no rows of these networks; make it with `{COMMAND}`"
    return Table(table_title(TIMING), header, tuple(rows), tuple(notes))


def title(layer: str) -> str:
    """The title in the benchmark of a layer beside DCL."""
    return f"U-Net with {layer} / with DCL"


def _source(content: dict, sizes: set[str]) -> list[str]:
    if not sizes:
        return [f"Not measured: `{COMMAND}`, then add --timing timing.json"]
    where = json_object(content, "environment")
    lines = [
        f"Ours: medians of a step and of a prediction, {', '.join(sorted(sizes))}, random data; "
        f"{where.get('device', 'unknown device')}, {where.get('processor', 'unknown processor')}; commit "
        f"{where.get('commit') or 'unknown'}; made by `{where.get('command', 'unknown command')}`"
    ]
    return lines + [f"The size differs from {_SIZE}, so these are not the paper's ratios."] * (sizes != {_SIZE})


def _read(path: Path) -> dict:
    try:
        content = load_json(path)
        if not isinstance(content, dict):
            raise TypeError("no JSON object")
        rows, environment = content["rows"], content.get("environment", {})
        texts = all(isinstance(row[name], str) for row in rows for name in ("title", "part", "size"))
        numbers = all(is_number(row[name]) for row in rows for name in ("ours", "reference", "ratio"))
        if texts and numbers and isinstance(environment, dict):
            return content
    except (AttributeError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"--timing {path} holds no measurements ({error!r}): make it with {COMMAND}") from error
    raise ValueError(f"--timing {path} holds no measurements: make it with {COMMAND}")
