"""The report on measurements of networks that cannot be traced."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import analysis
from ..files import write_figure
from ._network import draw_field, imbalance_of, shown


class Measured(NamedTuple):
    """The measurement of a network, and its method in words."""

    axes: tuple[analysis.Sharing, ...]
    field: np.ndarray
    how: str


def report(found: Measured, out: Path, *, as_json: bool) -> str:
    """The measurement as text or JSON; draws the field of the central output."""
    counts = {max(axis.classes) + 1 for axis in found.axes if axis.is_gridding}
    rate = max([2, *(count for count in counts if count <= min(found.field.shape) // 2)])
    imbalance = imbalance_of(found.field, rate)
    if found.field.ndim == 2:
        write_figure(out, draw_field(found.field, imbalance, rate))
    verdict = _verdict(found.axes)
    if as_json:
        content = {
            "verdict": verdict,
            "measured": found.how,
            "pairs": [[axis.shared, axis.pairs] for axis in found.axes],
            "rate": rate,
            "phase_imbalance": imbalance,
        }
        return json.dumps(content, indent=2)
    lines = [verdict, *(f"  axis {k}: {axis.describe_pairs()}" for k, axis in enumerate(found.axes))]
    lines += [
        f"  measured {found.how}",
        f"phase imbalance of the output at the centre (0: all phases alike, 1: one has all), rate {rate}: "
        f"{shown(imbalance)}",
    ]
    if found.field.ndim == 2:
        lines.append(f"{out} shows what the output at the centre sees.")
    return "\n".join(lines)


def _verdict(axes: tuple[analysis.Sharing, ...]) -> str:
    if not any(axis.pairs for axis in axes):
        return "nothing was measured: no two neighbouring outputs were seen to depend on anything"
    gridded = [number for number, axis in enumerate(axes) if axis.is_gridding]
    if not gridded:
        return "no gridding: neighbouring outputs share inputs"
    where = " and ".join(f"axis {number}" for number in gridded)
    return f"gridding measured, not proven: along {where} no two neighbouring outputs were seen to share an input"
