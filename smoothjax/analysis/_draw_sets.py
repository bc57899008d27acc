"""Figure 2: the units that four neighbouring units depend on, layer by layer."""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from .. import ops
from ._arguments import check_maps
from ._cells import GROUPS, INK, canvas, cells, frame
from ._dependence import receptive_sets

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Layer = Callable[[jax.Array], jax.Array]

# Colours of units seen by none, one (in its colour), two, three and four.
_SHADES = np.array([0.95, 0.0, 0.72, 0.47, 0.20])[:, None] * np.ones(3)
_COUNTS = {2: "seen by two", 3: "seen by three", 4: "seen by all four"}
_PANEL, _MARGIN, _HEAD, _FOOT, _LEGEND, _TEXT = 2.75, 0.2, 0.4, 0.36, 0.75, 11  # inches, the text in points
_ROW_GAP, _TITLE, _LEAST_WIDTH = 0.12, 0.5, 9.0


def draw_receptive_sets(
    methods: Mapping[str, Sequence[Layer]] | None = None,
    *,
    inputs: ArrayLike | None = None,
    depths: Sequence[int] | None = None,
    title: str | None = None,
) -> "Figure":
    """Draws the receptive sets of four neighbouring units through the layers of one or several networks (Fig. 2).

    The four units are a 2x2 square at the centre of the output, each with a colour. Units seen by only one of the four
    have its colour; units seen by several are grey, darker for more. A figure without grey shows gridding.

    Args:
      methods: layers by the name of their network, from the input to the output; each maps `[1, H, W, C]` to `[1, H',
        W', C']`. By default two dilated convolutions of rate 2, as in the paper, and beside them the same with group
        interaction and with SS convolution, all their weights 1.
      inputs: inputs of the first layer, `[N, H, W, C]`, see `receptive_sets`; by default ones, `[1, 16, 16, 1]`.
      depths: how many layers below the output to look, one panel each; 0 is the output itself. By default all of them,
        down to the input. With one depth the networks are side by side.
      title: heading of the figure; by default a description.

    Returns:
      The figure; its `savefig` writes it.

    Raises:
      AssertionError: inputs have another rank or dtype.
      ValueError: there are no methods or no layers, numbers of layers differ, a depth is out of range, or the maps are
        not images of at least 2x2.

    Example:
      >>> from smoothjax import analysis
      >>> figure = analysis.draw_receptive_sets(depths=[2])
      >>> [axes.get_title() for axes in figure.axes[:2]]
      ['Dilated convolutions, rate 2', '+ group interaction']

    References:
      Wang & Ji, Smoothed Dilated Convolutions for Improved Dense Prediction, KDD 2018, Fig. 2.
    """
    # Drawing is rare, and importing matplotlib is slow.
    from matplotlib.figure import Figure

    methods = _published() if methods is None else methods
    maps = check_maps("inputs", jnp.ones((1, 16, 16, 1)) if inputs is None else inputs)
    lengths = {len(layers) for layers in methods.values()}
    if len(lengths) != 1 or not min(lengths):
        raise ValueError(
            "methods must name one network or more, all with the same number of layers, at least one, got "
            f"{ {name: len(layers) for name, layers in methods.items()} }: draw others in another figure"
        )
    (count,) = lengths
    depths = range(count, -1, -1) if depths is None else depths
    if not depths or not all(0 <= depth <= count for depth in depths):
        raise ValueError(f"depths must be ints in 0 .. {count}, at least one, got {list(depths)}: leave it out for all")
    if maps.ndim != 4:
        raise ValueError(f"inputs must be images [N, H, W, C] to be drawn, got shape {maps.shape}")
    sets = {name: {depth: _seen(layers, maps, depth) for depth in depths} for name, layers in methods.items()}

    beside = len(depths) == 1
    rows, columns = (1, len(sets)) if beside else (len(sets), len(depths))
    # Names of rows are on the left.
    left = _MARGIN if beside else _MARGIN + 0.45
    panels = left + columns * (_PANEL + _MARGIN)
    # The legend also needs room.
    width, shift = max(panels, _LEAST_WIDTH), max(0.0, (_LEAST_WIDTH - panels) / 2)
    height = _TITLE + _HEAD + rows * (_PANEL + _FOOT) + (rows - 1) * _ROW_GAP + _LEGEND
    figure = Figure(figsize=(width, height), dpi=150)
    below = "" if depths[0] == 0 else f", {depths[0]} layer{'s' if depths[0] > 1 else ''} below"
    default = f"What four neighbouring units see{below if beside else ' of the layers below'}"
    heading: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 15, "color": INK}
    figure.text(0.5, 1 - 0.32 / height, default if title is None else title, **heading)
    for index, (name, by_depth) in enumerate(sets.items()):
        for other, depth in enumerate(depths):
            row, column = (0, index) if beside else (index, other)
            x = shift + left + column * (_PANEL + _MARGIN)
            y = height - _TITLE - _HEAD - (row + 1) * _PANEL - row * (_FOOT + _ROW_GAP)
            axes = figure.add_axes((x / width, y / height, _PANEL / width, _PANEL / height))
            _draw(axes, by_depth[depth], depth)
            if beside:
                axes.set_title(name, fontsize=12.5, fontweight="bold", color=INK)
            elif row == 0:
                axes.set_title(f"layer $i-{depth}$" if depth else "layer $i$", fontsize=13, color=INK)
            if not beside and column == 0:
                style = heading | {"rotation": 90, "fontweight": "bold", "fontsize": 12}
                figure.text((x - 0.3) / width, (y + _PANEL / 2) / height, name, **style)
    found = {
        int(value) for by_depth in sets.values() for panel in by_depth.values() for value in np.unique(panel.sum(0))
    }
    _legend(figure, [number for number in _COUNTS if number in found], width, height)
    return figure


