"""The effective receptive field of an output unit, and numbers about its grid."""

from collections.abc import Callable, Iterable, Sequence, Sized
from typing import Any, Literal, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike, DTypeLike

from .._checks import check_int
from ..progress import track
from ._arguments import check_maps, check_pixels
from ._watch import as_function

#: The error at the centre. A power of two changes no digit of a gradient; this one is large enough to keep the far ends
#: of deep blocks, products of many small weights, above the smallest float32, so 0 means no connection.
_ERROR = 2.0**64


def effective_receptive_field(
    function: Callable[[jax.Array], jax.Array],
    inputs: ArrayLike | Iterable[ArrayLike],
    *,
    batch_size: int = 8,
    progress: bool = False,
) -> np.ndarray:
    r"""The influence of each input unit on the output unit at the centre (Wang & Ji, KDD 2018, Sec. 4.4).

    $$\mathrm{ERF}[i] = \sum_c \frac{1}{N} \sum_n \Big|\frac{\partial \sum_{c'} y_{n,c'}[0]}{\partial x_{n,c}[i]}\Big|$$

    The error is 1 in every channel of the output's centre (unit $\lfloor S'/2 \rfloor$ of each axis), 0 elsewhere. It
    is propagated back to the input; absolute values are averaged over examples and summed over channels. The paper
    writes y for a feature map and sets "the error gradient with respect to $y_{0,0}$ to 1", so for all of its channels.

    Args:
      function: a block of a network, from maps `[N, *S, C]` to `[N, *S', C']` with the same d = 1, 2 or 3 spatial axes;
        any callable that JAX can differentiate, whose examples do not depend on each other. A Flax NNX module runs in
        evaluation mode. `between` makes such a block from any layer or range of layers.
      inputs: inputs of the block, `[N, *S, C]`, or an iterable of such arrays with the same S and C, to save memory;
        for a trained network the features of a split's images.
      batch_size: examples of an array differentiated together; arrays of an iterable are not split.
      progress: whether to show how far it is, in batches, after five seconds.

    Returns:
      float64 `[*S]`, not negative.

    Raises:
      AssertionError: inputs have another rank or dtype.
      ValueError: batch_size is not an int >= 1, the iterable is empty or holds different sizes, the function's result
        is no map of as many axes, or gradients are not finite.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import analysis, ops
      >>> block = lambda x: ops.dilated_conv(x, jnp.ones((3, 1, 1)), rate=2)
      >>> analysis.effective_receptive_field(block, jnp.ones((1, 7, 1))).tolist()
      [0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0]

    References:
      Wang & Ji, KDD 2018, Sec. 4.4, Figs. 8 and 9; Luo et al., Understanding the Effective Receptive Field in Deep
      Convolutional Neural Networks, 2016.
    """
    batch_size = check_int("batch_size", batch_size, remedy="give a number of examples")
    function = as_function(function)
    batches: Any = inputs
    if hasattr(inputs, "shape") or not isinstance(inputs, Iterable):
        whole = check_maps("inputs", inputs)
        batches = [whole[start : start + batch_size] for start in range(0, len(whole), batch_size)]

    # The error is an argument: without it the gradient of a linear block is a constant, which the compiler computes
    # itself, slowly.
    @jax.jit
    def gradients(batch: jax.Array, error: jax.Array) -> jax.Array:
        (gradient,) = jax.vjp(function, batch)[1](error)
        return jnp.abs(gradient).sum((0, -1))

    total, count = np.zeros(0), 0
    number = len(batches) if isinstance(batches, Sized) else None
    for batch in track(cast(Iterable[Any], batches), "receptive field", number, unit="batches", shown=progress):
        maps = check_maps("inputs", batch)
        if not count:
            total = np.zeros(maps.shape[1:-1])
        if maps.shape[1:-1] != total.shape:
            raise ValueError(
                f"inputs must be of one size, got {total.shape} and {maps.shape[1:-1]}: the centre of each is looked "
                "at, so cut or pad them to one size"
            )
        error = error_at_centre(jax.eval_shape(function, maps), maps.ndim)
        total += check_finite(np.asarray(gradients(maps, error), np.float64)) / float(error.max())
        count += len(maps)
    if not count:
        raise ValueError("inputs must hold something, got an empty iterable: give at least one batch")
    return total / count


