"""Masks as label maps of class indices: by stored numbers, by given values, or by colours."""

from pathlib import Path

import numpy as np

from ._classes import IGNORE_LABEL, Classes
from ._files import existing, indices
from ._open import OpenedImage, open_image
from ._source import label_problems

_LISTED = 8


def read_label(path: str | Path, classes: Classes) -> np.ndarray:
    """Reads a mask as class indices.

    A grey or palette mask holds the indices themselves, or the values that `classes.masks` gives to the classes; a
    coloured one the colours of the classes. A coloured mask may have an alpha channel if all its pixels are opaque.

    Args:
      path: the mask.
      classes: the classes, and how masks name them.

    Returns:
      uint8 `[H, W]`, 255 for ignored pixels.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is not a mask, or holds undeclared values or colours, or colours that are not opaque; the
          message counts them.

    Example:
      >>> import pathlib, tempfile
      >>> from PIL import Image
      >>> from smoothjax.data import MaskCoding
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder, "mask.png")
      ...     Image.new("L", (2, 1), 255).save(path)
      ...     read_label(path, Classes(("sky", "disk"), ((0, 0, 0), (9, 9, 9)), MaskCoding(((0,), (255,))))).tolist()
      [[1, 1]]
    """
    label = decode_label(existing(path), str(path), classes)
    if problems := label_problems(label, classes, str(path)):
        raise ValueError("\n".join(problems))
    return label


def decode_label(file: Path | bytes, name: str, classes: Classes) -> np.ndarray:
    """`read_label` of a file or of its content, `name` is its name in errors; an index may be outside the classes."""
    mask = open_image(file, name, upright=False)
    if mask.pixels.mode in ("RGB", "RGBA"):
        return _by_colors(mask, classes)
    numbers = indices(mask)
    return numbers if classes.masks is None else _by_values(numbers, name, classes)


def decode_palette(file: Path | bytes, name: str) -> tuple[np.ndarray, list[int] | None]:
    """The numbers of a mask, and the colours of a palette image, red, green and blue of each label in turn."""
    mask = open_image(file, name, upright=False)
    return indices(mask), mask.pixels.getpalette()


def _by_values(numbers: np.ndarray, name: str, classes: Classes) -> np.ndarray:
    assert classes.masks is not None
    table = classes.masks.table()
    counts = np.bincount(numbers.ravel(), minlength=256)
    if (unknown := np.flatnonzero((counts > 0) & (table < 0))).size:
        found = [f"{value} in {counts[value]:,} pixels" for value in unknown]
        raise ValueError(
            f"{name}: values that stand for no class: {_some(found)}; give them to a class, such as NAME: {{values: "
            f"[{unknown[0]}]}}, or to ignored"
        )
    return table.astype(np.uint8)[numbers]


def _by_colors(mask: OpenedImage, classes: Classes) -> np.ndarray:
    if mask.bits > 8:
        raise ValueError(f"{mask.name}: a coloured mask must have 8 bits a colour, this one has {mask.bits}")
    _check_opaque(mask)
    colors = [*classes.colors]
    labels = [*range(len(classes))]
    if classes.masks is not None and classes.masks.ignored_color is not None:
        colors.append(classes.masks.ignored_color)
        labels.append(IGNORE_LABEL)
    if repeated := [color for color in colors if colors.count(color) > 1]:
        raise ValueError(
            f"{mask.name}: a coloured mask, and colour {repeated[0]} stands for two classes; give each another one"
        )
    codes = _codes(np.array(colors, np.uint8))
    order = np.argsort(codes)
    numbers = _codes(np.asarray(mask.pixels.convert("RGB")))
    place = np.searchsorted(codes[order], numbers).clip(max=len(codes) - 1)
    known = codes[order][place] == numbers
    if not known.all():
        values, counts = np.unique(numbers[~known], return_counts=True)
        found = [
            f"({value >> 16}, {value >> 8 & 255}, {value & 255}) in {count:,} pixels"
            for value, count in sorted(zip(values.tolist(), counts.tolist(), strict=True), key=lambda pair: -pair[1])
        ]
        raise ValueError(
            f"{mask.name}: a mask of mode {mask.pixels.mode}, with colours that belong to no class: {_some(found)}; "
            "give the classes these colours, or ignored one of them (ignored: {color: [0, 0, 0]}), or convert its "
            "colours to indices"
        )
    return np.array(labels, np.uint8)[order][place]


def _check_opaque(mask: OpenedImage) -> None:
    """Refuses colours that do not show as they are stored: a transparent pixel may mean any class, or none."""
    if not mask.pixels.has_transparency_data:
        return
    alpha = np.asarray(mask.pixels.convert("RGBA").getchannel("A"))
    if clear := int((alpha < 255).sum()):
        raise ValueError(
            f"{mask.name}: a coloured mask with {clear:,} of {alpha.size:,} pixels that are "
            "not opaque, so of no class; paint them in the colour of a class, or of ignored (ignored: {color: [0, 0, "
            "0]}), and store the mask as RGB"
        )


def _codes(colors: np.ndarray) -> np.ndarray:
    """Red, green and blue of the last axis as one number."""
    wide = colors.astype(np.uint32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def _some(found: list[str]) -> str:
    more = f", and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return ", ".join(found[:_LISTED]) + more
