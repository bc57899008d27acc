"""The convolution of channels-last maps and its derivatives, each in the form that is fast at its size.

On CPU, XLA's convolution is slow for many channels and small maps, and its kernel gradient is always slow.
`_conv_forms` has the forms; this module chooses among them from static shapes, on CPU only. Milliseconds on two cores,
jax 0.10.2, two examples:

    3x3                         value: XLA, here    kernel: XLA, here
    21x21, 512 -> 512, rate 4         42     29             180    77
    17x17, 256 -> 256, rate 4        7.8    5.2              35    14
    21x21, 2048 -> 21, rate 12        27      9              48    21
"""

import math
from functools import partial

import jax
import jax.numpy as jnp

from .._transpose import Pair, as_transpose_of, varying_with
from . import _conv_forms as forms
from ._platform import by_platform
from ._window import Window

Form = partial[jax.Array]

# Every form except XLA's convolution takes half a second or more to compile, so each must be worth it.
# From this number of channels the value is made by products, if the taps read at most this share of the map: 42 and 29
# ms at 21x21, 512 -> 512, rate 4. With 256 channels 10.6 and 8.8 ms are not worth a second of compilation each.
_DEEP, _AREA = 512, 0.9
# From this number of channels, or up to it, the kernel's gradient is made by products on small maps: at 21x21, 128 ->
# 128 5.1 instead of 5.8 ms, at 41x41, 64 -> 64 4.5 instead of 9.5; 33x33, 32 -> 32 takes 2 ms in all forms.
_MANY, _SOME = 128, 64
# Up to this number of outputs one product with the kernels of all taps is worth it, for deep inputs.
_FEW = 32
# Positions of a small map, over all examples: with more, XLA's value is faster: 181 instead of 216 ms at 64x64, 256 ->
# 256.
_PLACES = 4096
# Bytes of the copies of one strip: they stay in the cache on small maps; on large ones (128x128 and more) longer
# products are worth more. Kernel's gradient at 256x256, 64 -> 64: 249 instead of XLA's 1,211 ms.
_SHORT_STRIP, _LONG_STRIP, _LONG_PLACES = 2_400_000, 9_600_000, 2 * 128 * 128
# Up to this number of outputs, and of inputs times outputs, XLA's kernel gradient is also faster on large maps: 9
# instead of 46 ms at 8x64x64, 32 -> 16. Beyond, XLA leaves its fast path: 281 instead of 54 ms at 2x128x128, 32 -> 64;
# on the largest maps, 734 instead of 195 at 2x256x256, 32 -> 32.
_NARROW, _NARROW_ON_LARGEST, _THIN = 32, 16, 32