def from_gradients(gradients: ArrayLike, *, channels: Literal["first", "last"] = "last") -> np.ndarray:
    """The effective receptive field from gradients of another framework.

    In PyTorch, with `images` of `[N, C, H, W]` and a network whose output is `y`:

        images.requires_grad_()
        y = network(images)
        y[:, :, y.shape[2] // 2, y.shape[3] // 2].sum().backward()
        field = analysis.from_gradients(images.grad.numpy(), channels="first")

    equals `effective_receptive_field` of the same network; `field > 0` are the inputs that the unit depends on. Pass it
    to `phase_imbalance` and `contribution_area`.

    Args:
      gradients: gradients of the output unit at the centre, summed over its channels, with respect to the inputs: `[N,
        *S, C]`, or `[N, C, *S]`, floating point.
      channels: position of the channel axis.

    Returns:
      float64 `[*S]`, not negative.

    Raises:
      AssertionError: gradients have another rank or dtype.
      ValueError: channels is neither "first" nor "last", or gradients are not finite.

    Example:
      >>> import numpy as np
      >>> from smoothjax import analysis
      >>> gradients = np.array([[[1.0, -2.0], [0.0, 0.0]], [[3.0, 0.0], [0.0, 0.0]]])
      >>> analysis.from_gradients(gradients).tolist()
      [3.0, 0.0]
    """
    maps = np.asarray(check_maps("gradients", gradients), np.float64)
    if channels not in ("first", "last"):
        raise ValueError(f'channels must be "first" or "last", got {channels!r}: PyTorch has them first')
    return check_finite(np.abs(maps).mean(0).sum(0 if channels == "first" else -1))


def error_at_centre(out: jax.Array, ndim: int) -> jax.Array:
    """The error behind a block: not 0 at the centre."""
    if len(out.shape) != ndim:
        raise ValueError(
            f"function must return maps of {ndim - 2} spatial axes as its inputs, [N, *S, C], got shape {out.shape}: "
            "pass a block of the network before its axes are pooled away"
        )
    return error_in_middle(out, range(1, ndim - 1))


