"""Pixel deconvolution: makes the phases of an up-sampled map one after another, each from earlier ones."""

import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import TypeAlias, get_args

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from .._checks import Rate, check_factor, check_maps, check_ndim, check_parameter, is_int
from .._meshes import keeps_split_batch
from .._programs import one_program
from ..names import PhaseOrder
from ._fast._phase_conv import phase_conv
from ._reinterlace import reinterlace
from ._torch_order import torch_order

_NAMED: tuple[PhaseOrder, ...] = get_args(PhaseOrder)

Phase: TypeAlias = tuple[int, ...]
#: Stages in sequence, each a tuple of phases made in parallel.
Order: TypeAlias = tuple[tuple[Phase, ...], ...]

Stages: TypeAlias = Sequence[Sequence[Sequence[int]]]
"""An order of the phases as users write it: stages of phases, each phase with one int per axis."""


def ipixel_deconv(
    x: ArrayLike,
    kernels: Sequence[ArrayLike],
    *,
    factor: Rate = 2,
    order: PhaseOrder | Stages | None = None,
) -> jax.Array:
    r"""Input pixel deconvolution (iPixelDCL, Eq. 2): every phase sees the input and all earlier phases.

    $$F_1 = F_{in} * k_1, \quad F_2 = [F_{in}, F_1] * k_2, \quad F_3 = [F_{in}, F_1, F_2] * k_3, \quad \dots, \qquad
    F_{out} = F_1 \oplus F_2 \oplus \dots$$

    A transposed convolution makes the phases of its output independently; here later phases depend on earlier ones.
    $\oplus$ is `reinterlace`. Every phase is a SAME convolution at low resolution. For factor 2 and 3x3 kernels from C
    to C channels, Eq. 2 has 1 + 2 + 3 + 4 = 10 sets of 3x3 weights per channel pair. In the default order, that of the
    authors' code, the last two phases run in parallel: 1 + 2 + 3 + 3 = 9. (Sec. 3.1 speaks of 4 sets.)

    Args:
      x: maps `[N, *S, C_in]` with d = 1, 2 or 3 spatial axes; float32, bfloat16, float16 or float64.
      kernels: one `[*K, C_sources, C_out]` for each phase, in the sequence of `order`, cast to x's dtype; K may differ.
        The sources are the input, then the phases of earlier stages in their sequence, so
        `C_sources = C_in + C_out * (number of phases in earlier stages)`.
      factor: up-sampling factor r, an int >= 2, or one int >= 1 per axis.
      order: stages in sequence, each a sequence of phases, each d ints in `0 .. factor - 1`; phases of one stage do not
        see each other. Or `"figure"` or `"equations"`, see `pixel_order`, which has the same default.

    Returns:
      Maps `[N, *(factor * S), C_out]` of x's dtype.

    Raises:
      AssertionError: x or a kernel has another rank or dtype.
      ValueError: factor or order is invalid, or the kernels do not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import ops
      >>> x = jnp.array([1.0, 2.0]).reshape(1, 2, 1)
      >>> first, second = jnp.ones((1, 1, 1)), jnp.array([10.0, 1.0]).reshape(1, 2, 1)
      >>> ops.ipixel_deconv(x, [first, second]).ravel().tolist()  # the second phase is 10 x + first phase
      [1.0, 11.0, 2.0, 22.0]

    References:
      Gao et al., Pixel Deconvolutional Networks, 2017, Eq. 2 and Fig. 5.
    """
    return _deconv(x, kernels, factor, order, sees_input=True)