def convolution(x: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
    """Maps `[N, *S, C]` with `[*K, C, D]`, of one floating dtype and static sizes, none of them 0."""
    if _is_plain(window, x.shape, kernel.shape):  # nothing to choose: less to trace
        return forms.plain(window, x, kernel)
    if math.prod(kernel.shape[:-2]) == 1 and not any(map(any, window.pairs)):
        # Gradients of a product are products: no rule of its own, and a third of what there would be to trace.
        return by_platform(x, kernel, cpu=partial(forms.product, window.strides), default=partial(forms.plain, window))
    return _convolution(x, kernel, window)


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def _convolution(x: jax.Array, kernel: jax.Array, window: Window) -> jax.Array:
    fast = form_of_value(window, x.shape, kernel.shape)
    return by_platform(x, kernel, cpu=fast, default=partial(forms.plain, window))


@_convolution.defjvp
def _convolution_jvp(window: Window, primals: Pair, tangents: Pair) -> Pair:
    """The product rule, each term in the form whose transpose is fast: all transformations follow, in any mode."""
    (x, kernel), (dx, dkernel) = primals, tangents
    y, plain = _convolution(x, kernel, window), partial(forms.plain, window)
    of_maps, of_kernel = _forms_of_gradients(window, x.shape, kernel.shape)
    dy = by_platform(dx, kernel, cpu=plain if of_maps is None else partial(_of_maps, window), default=plain)
    fast = plain if of_kernel is None else partial(_of_kernel, window)
    return y, dy + by_platform(x, dkernel, cpu=fast, default=plain)


def _is_plain(window: Window, shape: tuple[int, ...], kernel_shape: tuple[int, ...]) -> bool:
    """Whether XLA's own convolution is the form for the value and both gradients."""
    if form_of_value(window, shape, kernel_shape).func is not forms.plain:
        return False
    return _forms_of_gradients(window, shape, kernel_shape) == (None, None)


def _forms_of_gradients(
    window: Window, shape: tuple[int, ...], kernel_shape: tuple[int, ...]
) -> tuple[Form | None, Form | None]:
    """The fast forms of the gradients of maps and kernel on CPU; None where XLA's own is as fast."""
    *size, inputs, outputs = kernel_shape
    out_shape = (shape[0], *window.out_size(shape[1:-1], size), outputs)
    of_maps = None
    if window.unstrided:  # strided maps get XLA's own gradient
        of_maps = form_of_value(window.flipped(size), out_shape, (*size, outputs, inputs))
    if of_maps is not None and of_maps.func is forms.plain:
        of_maps = None
    return of_maps, form_of_gradient(window, tuple(size), shape, out_shape)


def _of_maps(window: Window, dx: jax.Array, kernel: jax.Array) -> jax.Array:
    """The convolution of a tangent of the maps; its transpose is a convolution with the flipped kernel."""
    size, y = kernel.shape[:-2], jax.eval_shape(partial(forms.plain, window), dx, kernel)
    form = form_of_value(window.flipped(size), y.shape, (*size, kernel.shape[-1], kernel.shape[-2]))
    flipped = jnp.flip(kernel, range(len(size))).swapaxes(-1, -2)
    return as_transpose_of(lambda cotangent: form(cotangent, flipped), y)(dx)


def _of_kernel(window: Window, x: jax.Array, dkernel: jax.Array) -> jax.Array:
    """The convolution with a tangent of the kernel."""
    y = jax.eval_shape(partial(forms.plain, window), x, dkernel)
    form = form_of_gradient(window, dkernel.shape[:-2], x.shape, y.shape)
    assert form is not None, "chosen by `_forms_of_gradients`"
    return as_transpose_of(partial(form, x), y)(varying_with(dkernel, x))


def form_of_value(window: Window, shape: tuple[int, ...], kernel_shape: tuple[int, ...]) -> Form:
    """The fast form of a convolution on CPU; also for the gradient of its maps, which is a convolution."""
    *size, inputs, outputs = kernel_shape
    if math.prod(size) == 1:
        return partial(forms.sum_of_windows, window)
    taps, out = window.taps(shape[1:-1], size), window.out_size(shape[1:-1], size)
    if shape[0] * math.prod(out) > _PLACES or inputs < _DEEP:
        return partial(forms.plain, window)
    if outputs <= _FEW:
        return partial(forms.shifted_products, window)
    if outputs < _DEEP:
        return partial(forms.plain, window)
    # The share of products that remains without those with padding.
    area = sum(tap.places for tap in taps) / (math.prod(size) * math.prod(out))
    if area <= _AREA:
        return partial(forms.sum_of_windows, window)
    return partial(forms.product_by_strips, window, _SHORT_STRIP)


def form_of_gradient(
    window: Window, size: tuple[int, ...], shape: tuple[int, ...], out_shape: tuple[int, ...]
) -> Form | None:
    """The fast form of the gradient of a kernel on CPU, or None where XLA's own is as fast."""
    inputs, outputs, places = shape[-1], out_shape[-1], math.prod(out_shape[:-1])
    if math.prod(size) == 1:
        return partial(forms.gradient_by_windows, window, size)
    if places > _PLACES:
        narrow = _NARROW_ON_LARGEST if places > _LONG_PLACES else _NARROW
        if outputs <= narrow and inputs * outputs <= narrow * _THIN:
            return None
        return partial(forms.gradient_by_strips, window, size, _LONG_STRIP if places >= _LONG_PLACES else _SHORT_STRIP)
    if min(inputs, outputs) >= _MANY:
        return partial(forms.gradient_by_windows, window, size)
    if outputs <= _FEW and inputs >= _DEEP and window.unstrided:
        return partial(forms.gradient_by_cotangents, window, size)
    # If the output is larger than the input, XLA leaves its fast path: 1500 instead of 30 ms at 2x41x41x256.
    grows = any(after > before for after, before in zip(out_shape[1:-1], shape[1:-1], strict=True))
    return partial(forms.gradient_by_copies, window, size) if grows or min(inputs, outputs) >= _SOME else None
