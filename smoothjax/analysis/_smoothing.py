"""The learnt smoothing of a trained network."""

import math
import re
from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from .. import nn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from matplotlib.ticker import MaxNLocator

Path: TypeAlias = tuple[Hashable, ...]
#: Parameters as `nnx.State`, or as nested dicts of arrays.
Tree: TypeAlias = Any
Kind = Literal["ss_conv", "causal_ss_conv", "group_interaction", "circulant_group_interaction"]

_LABELS: dict[Kind, str] = {
    "ss_conv": "SS filter",
    "causal_ss_conv": "causal SS filter",
    "group_interaction": "group interaction",
    "circulant_group_interaction": "circulant group interaction",
}
_CELL, _DPI = 2.3, 120


class SmoothingParameter(NamedTuple):
    """A smoothing parameter of a network.

    Attributes:
      path: keys from the model down to the layer; for layers stacked by `nnx.vmap`, then the layer's index in the
        stack.
      kind: `"ss_conv"`, a filter of `2 * rate - 1` taps along each axis; `"causal_ss_conv"`, a filter over time whose
        last tap is the current step; `"group_interaction"`, a square matrix of groups' weights, row i for output group
        i; or `"circulant_group_interaction"`, weights by the difference of phases, `rate` along each axis, 0 first.
      value: the weights, float64.
      distance: distance from the identity, the initial value: the Frobenius norm of the difference relative to that of
        the identity, without unit. 0 is the identity; an SS filter or a group interaction of zeros is at 1.
    """

    path: Path
    kind: Kind
    value: np.ndarray
    distance: float


def smoothing_parameters(model_or_params: nnx.Module | Tree) -> tuple[SmoothingParameter, ...]:
    """Finds the smoothing parameters of a network and their distances from the identity.

    Args:
      model_or_params: a model, or its parameters as `nnx.State` or nested dicts (see `nn.smoothers` and
        `nn.is_smoother`). The list includes the SS filter of aggregated filters; fixed filters have no parameters. In a
        model the layer distinguishes a filter from a matrix of the same shape, such as 9x9, and a causal filter from a
        centred one. In a tree of parameters the nearer identity decides, relative to its norm. The same holds for
        stacked filters, such as three 3x3 filters and one of 3x3x3, and for circulant weights.

    Returns:
      One entry per layer, also for each layer of a stack, in the natural order of paths: `conv2` before `conv10`.

    Raises:
      ValueError: the shape of a smoother fits none of these kinds, nor a stack of them.

    Example:
      >>> from flax import nnx
      >>> from smoothjax import analysis, nn
      >>> layer = nn.DilatedConv(3, 8, (3, 3), rate=2, smoothing="ss_conv", rngs=nnx.Rngs(0))
      >>> layer.smoother[...] = 0.75 * layer.smoother[...]
      >>> for path, kind, value, distance in analysis.smoothing_parameters({"conv": nnx.state(layer)}):
      ...     print(path, kind, value.shape, distance)
      ('conv',) ss_conv (3, 3) 0.25

    References:
      Wang & Ji, Smoothed Dilated Convolutions for Improved Dense Prediction, KDD 2018, Eqs. 3, 6 and 7.
    """
    known: dict[Path, tuple[Kind, int]] = {}
    if isinstance(model_or_params, nnx.Module):
        described = nn.smoothers(model_or_params)
        known |= {path: (one.kind, one.ndim) for path, one in described.items() if one.kind != "aggregation"}
        values = {path: described[path].parameter[...] for path in known}
    else:
        values = {path: value for path, value in _leaves(_pure(model_or_params)) if _is_shown(path)}
    found: list[SmoothingParameter] = []
    for path, value in values.items():
        value = np.asarray(value).astype(np.float64)
        kind, axes = known[path] if path in known else _nearest(path, value)
        for place in np.ndindex(value.shape[: value.ndim - axes]):
            one = value[place]
            identity = _identity(kind, one.shape)
            found.append(SmoothingParameter((*path[:-1], *place), kind, one, _far(one, identity)))
    return tuple(sorted(found, key=lambda parameter: _natural(parameter.path)))


