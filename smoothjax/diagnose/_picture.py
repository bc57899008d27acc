"""Checkerboards in files."""

import json
import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import analysis
from ..data import ARRAY_SUFFIX, IMAGE_SUFFIXES, list_images, read_image
from ..files import check_figure, write_figure

_SUFFIXES = (*IMAGE_SUFFIXES, ARRAY_SUFFIX)
_LISTED = 10
#: Pieces of larger pictures have at most this many pixels per side, and whole tiles of every period.
_SIDE, _TILE = 4096, 128


class Piece(NamedTuple):
    """A picture, or a part of a large picture, to examine at once.

    Attributes:
      path: its file.
      maps: float32 `[N, H, W, C]`.
      rows, columns: its position in the picture, the first and the one after the last.
      is_whole: whether it is the whole picture.
    """

    path: Path
    maps: np.ndarray
    rows: tuple[int, int]
    columns: tuple[int, int]
    is_whole: bool

    def __str__(self) -> str:
        """The name of its file, and its position there."""
        part = "" if self.is_whole else ", rows {} to {}, columns {} to {}".format(*self.rows, *self.columns)
        return f"{self.path.name}{part}"


def diagnose_pictures(files: Sequence[Path], out: Path, white: int | None = None, *, as_json: bool = False) -> str:
    """The report on pictures, as text or JSON; draws the one with the strongest pattern."""
    paths = find_pictures(files)
    check_figure(out, name="--out")
    found = analysis.checkerboard_periods(piece.maps for piece in pieces(paths, white))
    verdict = analysis.describe_checkerboard(found)
    factor = analysis.first_checkerboard(found).factor
    strongest = _strongest(pieces(paths, white), factor)
    write_figure(out, analysis.draw_checkerboard(strongest.maps, factor=factor, title=str(strongest)))
    if as_json:
        periods = [{key: _number(value) for key, value in one._asdict().items()} for one in found]
        shown = {"file": str(strongest.path), "rows": strongest.rows, "columns": strongest.columns}
        content = {
            "verdict": verdict,
            "periods": periods,
            "files": [str(path) for path in paths],
            "figure": str(out),
            "shown": shown,
        }
        return json.dumps(content, indent=2)
    lines = [verdict, "", "period  energy  95 % interval  tiles"]
    for one in found:
        interval = "-" if math.isnan(one.low) else f"{one.low:.2f} to {one.high:.2f}"
        lines.append(f"{one.factor:>6}  {one.energy:>6.2f}  {interval:>13}  {one.tiles:>5}")
    lines += ["", f"The pattern of a period also shows at its multiples. {out} shows {strongest}."]
    return "\n".join(lines)


def _strongest(found: Iterator[Piece], factor: int) -> Piece:
    """The piece with the most energy of a period; only one piece is in memory at a time, besides the best."""
    best: tuple[float, Piece] | None = None
    for piece in found:
        if min(piece.maps.shape[1:-1]) < max(64, 8 * factor):
            continue
        energy = float(analysis.checkerboard_map(piece.maps, factor=factor).mean())
        if best is None or energy > best[0]:
            best = energy, piece
    assert best is not None, "there is an energy of the period, so there is a piece with a tile"
    return best[1]


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value


def find_pictures(files: Sequence[Path]) -> list[Path]:
    """The files, and those in the folders, in order. Refuses a folder with pictures that would be left out."""
    if not files:
        raise ValueError("name at least one picture or folder")
    found: list[Path] = []
    for path in files:
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file or folder")
        inside, left_out = list_images(path, _SUFFIXES) if path.is_dir() else ([path], [])
        if left_out:
            more = [f"and {len(left_out) - _LISTED} more"] if len(left_out) > _LISTED else []
            raise ValueError("\n".join([*left_out[:_LISTED], *more]))
        known = [one for one in inside if one.suffix.lower() in _SUFFIXES]
        if not known:
            raise ValueError(f"{path}: expected a picture or a folder of them, of the kinds {', '.join(_SUFFIXES)}")
        found += known
    return found


def pieces(paths: Sequence[Path], white: int | None) -> Iterator[Piece]:
    """The pictures one after another, large ones in pieces, so that memory is limited for any size."""
    for path in paths:
        values = read_maps(path, white)
        rows, columns = (_cuts(size) for size in values.shape[1:3])
        for top, bottom in pairwise(rows):
            for left, right in pairwise(columns):
                maps = np.asarray(values[:, top:bottom, left:right], np.float32)
                if not np.isfinite(maps).all():
                    raise ValueError(f"{path}: expected finite numbers; look for NaN or infinity")
                is_whole = len(rows) == len(columns) == 2
                yield Piece(path, maps, (top, bottom), (left, right), is_whole)


def _cuts(size: int) -> list[int]:
    """The cuts of an axis into pieces of about the same size."""
    count = math.ceil(size / _SIDE)
    return [*(_TILE * (k * size // (count * _TILE)) for k in range(count)), size]


def read_maps(path: Path, white: int | None = None) -> np.ndarray:
    """A file as maps, numbers `[N, H, W, C]`; arrays are read on use."""
    if path.suffix.lower() in IMAGE_SUFFIXES:
        try:
            return read_image(path, white=white, large=True)[None]
        except ValueError as error:
            # The option has another name in the commands that train.
            raise ValueError(str(error).replace("--data.white", "--white")) from error
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: expected an array of numbers, as np.save writes it") from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "buif" or not 2 <= values.ndim <= 4:
        raise ValueError(f"{path}: expected numbers [H, W], [H, W, C] or [N, H, W, C]; save one such array")
    if not values.size:
        raise ValueError(f"{path}: expected numbers, got an empty axis; save an array that holds some")
    values = values[..., None] if values.ndim == 2 else values
    return values[None] if values.ndim == 3 else values
