"""Checkerboards in files."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .. import analysis
from ..data import read_image

_IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
_SUFFIXES = (*_IMAGES, ".npy")


def diagnose_pictures(files: Sequence[Path], out: Path, *, as_json: bool = False) -> str:
    """The report on pictures, as text or JSON; draws the one with the strongest pattern."""
    paths = find_pictures(files)
    if not out.suffix or not out.parent.is_dir():
        raise ValueError(f"--out must be a file such as checkerboard.png in a folder that exists, got {out}")
    pictures = [read_maps(path) for path in paths]
    found = analysis.checkerboard_periods(pictures)
    verdict = analysis.describe_checkerboard(found)
    first = analysis.first_checkerboard(found)
    strongest = max(
        (at for at, maps in enumerate(pictures) if min(maps.shape[1:-1]) >= max(64, 8 * first.factor)),
        key=lambda at: float(analysis.checkerboard_map(pictures[at], factor=first.factor).mean()),
    )
    figure = analysis.draw_checkerboard(pictures[strongest], factor=first.factor, title=paths[strongest].name)
    figure.savefig(out)
    if as_json:
        periods = [{key: _number(value) for key, value in one._asdict().items()} for one in found]
        content = {"verdict": verdict, "periods": periods, "files": [str(path) for path in paths], "figure": str(out)}
        return json.dumps(content, indent=2)
    lines = [verdict, "", "period  energy  95 % interval  tiles"]
    for one in found:
        interval = "-" if math.isnan(one.low) else f"{one.low:.2f} to {one.high:.2f}"
        lines.append(f"{one.factor:>6}  {one.energy:>6.2f}  {interval:>13}  {one.tiles:>5}")
    lines += ["", f"The pattern of a period also shows at its multiples. {out} shows {paths[strongest]}."]
    return "\n".join(lines)


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value


def find_pictures(files: Sequence[Path]) -> list[Path]:
    """The files, and those in the folders, in their sequence."""
    if not files:
        raise ValueError("name at least one picture or folder")
    found: list[Path] = []
    for path in files:
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file or folder")
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        known = [one for one in inside if one.suffix.lower() in _SUFFIXES]
        if not known:
            raise ValueError(f"{path}: expected a picture or a folder of them, of the kinds {', '.join(_SUFFIXES)}")
        found += known
    return found


def read_maps(path: Path) -> np.ndarray:
    """A file as maps, float32 `[N, H, W, C]`."""
    if path.suffix.lower() in _IMAGES:
        return read_image(path)[None].astype(np.float32)
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: expected an array of numbers, as np.save writes it") from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "buif" or not 2 <= values.ndim <= 4:
        raise ValueError(f"{path}: expected numbers [H, W], [H, W, C] or [N, H, W, C]; save one such array")
    values = values[..., None] if values.ndim == 2 else values
    values = (values[None] if values.ndim == 3 else values).astype(np.float32)
    if not values.size or not np.isfinite(values).all():
        raise ValueError(f"{path}: expected finite numbers; look for NaN, infinity or an empty axis")
    return values