def describe_smoothing(parameters: Sequence[SmoothingParameter]) -> str:
    """A table of smoothing parameters: path, kind, shape, distance from the identity and largest deviation from it.

    Args:
      parameters: see `smoothing_parameters`.

    Returns:
      Lines of text.

    Example:
      >>> from flax import nnx
      >>> from smoothjax import analysis, nn
      >>> layer = nn.GroupInteraction(2, 2, rngs=nnx.Rngs(0))
      >>> print(analysis.describe_smoothing(analysis.smoothing_parameters({"gi": nnx.state(layer)})))
      layer  kind               shape    distance from the identity  largest change
      gi     group interaction  4x4                           0.000           0.000
    """
    rows = [("layer", "kind", "shape", "distance from the identity", "largest change")]
    for path, kind, value, distance in parameters:
        largest = float(np.abs(value - _identity(kind, value.shape)).max())
        shape = "x".join(map(str, value.shape))
        rows.append((_dotted(path), _LABELS[kind], shape, f"{distance:.3f}", f"{largest:.3f}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    # Numbers are aligned to the right, below their headings.
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column > 2 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def draw_smoothing(
    parameters: Sequence[SmoothingParameter], *, title: str = "Smoothing parameters", columns: int = 4
) -> "Figure":
    """Draws smoothing parameters layer by layer, all in one colour scale that is symmetric about 0.

    An SS filter is drawn over the offset of its taps in pixels; slices of a filter with three axes are side by side. A
    group interaction is drawn as a matrix, from input group to output group, circulant weights by the difference of
    phases.

    Args:
      parameters: see `smoothing_parameters`; at least one.
      title: heading of the figure.
      columns: number of panels in a row.

    Returns:
      The figure; its `savefig` writes it.

    Raises:
      ValueError: there are no parameters, or columns is less than 1.

    Example:
      >>> from flax import nnx
      >>> from smoothjax import analysis, nn
      >>> layer = nn.DilatedConv(3, 8, (3, 3), rate=2, smoothing="group_interaction", rngs=nnx.Rngs(0))
      >>> figure = analysis.draw_smoothing(analysis.smoothing_parameters(nnx.List([layer])))
      >>> figure.axes[0].get_title()
      '0: 4x4\\n0.000 from the identity'
    """
    # Drawing is rare, and importing matplotlib is slow.
    from matplotlib.figure import Figure

    if not parameters:
        raise ValueError("parameters must name at least one layer to draw: smooth the network first, see nn.smooth")
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}: give the number of panels in a row")
    columns = min(columns, len(parameters))
    rows = -(-len(parameters) // columns)
    limit = max(float(np.abs(parameter.value).max()) for parameter in parameters)
    limit = limit if math.isfinite(limit) and limit > 0 else 1.0
    figure = Figure(figsize=(_CELL * columns + 1, (_CELL + 0.45) * rows + 0.6), dpi=_DPI, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    images = [_draw(axes, parameter, limit) for axes, parameter in zip(grid.flat, parameters, strict=False)]
    for axes in grid.flat[len(parameters) :]:
        axes.set_axis_off()
    figure.colorbar(images[-1], ax=grid, label="weight (output / input, no unit)", shrink=0.8)
    figure.suptitle(title)
    return figure


def _draw(axes: "Axes", parameter: SmoothingParameter, limit: float) -> "AxesImage":
    path, kind, value, distance = parameter
    pixels = value.reshape(1, -1) if value.ndim == 1 else value
    if value.ndim == 3:
        # Slices side by side, nothing between them.
        framed = np.concatenate([value, np.full((*value.shape[:2], 1), np.nan)], 2)
        pixels = np.concatenate(list(framed), 1)[:, :-1]
    extent = None
    if kind in ("ss_conv", "causal_ss_conv") and value.ndim < 3:
        bottom, right = pixels.shape[0] / 2, pixels.shape[1] / 2
        last = 0.5 if kind == "causal_ss_conv" else right
        extent = (last - pixels.shape[1], last, bottom, -bottom)
    image = axes.imshow(pixels, cmap="RdBu_r", vmin=-limit, vmax=limit, extent=extent, interpolation="nearest")
    horizontal, vertical = {
        "ss_conv": ("offset, pixels", "offset, pixels"),
        "causal_ss_conv": ("offset, steps", ""),
        "group_interaction": ("from group", "to group"),
        "circulant_group_interaction": ("difference of phases, pixels", "difference of phases, pixels"),
    }[kind]
    axes.set_xlabel(horizontal, fontsize=7)
    axes.set_ylabel(vertical, fontsize=7)
    for axis, length in ((axes.xaxis, pixels.shape[1]), (axes.yaxis, pixels.shape[0])):
        axis.set_tick_params(labelsize=6)
        axis.set_major_locator(_integers(length))
    shape = "x".join(map(str, value.shape))
    axes.set_title(f"{_dotted(path)}: {shape}\n{distance:.3f} from the identity", fontsize=7)
    return image


def _integers(length: int) -> "MaxNLocator":
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=min(length, 8), integer=True)


def _pure(tree: Tree) -> Tree:
    """Nested dicts, without Flax's containers."""
    if isinstance(tree, nnx.State):
        return nnx.to_pure_dict(tree)
    if isinstance(tree, dict):
        return {key: _pure(value) for key, value in tree.items()}
    return tree[...] if isinstance(tree, nnx.Variable) else tree


def _leaves(tree: Tree, path: Path = ()) -> Iterator[tuple[Path, ArrayLike]]:
    if not isinstance(tree, dict):
        yield path, tree
        return
    for key, value in tree.items():
        yield from _leaves(value, (*path, key))


def _is_shown(path: Path) -> bool:
    """Whether parameters at a path are a filter or a matrix; logits of aggregated filters have no identity."""
    return nn.is_smoother(path) and path[-1] != "aggregation"


def _nearest(path: Path, value: np.ndarray) -> tuple[Kind, int]:
    """The kind of a smoother, and the number of its own axes, which come after those of a stack."""
    # A single layer comes first, so it wins over a stack at equal distance.
    fitting: list[tuple[Kind, int]] = [
        (kind, axes) for axes in range(value.ndim, 0, -1) for kind in _LABELS if _fits(kind, value.shape[-axes:])
    ]
    if not value.size or not fitting:
        raise ValueError(
            f"{_dotted(path)} has the shape {list(value.shape)}, which is neither an SS filter (odd along one to three "
            "axes) nor a group interaction (a square matrix, or circulant, a rate along each axis), nor a stack of "
            "them: give the parameters of a network of smoothjax.nn"
        )
    return min(fitting, key=lambda one: _far(value, _identity(one[0], value.shape[-one[1] :])))


def _far(value: np.ndarray, identity: np.ndarray) -> float:
    """Distance of a smoother, or of a whole stack, from an identity, relative to the norm of the identity."""
    return float(np.linalg.norm(value - identity) / np.linalg.norm(identity))


def _fits(kind: Kind, shape: tuple[int, ...]) -> bool:
    if kind == "group_interaction":
        return len(shape) == 2 and shape[0] == shape[1] > 0
    if kind == "circulant_group_interaction":
        return 1 <= len(shape) <= 3
    return 1 <= len(shape) <= (1 if kind == "causal_ss_conv" else 3) and all(length % 2 for length in shape)


def _identity(kind: Kind, shape: tuple[int, ...]) -> np.ndarray:
    if kind == "group_interaction":
        return np.eye(shape[0])
    start = {"causal_ss_conv": -1, "circulant_group_interaction": (0,) * len(shape)}
    identity = np.zeros(shape)
    identity[start.get(kind, tuple(length // 2 for length in shape))] = 1
    return identity


def _natural(path: Path) -> tuple[tuple[int, int, str], ...]:
    """A sorting key in which numbers within names count as numbers."""
    parts = [part for key in path for part in (*re.split(r"(\d+)", str(key)), "")]
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)


def _dotted(path: Path) -> str:
    return ".".join(map(str, path))