def error_in_middle(out: jax.Array, axes: Sequence[int]) -> jax.Array:
    """The error behind maps of any layout: not 0 in the middle of their spatial axes."""
    middle = tuple(size // 2 if axis in axes else slice(None) for axis, size in enumerate(out.shape))
    return jnp.zeros(out.shape, out.dtype).at[middle].set(error_size(out.dtype))


def error_size(dtype: DTypeLike) -> float:
    """The size of the error behind a block; float16 has no room for a larger one."""
    return _ERROR if jnp.finfo(dtype).maxexp > 64 else 1.0


def check_finite(gradient: np.ndarray) -> np.ndarray:
    """Returns the gradient of a block if it is finite."""
    if not np.isfinite(gradient).all():
        raise ValueError(
            "function must pass finite gradients back, got infinite ones or NaN: where it computes in float16, have "
            "it compute in bfloat16 or float32, or return float16, behind which a smaller error is taken; otherwise "
            "look for NaN in inputs and weights"
        )
    return gradient


def phase_imbalance(field: ArrayLike, *, rate: int) -> float:
    r"""The imbalance of a receptive field over the `rate**d` phases of its grid: gridding as a number.

    With $m_p$ the share of phase p in the sum of the field and $G = r^d$ phases,

    $$I = \frac{\sum_p (m_p - 1/G)^2}{1 - 1/G} \in [0, 1]$$

    is 0 if every phase has the same share and 1 if a single phase has all of it, as after dilated convolutions of only
    that rate. Sizes that the rate does not divide are cropped evenly to the next smaller multiple.

    Args:
      field: not negative, `[*S]` with d = 1, 2 or 3 axes, as from `effective_receptive_field`.
      rate: side of the grid in units, an int >= 2.

    Returns:
      The imbalance, without unit.

    Raises:
      ValueError: rate is not an int >= 2, or field is negative somewhere, all 0, or smaller than the rate.

    Example:
      >>> import numpy as np
      >>> from smoothjax import analysis
      >>> analysis.phase_imbalance(np.array([1, 0, 1, 0]), rate=2), analysis.phase_imbalance(np.ones(4), rate=2)
      (1.0, 0.0)

    References:
      Wang & Ji, KDD 2018, Sec. 3.1, Fig. 2: neighbours see disjoint phases.
    """
    rate, values = check_pixels("rate", rate, minimum=2), _check_field(field)
    for axis, size in enumerate(values.shape):
        if size < rate:
            raise ValueError(f"field must be at least rate = {rate} units along every axis, got shape {values.shape}")
        start = size % rate // 2
        values = np.take(values, np.arange(start, start + size // rate * rate), axis)
    blocks = values.reshape([n for size in values.shape for n in (size // rate, rate)])
    share = blocks.sum(tuple(range(0, blocks.ndim, 2))).ravel()
    if not share.sum() > 0:
        raise ValueError("field must be above 0 somewhere: is the block connected to its input?")
    share = share / share.sum()
    return float(((share - 1 / share.size) ** 2).sum() / (1 - 1 / share.size))


def contribution_area(field: ArrayLike, *, share: float, square: bool = False) -> int:
    """The number of input units that hold a share of the field: the fewest, or those in a square about the centre.

    A gridded field needs few units even if it is wide, since they need not be neighbours; the square shows how far the
    field reaches. Ding et al. give its area at 20, 30, 50 and 99 %, relative to that of the input.

    Args:
      field: not negative, `[*S]`, as from `effective_receptive_field`.
      share: in (0, 1]; 0.2, 0.3, 0.5 and 0.99 are usual.
      square: whether to count the units of the smallest square, `2 n + 1` units along every axis, about unit
        `S // 2` of each axis. Units of the square beyond the field do not count.

    Returns:
      The number of units.

    Raises:
      ValueError: share is out of range, or field is negative somewhere or all 0.

    Example:
      >>> import numpy as np
      >>> from smoothjax import analysis
      >>> field = np.array([0.0, 3.0, 0.0, 4.0, 0.0, 3.0, 0.0])
      >>> [analysis.contribution_area(field, share=0.7, square=square) for square in (False, True)]
      [2, 5]

    References:
      Ding et al., Scaling Up Your Kernels to 31x31, 2022 (with `square`).
    """
    values = _check_field(field)
    if not 0 < share <= 1:
        raise ValueError(f"share must be in (0, 1], got {share}: 0.5 is half of the field")
    if not values.sum() > 0:
        raise ValueError("field must be above 0 somewhere: is the block connected to its input?")
    if square:
        offsets = np.meshgrid(*(np.abs(np.arange(size) - size // 2) for size in values.shape), indexing="ij")
        rings = np.max(offsets, 0).ravel()
        held, counts = np.bincount(rings, values.ravel()).cumsum(), np.bincount(rings).cumsum()
    else:
        held = np.sort(values.ravel())[::-1].cumsum()
        counts = np.arange(1, values.size + 1)
    # Sums are rounded: without the margin, units with only rounding errors would be included.
    return int(counts[np.searchsorted(held, share * held[-1] * (1 - 1e-12))])


def _check_field(field: ArrayLike) -> np.ndarray:
    values = np.asarray(field, np.float64)
    if not 1 <= values.ndim <= 3 or not values.size:
        raise ValueError(f"field must have one to three axes [*S], got shape {values.shape}: sum channels and examples")
    if not (np.isfinite(values).all() and values.min() >= 0):
        raise ValueError("field must be finite and not negative: take absolute values")
    return values