def _published() -> dict[str, list[Layer]]:
    """Two layers of rate 2, and both cures of the paper; no weight is 0, as after some training."""
    kernel, weight, smoother = jnp.ones((3, 3, 1, 1)), jnp.ones((4, 4)), jnp.ones((3, 3))
    return {
        "Dilated convolutions, rate 2": [lambda x: ops.dilated_conv(x, kernel, rate=2)] * 2,
        "+ group interaction": [lambda x: ops.group_interaction_dilated_conv(x, kernel, weight, rate=2)] * 2,
        "+ SS convolution": [lambda x: ops.ss_dilated_conv(x, kernel, smoother, rate=2)] * 2,
    }


def _seen(layers: Sequence[Layer], inputs: jax.Array, depth: int) -> np.ndarray:
    """The units that each of the four sees this many layers below the output: bool `[4, H, W]`."""
    below, above = layers[: len(layers) - depth], layers[len(layers) - depth :]

    def apply(part: Sequence[Layer], x: jax.Array) -> jax.Array:
        return reduce(lambda x, layer: layer(x), part, x)

    maps = apply(below, inputs)
    sizes: Any = jax.eval_shape(lambda x: apply(above, x), maps).shape[1:3]
    if min(sizes) < 2:
        raise ValueError(f"the output must have 2x2 units or more for four neighbours, got {sizes}: give larger inputs")
    top, left = ((size - 1) // 2 for size in sizes)
    units = [(top + row, left + column) for row in range(2) for column in range(2)]
    if not depth:
        sets = np.zeros((4, *sizes), bool)
        for number, unit in enumerate(units):
            sets[(number, *unit)] = True
        return sets
    return receptive_sets(lambda x: apply(above, x), maps, units)


def _draw(axes: "Axes", sets: np.ndarray, depth: int) -> None:
    count = sets.sum(0)
    colours = _SHADES[count]
    colours[count == 1] = GROUPS[[3, 2, 1, 0]][sets.argmax(0)[count == 1]]
    height, width = count.shape
    canvas(axes, width, height)
    cells(axes, colours, line=min(0.8, 20 / max(height, width)))
    frame(axes, ((width - 1) // 2, (height - 1) // 2), 2, 2)
    shared = f"{(count == 4).sum()} by all four" if count.max() == 4 else f"{(count > 1).sum()} by several"
    caption = f"{(count > 0).sum()} units seen, {shared if count.max() > 1 else 'none shared'}"
    axes.text(0.5, -0.03, caption if depth else "four neighbours", transform=axes.transAxes, ha="center", va="top",
              fontsize=_TEXT, color=INK)  # fmt: skip


def _legend(figure: "Figure", counts: Sequence[int], width: float, height: float) -> None:
    """Entries in a row, centred."""
    lengths = {2: 1.6, 3: 1.75, 4: 1.75}
    widths = {"the four units": 1.9, "seen by only one of them": 3.3} | {_COUNTS[n]: lengths[n] for n in counts}
    unit = 4.6  # squares an inch
    axes = figure.add_axes((0, 0.08 / height, 1, 0.6 / height))
    canvas(axes, width * unit, 0.6 * unit)
    axes.set(xlim=(0, width * unit), ylim=(0.6 * unit, 0))
    x, middle = (width - sum(widths.values()) + 0.3) / 2 * unit, 0.3 * unit
    square = GROUPS[[3, 2, 1, 0]].reshape(2, 2, 3)
    for name, length in widths.items():
        if name == "the four units":
            cells(axes, square, at=(x, middle - 1))
            frame(axes, (x, middle - 1), 2, 2)
            end = x + 2
        elif name in _COUNTS.values():
            number = next(number for number in counts if _COUNTS[number] == name)
            cells(axes, _SHADES[number][None, None], at=(x, middle - 0.5))
            end = x + 1
        else:
            cells(axes, square.reshape(1, 4, 3), at=(x, middle - 0.5))
            end = x + 4
        axes.text(end + 0.45, middle, name, va="center", fontsize=_TEXT, color=INK)
        x += length * unit
