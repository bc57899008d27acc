"""Gridding in networks of other frameworks, from gradients that these have computed."""

import math
from pathlib import Path
from typing import Literal

import numpy as np

from .. import analysis
from ..files import check_figure
from ._measured import Measured, report


def diagnose_gradients(path: Path, channels: Literal["first", "last"], out: Path, *, as_json: bool = False) -> str:
    """The report on the gradients of a block of outputs, as text or JSON; draws what the one at its centre sees."""
    check_figure(out, name="--out")
    gradients = _read(path)
    block = gradients.shape[: (gradients.ndim - 1) // 2]
    try:
        fields = [
            analysis.from_gradients(gradients[unit][None], channels=channels).astype(np.float64)
            for unit in np.ndindex(*block)
        ]
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    words = "x".join(map(str, block))
    centre = np.ravel_multi_index([size // 2 for size in block], block)
    axes = analysis.sharing_of_sets(np.stack(fields) > 0, block)
    return report(
        Measured(axes, fields[centre], f"by the gradients of {words} outputs in {path}"), out, as_json=as_json
    )


def _read(path: Path) -> np.ndarray:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    what = "gradients [*block, C, *S] of a block of neighbouring outputs, such as [9, 9, C, H, W]"
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: expected {what}, as np.save writes them") from error
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f" or values.ndim not in (3, 5, 7):
        found = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else "several arrays"
        raise ValueError(f"{path}: expected {what}, got {found}: save those of one output after the other")
    if not math.prod(values.shape):
        raise ValueError(f"{path}: expected {what}, got an empty axis, {values.shape}")
    return values