def pixel_deconv(
    x: ArrayLike,
    kernels: Sequence[ArrayLike],
    *,
    factor: Rate = 2,
    order: PhaseOrder | Stages | None = None,
) -> jax.Array:
    r"""Pixel deconvolution (PixelDCL, Eq. 3): the first phase sees the input, the others only earlier phases.

    $$F_1 = F_{in} * k_1, \quad F_2 = F_1 * k_2, \quad F_3 = [F_1, F_2] * k_3, \quad \dots, \qquad
    F_{out} = F_1 \oplus F_2 \oplus \dots$$

    Like `ipixel_deconv`, but only the first phase sees the input; $\oplus$ is `reinterlace`. `fast_pixel_deconv` is the
    form of Fig. 6, with fewer weights.

    Args:
      x: maps `[N, *S, C_in]` with d = 1, 2 or 3 spatial axes; float32, bfloat16, float16 or float64.
      kernels: one `[*K, C_sources, C_out]` for each phase, in the sequence of `order`, cast to x's dtype; K may differ.
        The source of the first stage is the input, `C_sources = C_in`; the sources of later stages are the phases of
        earlier stages in their sequence, `C_sources = C_out * (number of phases in earlier stages)`.
      factor: up-sampling factor r, an int >= 2, or one int >= 1 per axis.
      order: stages in sequence, each a sequence of phases, each d ints in `0 .. factor - 1`; phases of one stage do not
        see each other. Or `"figure"` or `"equations"`, see `pixel_order`, which has the same default.

    Returns:
      Maps `[N, *(factor * S), C_out]` of x's dtype.

    Raises:
      AssertionError: x or a kernel has another rank or dtype.
      ValueError: factor or order is invalid, or the kernels do not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import ops
      >>> x = jnp.array([1.0, 2.0]).reshape(1, 2, 1)
      >>> first, second = jnp.full((1, 1, 1), 10.0), jnp.array([0.0, 0.5, 0.5]).reshape(3, 1, 1)
      >>> ops.pixel_deconv(x, [first, second]).ravel().tolist()  # the second phase is the mean of its neighbours
      [10.0, 15.0, 20.0, 10.0]

    References:
      Gao et al., Pixel Deconvolutional Networks, 2017, Eq. 3, Figs. 5 and 6.
    """
    return _deconv(x, kernels, factor, order, sees_input=False)


def pixel_order(factor: Rate, ndim: int, *, order: PhaseOrder | Stages | None = None) -> Order:
    """The checked order in which pixel deconvolution makes the phases, by name or your own.

    `"figure"` is the staging of Fig. 6 and of the authors' code: (0, 0), then (1, 1), then (0, 1) and (1, 0) in
    parallel. For any factor and number of axes: the diagonal phases (0, ..., 0), (1, ..., 1), ... one after another,
    then the others by decreasing sum of their indices, equal sums in parallel. In three dimensions at factor 2 these
    are also the stages of the authors' code; the paper does not cover larger factors.

    `"equations"` follows Eqs. 2 and 3 literally: one phase per stage, in row-major order.

    The default is `"figure"` for factor 2 in two dimensions, else `"equations"`.

    Args:
      factor: up-sampling factor r, an int >= 2, or one int >= 1 per axis.
      ndim: number of spatial axes d, 1, 2 or 3.
      order: `"figure"`, `"equations"`, or stages in sequence, each a sequence of phases, each d ints in
        `0 .. factor - 1`; every phase once.

    Returns:
      A tuple of stages, each a tuple of phases, each a tuple of d ints.

    Raises:
      ValueError: factor is not an int >= 2, ndim is not 1, 2 or 3, or order does not name every phase once.

    Example:
      >>> from smoothjax import ops
      >>> ops.pixel_order(2, 2)
      (((0, 0),), ((1, 1),), ((0, 1), (1, 0)))
      >>> ops.pixel_order(2, 2, order="equations")
      (((0, 0),), ((0, 1),), ((1, 0),), ((1, 1),))

    References:
      Gao et al., Pixel Deconvolutional Networks, 2017, Eqs. 2 and 3, Sec. 2.3 and Fig. 6.
    """
    factors = check_factor(factor, check_ndim(ndim))
    if order is None:
        order = "figure" if factors == (2, 2) else "equations"
    if isinstance(order, str) and order == "figure":
        return _order_of_the_figure(factors)
    if isinstance(order, str) and order == "equations":
        return tuple((phase,) for phase in _all_phases(factors))
    return _check_order(order, factors)


def _all_phases(factors: tuple[int, ...]) -> list[Phase]:
    """All phases in row-major order."""
    return list(itertools.product(*map(range, factors)))


