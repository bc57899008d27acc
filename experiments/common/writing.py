"""How every file of a run, a report and a figure is written: whole or not at all, and never through a link."""

import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from smoothjax.files import check_writable, write_whole
from smoothjax.files import write_figure as write_any_figure

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from PIL import Image


def write(path: Path, text: str) -> None:
    """Writes text."""
    write_whole(path, text)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes bytes."""
    write_whole(path, content)


def write_json(path: Path, content: object, *, indent: int = 2) -> None:
    """Writes JSON, with null in place of numbers that are not finite, which JSON lacks."""
    write_whole(path, json.dumps(_finite(content), indent=indent, allow_nan=False) + "\n")


def write_arrays(path: Path, arrays: "Mapping[str, np.ndarray]") -> None:
    """Writes arrays by name, compressed, as `.npz`."""
    import numpy as np

    buffer, named = io.BytesIO(), dict(arrays)
    np.savez_compressed(buffer, **named)  # pyright: ignore[reportArgumentType]
    write_whole(path, buffer.getvalue())


def check_out(folder: Path) -> None:
    """Refuses a folder of results that cannot be made or written to, before anything is computed."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"--out must be a folder, got the file {folder}: name another")
    check_writable(folder, name="--out")


def check_file(option: str, path: Path) -> None:
    """Refuses a file that cannot be written, before anything is computed; its folder must exist."""
    if path.is_dir():
        raise ValueError(f"{option} must be a file, got the folder {path}: name a file in it")
    if not path.parent.is_dir():
        raise ValueError(f"{option} {path}: there is no folder {path.parent}, make it or name another")
    check_writable(path, name=option)


def check_png(path: Path, example: str) -> None:
    """Refuses a file that no picture can be written to, before anything is computed."""
    if path.suffix.lower() != ".png" or path.is_dir():
        raise ValueError(f"--out must be a PNG file, got {path}: name it e.g. {example}")
    check_writable(path, name="--out")


def write_figure(path: Path, figure: "Figure", *, dpi: int) -> None:
    """Draws a figure into a file of the format that its suffix names, and closes it."""
    import matplotlib.pyplot as plt

    write_any_figure(path, figure, dpi=dpi)
    plt.close(figure)


def write_picture(path: Path, picture: "Image.Image") -> None:
    """Writes an image as PNG."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    write_whole(path, buffer.getvalue())


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
