"""The fast form of pixel deconvolution: factor 2, two dimensions, the last two phases from one masked kernel."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from .._checks import check_maps, check_parameter
from .._meshes import keeps_split_batch
from .._programs import one_program
from ._dilated import check_kernel, dilated_conv
from ._fast._cross import cross
from ._fast._phase_conv import phase_conv
from ._reinterlace import reinterlace
from ._torch_order import torch_order


def fast_pixel_deconv(
    x: ArrayLike, kernel_first: ArrayLike, kernel_second: ArrayLike, kernel_cross: ArrayLike
) -> jax.Array:
    r"""The efficient implementation of pixel deconvolution (PixelDCL, Sec. 2.3, Fig. 6): factor 2, two dimensions.

    $$F_1 = F_{in} * k_1, \qquad F_2 = F_1 * k_2, \qquad F_{out} = M + M * k_\times, \qquad
    M = F_1 \oplus 0 \oplus 0 \oplus F_2$$

    F1 fills the even rows and columns of the output, F2 the odd ones; a masked kernel over this half-filled map makes
    the pixels between. Only its taps with an odd sum of offsets count (up, down, left and right in 3x3): they lead from
    an empty pixel to filled ones. 3x3 kernels have 2 sets of 3x3 and 4 weights per channel pair; a transposed
    convolution of 6x6 has 36.

    Args:
      x: maps `[N, H, W, C_in]`; float32, bfloat16, float16 or float64.
      kernel_first: `[*K, C_in, C]` of F1; all kernels are cast to x's dtype.
      kernel_second: `[*K, C, C]` of F2.
      kernel_cross: `[*K, C, C]` with odd K. It is masked here; masked taps get no gradient.

    Returns:
      Maps `[N, 2 * H, 2 * W, C]` of x's dtype.

    Raises:
      AssertionError: a kernel has another rank, or an argument another dtype.
      ValueError: x does not have two spatial axes, channels do not match, or a size of kernel_cross is even.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import ops
      >>> x, one = jnp.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1), jnp.ones((1, 1, 1, 1))
      >>> cross = jnp.full((3, 3, 1, 1), 0.25)  # the mean of the four neighbours, 0 beyond the border
      >>> ops.fast_pixel_deconv(x, one, one, cross).reshape(4, 4).tolist()[1]
      [1.25, 1.0, 2.25, 2.0]

    References:
      Gao et al., Pixel Deconvolutional Networks, 2017, Sec. 2.3 and Fig. 6.
    """
    x = check_maps("x", x)
    if x.ndim != 4:
        raise ValueError(
            f"x must be [N, H, W, C] with two spatial axes, got shape {x.shape}: this form is factor 2 in two "
            "dimensions (Fig. 6); pixel_deconv takes one to three axes and every factor"
        )
    kernel_first = check_kernel(kernel_first, x, name="kernel_first")
    channels = kernel_first.shape[-1]
    kernel_second, kernel_cross = (
        check_parameter(
            name,
            kernel,
            shape=(None, None, channels, channels),
            layout="[*K, C, C] with kernel_first's C",
            dtype=x.dtype,
            remedy_of=partial(torch_order, name, c_in=channels, c_out=channels),
        )
        for name, kernel in (("kernel_second", kernel_second), ("kernel_cross", kernel_cross))
    )
    if any(size % 2 == 0 for size in kernel_cross.shape[:2]):
        raise ValueError(
            f"kernel_cross must have an odd height and width, got shape {kernel_cross.shape}: the mask counts from "
            "its centre"
        )
    return _cascade(x, kernel_first, kernel_second, kernel_cross)


@one_program
@keeps_split_batch()
def _cascade(x: jax.Array, kernel_first: jax.Array, kernel_second: jax.Array, kernel_cross: jax.Array) -> jax.Array:
    first = phase_conv(x, kernel_first)
    second = phase_conv(first, kernel_second)
    right, below = cross(first, second, kernel_cross)
    return reinterlace(jnp.stack([first, right, below, second]), rate=2)


def _literal(first: jax.Array, second: jax.Array, kernel: jax.Array) -> jax.Array:
    """Steps 3 to 5 of Fig. 6 literally: the plain reference that tests compare `fast_pixel_deconv` with.

    It also multiplies masked taps and the empty half of the map, which `cross` skips.
    """
    empty = jnp.zeros_like(first)
    half_filled = reinterlace(jnp.stack([first, empty, empty, second]), rate=2)
    rows, columns = (jnp.arange(size) - size // 2 for size in kernel.shape[:2])
    live = (rows[:, None] + columns[None, :]) % 2 == 1
    masked = jnp.where(live[:, :, None, None], kernel, jnp.zeros_like(kernel))
    return half_filled + dilated_conv(half_filled, masked)