def _order_of_the_figure(factors: tuple[int, ...]) -> Order:
    diagonal = [(index,) * len(factors) for index in range(min(factors))]
    others = sorted(set(_all_phases(factors)) - set(diagonal), key=lambda p: (-sum(p), p))
    return (*((phase,) for phase in diagonal), *(tuple(stage) for _, stage in itertools.groupby(others, key=sum)))


def _deconv(
    x: ArrayLike,
    kernels: Sequence[ArrayLike],
    factor: Rate,
    order: PhaseOrder | Stages | None,
    *,
    sees_input: bool,
) -> jax.Array:
    x = check_maps("x", x)
    factors = check_factor(factor, x.ndim - 2)
    stages = pixel_order(factors, len(factors), order=order)
    return _in_order(x, _check_kernels(kernels, x, stages, sees_input), factors, stages, sees_input)


@one_program
@keeps_split_batch()
def _in_order(
    x: jax.Array, kernels: list[jax.Array], factors: tuple[int, ...], order: Order, sees_input: bool
) -> jax.Array:
    parameters = iter(kernels)
    made: dict[Phase, jax.Array] = {}
    for stage in order:
        sources = [x, *made.values()] if sees_input or not made else list(made.values())
        merged = jnp.concatenate(sources, -1)
        made |= {phase: phase_conv(merged, next(parameters)) for phase in stage}
    return reinterlace(jnp.stack([made[phase] for phase in sorted(made)]), rate=factors)


def _check_order(order: str | Stages, factors: tuple[int, ...]) -> Order:
    """Returns the order as tuples of ints; refuses an order that does not name every phase once."""
    ndim, factor = len(factors), factors[0] if len(set(factors)) == 1 else factors
    rule = (
        f"order must be a sequence of stages, each a sequence of phases, each {ndim} ints, that names every one of the "
        f"{math.prod(factors)} phases of factor {factor} once"
    )
    problem = ValueError(f"{rule}, got {order!r}: e.g. {pixel_order(factors, ndim)}, or one of {', '.join(_NAMED)}")
    if isinstance(order, str):
        raise problem
    try:
        stages = tuple(tuple(tuple(phase) for phase in stage) for stage in order)
    except TypeError:
        raise problem from None
    phases = [phase for stage in stages for phase in stage]
    ints = all(stages) and all(is_int(index) for phase in phases for index in phase)
    if not ints or sorted(phases) != _all_phases(factors):
        raise problem
    return tuple(tuple(tuple(int(index) for index in phase) for phase in stage) for stage in stages)


def _check_kernels(kernels: Sequence[ArrayLike], x: jax.Array, order: Order, sees_input: bool) -> list[jax.Array]:
    phases = [(number, phase) for number, stage in enumerate(order) for phase in stage]
    # An array is a sequence of its rows; a stack of kernels is fine, a single kernel is refused.
    if not hasattr(kernels, "__len__") or isinstance(kernels, (str, dict)) or len(kernels) != len(phases):
        found = f"{len(kernels)} of them" if hasattr(kernels, "__len__") else type(kernels).__name__
        raise ValueError(
            f"kernels must be a sequence of {len(phases)} kernels, one for each phase in the sequence {order}, got "
            f"{found}"
        )
    checked: list[jax.Array] = []
    for index, (number, phase) in enumerate(phases):
        earlier = sum(len(stage) for stage in order[:number])
        c_out = checked[0].shape[-1] if checked else None
        c_sources = (x.shape[-1] if sees_input or not earlier else 0) + earlier * (c_out or 0)
        seen = (["the input"] if sees_input or not earlier else []) + ([f"{earlier} earlier phases"] if earlier else [])
        name = f"kernels[{index}]"
        checked.append(
            check_parameter(
                name,
                kernels[index],
                shape=(*(None,) * (x.ndim - 2), c_sources, c_out),
                layout=f"[*K, C_sources, C_out], for phase {phase}, which sees {' and '.join(seen)}",
                dtype=x.dtype,
                remedy_of=partial(torch_order, name, c_in=c_sources, c_out=c_out),
            )
        )
    return checked
