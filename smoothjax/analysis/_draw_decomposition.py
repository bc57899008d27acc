"""Figure 3: a dilated convolution in three steps."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from .. import ops
from ._arguments import check_maps, check_pixels
from ._cells import INK, canvas, cells, phases, tinted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GREY = np.full(3, 0.93)
_GAP = 5.4  # between two maps, for an arrow and what stands on it, in units


def draw_decomposition(
    maps: ArrayLike | None = None, kernel: ArrayLike | None = None, *, rate: int = 2, title: str | None = None
) -> "Figure":
    """Draws the decomposition of a dilated convolution: subsampling, one convolution for all groups, reinterlacing.

    Every group has a colour; a unit is paler for smaller values, relative to the range of its map. The figure shows the
    actual results of the operations, and below them the dilated convolution itself, with the same result.

    Args:
      maps: the input, `[1, H, W, 1]`, H and W multiples of the rate; by default random, 10x10 as in the paper (15x15
        for rate 3).
      kernel: `[*K, 1, 1]`; by default random, 3x3. Nothing is padded.
      rate: dilation rate, 2 or 3.
      title: heading of the figure; by default a description.

    Returns:
      The figure; its `savefig` writes it.

    Raises:
      AssertionError: maps have another rank or dtype.
      ValueError: rate is not 2 or 3, or the maps or the kernel have a wrong shape.

    Example:
      >>> from smoothjax import analysis
      >>> figure = analysis.draw_decomposition()
      >>> [text.get_text() for text in figure.axes[0].texts if "10" in text.get_text()]
      ['input, 10×10']

    References:
      Wang & Ji, Smoothed Dilated Convolutions for Improved Dense Prediction, KDD 2018, Sec. 3.1, Fig. 3.
    """
    # Drawing is rare, and importing matplotlib is slow.
    from matplotlib.figure import Figure

    if check_pixels("rate", rate, minimum=2) > 3:
        raise ValueError(f"rate must be 2 or 3 to be drawn, a colour for each group, got {rate}")
    random = np.random.default_rng(0)
    side = 10 if rate == 2 else 15
    x = check_maps("maps", random.uniform(size=(1, side, side, 1)) if maps is None else maps)
    weights = jnp.asarray(random.normal(size=(3, 3, 1, 1)) if kernel is None else kernel, x.dtype)
    if x.ndim != 4 or (x.shape[0], x.shape[-1]) != (1, 1) or x.shape[1] % rate or x.shape[2] % rate:
        raise ValueError(f"maps must be [1, H, W, 1] with H and W multiples of rate = {rate}, got shape {x.shape}")
    if weights.ndim != 4 or weights.shape[2:] != (1, 1):
        raise ValueError(f"kernel must be [*K, 1, 1] of two spatial axes, got shape {weights.shape}")

    groups = ops.periodic_subsample(x, rate=rate)
    results = jax.vmap(lambda group: ops.dilated_conv(group, weights, padding="VALID"))(groups)
    out = ops.reinterlace(results, rate=rate)
    direct = ops.dilated_conv(x, weights, rate=rate, padding="VALID")
    difference = float(jnp.abs(out - direct).max() / jnp.abs(direct).max())

    steps = [_whole(x, rate), *(_apart(part, rate) for part in (groups, results)), _whole(out, rate)]
    widths = [max(right for _, (right, _) in step) for step in steps]
    heights = [max(bottom for _, (_, bottom) in step) for step in steps]
    tall, taps = max(heights), "×".join(map(str, weights.shape[:2]))
    width, height = sum(widths) + 3 * _GAP, tall + 7.2
    figure = Figure(figsize=(0.235 * (width + 2), 0.235 * (height + 5.0)), dpi=150)
    axes = figure.add_axes((0, 0, 1, 1))
    canvas(axes, width, height)
    axes.set(xlim=(-1, width + 1), ylim=(height + 0.4, -4.6))
    default = f"A dilated convolution of rate {rate} is {_number(rate**2)} convolutions that never meet"
    axes.text(width / 2, -3.5, default if title is None else title, ha="center", va="center", fontsize=15, color=INK)
    shades = (
        "One colour for each group. Paler units have smaller values within their map, paler weights are nearer to 0"
    )
    axes.text(width / 2, -1.9, shades, ha="center", va="center", fontsize=10, color="0.4")

    count = f"{rate**2} groups, "
    names = [f"input, {_size(x[0])}", count + _size(groups[0, 0]), f"{rate**2} results, {_size(results[0, 0])}"]
    middle, left, edges = 2.2 + tall / 2, 0.0, []
    for step, wide, high, name in zip(steps, widths, heights, [*names, f"output, {_size(out[0])}"], strict=True):
        for colours, (right, bottom) in step:
            corner = (left + right - colours.shape[1], middle - high / 2 + bottom - colours.shape[0])
            cells(axes, colours, at=corner)
        axes.text(left + wide / 2, 0.7, name, ha="center", va="center", fontsize=11.5, color=INK, fontweight="bold")
        edges.append((left, left + wide))
        left += wide + _GAP

    labels = ("1. periodic\nsubsampling", "2. one kernel\nfor all groups", "3. reinterlacing")
    for (_, start), (end, _), label in zip(edges, edges[1:], labels, strict=False):
        _arrow(axes, [(start + 0.6, middle), (end - 0.6, middle)])
        _label(axes, (start + end) / 2, middle - 0.6, label)
    centre = (edges[1][1] + edges[2][0]) / 2
    pattern = _weights(weights[..., 0, 0])
    small = 2.4 / max(pattern.shape[:2])
    cells(axes, pattern, at=(centre - small * pattern.shape[1] / 2, middle + 0.9), scale=small)

    # The whole of it at once, below.
    low, ends = tall + 3.6, (edges[0][0] + widths[0] / 2, edges[3][0] + widths[3] / 2)
    _arrow(axes, [(ends[0], middle + heights[0] / 2 + 0.5), (ends[0], low), (ends[1], low),
                  (ends[1], middle + heights[3] / 2 + 0.5)])  # fmt: skip
    holes = np.broadcast_to(_GREY, (*((size - 1) * rate + 1 for size in pattern.shape[:2]), 3)).copy()
    holes[::rate, ::rate] = pattern
    small = 2.6 / max(holes.shape[:2])
    corner = (width / 2 - 9, low + 0.5)
    cells(axes, holes, at=corner, scale=small, line=0.5)
    same = "exactly the same output" if difference == 0 else f"the same numbers (relative difference {difference:.0e})"
    caption = f"dilated convolution, {taps} at rate {rate}, in one step:\n{same}"
    axes.text(corner[0] + 3.2, low + 1.85, caption, va="center", fontsize=11, color=INK, linespacing=1.4)
    return figure


def _whole(maps: jax.Array, rate: int) -> list[tuple[np.ndarray, tuple[float, float]]]:
    """A map in the colours of its groups, with the position of its lower right corner."""
    values = np.asarray(maps[0, ..., 0])
    height, width = values.shape
    return [(tinted(values, phases(height, width, rate)), (width, height))]


def _apart(groups: jax.Array, rate: int) -> list[tuple[np.ndarray, tuple[float, float]]]:
    """The groups of a map in a square, a unit apart."""
    values = np.asarray(groups[:, 0, ..., 0])
    colours = tinted(values, np.arange(rate**2)[:, None, None])
    height, width = values.shape[1:]
    places = [divmod(group, rate) for group in range(rate**2)]
    return [
        (colours[group], (column * (width + 1) + width, row * (height + 1) + height))
        for group, (row, column) in enumerate(places)
    ]


def _weights(kernel: ArrayLike) -> np.ndarray:
    """Weights in greys: dark those of large magnitude."""
    size = np.abs(np.asarray(kernel, np.float64))
    return np.repeat((0.75 - 0.6 * size / max(size.max(), 1e-30))[..., None], 3, -1)


def _arrow(axes: "Axes", points: list[tuple[float, float]]) -> None:
    x, y = zip(*points[:-1], strict=True)
    axes.plot(x, y, color=INK, linewidth=1.6, solid_capstyle="butt")
    style = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 15}
    axes.annotate("", points[-1], points[-2], arrowprops=style)


def _label(axes: "Axes", x: float, y: float, text: str) -> None:
    axes.text(x, y, text, ha="center", va="bottom", fontsize=10, color=INK)


def _size(maps: jax.Array) -> str:
    return "×".join(map(str, maps.shape[:2]))


def _number(count: int) -> str:
    return {4: "four", 9: "nine"}[count]
