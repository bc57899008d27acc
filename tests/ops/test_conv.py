"""Convolutions by matrix products: each form against XLA's convolution, and the cases left to `jax.lax`."""

import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from smoothjax import ops
from smoothjax.ops._fast import _conv, _conv_forms
from smoothjax.ops._fast._window import Window
from tests.ops.cases import all_derivatives
from tests.support import assert_close, random

pytestmark = pytest.mark.as_users

NUMBERS = {1: ("NWC", "WIO", "NWC"), 2: ("NHWC", "HWIO", "NHWC"), 3: ("NDHWC", "DHWIO", "NDHWC")}
VALUES = ["sum_of_windows", "shifted_products", "product_by_strips", "plain"]
GRADIENTS = ["gradient_by_windows", "gradient_by_copies", "gradient_by_cotangents", "gradient_by_strips"]
#: Maps, kernel, strides, padding, rates: one to three axes; even, uneven, strided; taps that read only padding.
WINDOWS = {
    "same": ((2, 9, 7, 3), (3, 3, 3, 4), Window((1, 1), ((1, 1), (1, 1)), (1, 1))),
    "strided, uneven": ((2, 9, 7, 3), (3, 2, 3, 4), Window((2, 1), ((1, 2), (0, 3)), (2, 1))),
    "1x1": ((2, 6, 7, 3), (1, 1, 3, 4), Window((2, 1), ((0, 0), (0, 0)), (1, 1))),
    "reaches over the map": ((2, 9, 3), (3, 3, 2), Window((1,), ((12, 13),), (12,))),
    "cropped": ((1, 5, 6, 4, 2), (1, 2, 2, 2, 3), Window((1, 1, 1), ((0, 0), (-1, 2), (1, 0)), (1, 2, 1))),
}


def _form(name, *bound):
    arguments = (*bound, 500) if name.endswith("strips") else bound
    return partial(getattr(_conv_forms, name), *arguments)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("name", sorted(WINDOWS))
def test_each_form_has_the_values_and_derivatives_of_xla(name, index, monkeypatch):
    """In forward, reverse and mixed mode, of first and second order, and mapped."""
    shape, kernel_shape, window = WINDOWS[name]
    jax.clear_caches()  # programs of another form
    monkeypatch.setattr(_conv, "form_of_value", lambda window, *_: _form(VALUES[index], window))
    if window.unstrided or GRADIENTS[index] != "gradient_by_cotangents":
        monkeypatch.setattr(_conv, "form_of_gradient", lambda window, size, *_: _form(GRADIENTS[index], window, size))
    shapes = [shape, kernel_shape] * 2
    x, kernel, dx, dkernel = (random(seed, *shape, dtype=jnp.float64) for seed, shape in enumerate(shapes))
    functions = (partial(_conv.convolution, window=window), partial(_conv_forms.plain, window))
    both = [jax.jit(partial(all_derivatives, function))((x, kernel), (dx, dkernel)) for function in functions]
    jax.clear_caches()
    for actual, expected in zip(*both, strict=True):
        assert_close(actual, expected)


#: Shapes for which another form is chosen each, with the form.
CHOICES = {
    "1x1": ((2, 21, 21, 64), (1, 1, 64, 256), 1, "sum_of_windows", "gradient_by_windows"),
    "deep, dilated": ((2, 21, 21, 512), (3, 3, 512, 512), 4, "sum_of_windows", "gradient_by_windows"),
    "deep": ((2, 32, 32, 512), (3, 3, 512, 512), 1, "product_by_strips", "gradient_by_windows"),
    "few classes": ((2, 21, 21, 2048), (3, 3, 2048, 21), 12, "shifted_products", "gradient_by_cotangents"),
    "few inputs": ((2, 21, 21, 21), (3, 3, 21, 2048), 12, "plain", None),
    "shallow": ((2, 41, 41, 64), (3, 3, 64, 64), 1, "plain", "gradient_by_copies"),
    "narrow": ((2, 33, 33, 32), (3, 3, 32, 32), 1, "plain", None),
    "large": ((2, 256, 256, 64), (3, 3, 64, 64), 1, "plain", "gradient_by_strips"),
}


@pytest.mark.parametrize("name", sorted(CHOICES))
def test_the_choice_follows_from_shapes(name):
    shape, kernel_shape, rate, value, gradient = CHOICES[name]
    size = kernel_shape[:-2]
    window = Window((1, 1), tuple(((taps - 1) * rate // 2,) * 2 for taps in size), (rate, rate))
    assert _conv.form_of_value(window, shape, kernel_shape).func is getattr(_conv_forms, value)
    form = _conv.form_of_gradient(window, size, shape, (*shape[:-1], kernel_shape[-1]))
    assert (form and form.func) is (gradient and getattr(_conv_forms, gradient))


@pytest.mark.parametrize("ndim", [1, 2, 3])
@pytest.mark.parametrize("padding", ["SAME", "VALID", "SAME_LOWER", "pairs"])
def test_it_takes_what_lax_takes(ndim, padding):
    pairs = [(1, 2)] * ndim if padding == "pairs" else padding
    x, kernel = random(0, 2, *(9, 8, 7)[:ndim], 3), random(1, *(3, 2, 1)[:ndim], 3, 4)
    arguments = (x, kernel, (2, 1, 1)[:ndim], pairs, None, (2, 3, 1)[:ndim], NUMBERS[ndim])
    assert_close(ops.conv_general_dilated(*arguments), lax.conv_general_dilated(*arguments))


def test_its_signature_is_that_of_lax():
    """A different name would fail in a layer that passes it."""
    ours, other = (inspect.signature(f).parameters for f in (ops.conv_general_dilated, lax.conv_general_dilated))
    assert {name: p.default for name, p in ours.items()} == {name: p.default for name, p in other.items()}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("form", VALUES[:3])
def test_it_rounds_once(form, dtype):
    with jax.enable_x64(dtype == "float64"):
        x, kernel = random(0, 2, 9, 7, 8, dtype=dtype), random(1, 3, 3, 8, 4, dtype=dtype)
        window = Window((1, 1), ((1, 1), (1, 1)), (1, 1))
        y = _form(form, window)(x, kernel)
    assert y.dtype == dtype
    with jax.enable_x64(True):
        exact = _conv_forms.plain(window, x.astype("float64"), kernel.astype("float64"))
    assert_close(y, exact, {"float32": 1e-6, "bfloat16": 2**-8, "float64": 1e-14}[dtype])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("form", VALUES[:3])
def test_nan_and_infinity_stay_where_taps_reach(form, bad):
    """Products with zeros of the padding, or of the kernel's matrix, would spread them."""
    x = random(0, 1, 9, 9, 3).at[0, 2, 3].set(bad)
    kernel, window = random(1, 3, 3, 3, 2), Window((1, 1), ((2, 2), (2, 2)), (2, 2))
    finite = np.isfinite(_form(form, window)(x, kernel))
    expected = np.ones((1, 9, 9, 2), bool)
    expected[:, 0:5:2, 1:6:2] = False
    np.testing.assert_array_equal(finite, expected)


HANDED = {
    "groups": {"feature_group_count": 2},
    "batch groups": {"batch_group_count": 2},
    "input dilation": {"lhs_dilation": (2, 1), "padding": [(1, 1), (1, 1)]},
    "integers": {"dtype": "int32"},
    "channels first": {"dimension_numbers": None},
    "another type of the result": {"preferred_element_type": jnp.float32, "dtype": "bfloat16"},
}


@pytest.mark.parametrize("name", sorted(HANDED))
def test_what_has_no_fast_form_is_handed_to_lax(name):
    options = {"dimension_numbers": NUMBERS[2], "padding": "SAME", **HANDED[name]}
    dtype = options.pop("dtype", "float32")
    x = jnp.ones((2, 4, 4, 4), dtype)
    kernel = jnp.ones((3, 3, 4 // options.get("feature_group_count", 1), 4), dtype)
    if options["dimension_numbers"] is None:
        kernel = kernel.transpose(3, 2, 0, 1)
    programs = [
        str(jax.make_jaxpr(partial(function, window_strides=(1, 1), **options))(x, kernel))
        for function in (ops.conv_general_dilated, lax.conv_general_dilated)
    ]
    assert programs[0] == programs[1]


def test_symbolic_sizes_are_handed_to_lax():
    convolve = partial(ops.conv_general_dilated, window_strides=(1, 1), padding="SAME", dimension_numbers=NUMBERS[2])
    kernel = random(1, 3, 3, 3, 2)
    shape = jax.export.symbolic_shape("b, h, w, 3")
    exported = jax.export.export(jax.jit(lambda x: convolve(x, kernel)))(jax.ShapeDtypeStruct(shape, jnp.float32))
    x = random(0, 2, 8, 6, 3)
    assert_close(exported.call(x), convolve(x, kernel))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((1,), "SAME"), "window_strides"),
        (((1, 1), "SOME"), "padding"),
        (((1, 1), [(0, 0)]), "explicit pads"),
    ],
)
def test_malformed_arguments_are_refused_as_lax_does(arguments, message):
    with pytest.raises((TypeError, ValueError, RuntimeError), match=message):
        ops.conv_general_dilated(
            jnp.ones((1, 5, 5, 3)), jnp.ones((3, 3, 3, 2)), *arguments, dimension_numbers=NUMBERS[2]
        )


@pytest.mark.parametrize("name", ["gradient_by_windows", "gradient_by_copies", "gradient_by_strips", "product"])
def test_a_split_batch_is_never_gathered(name, monkeypatch):
    """Products over positions must not fetch examples from other devices."""
    jax.clear_caches()
    monkeypatch.setattr(_conv, "form_of_gradient", lambda window, size, *_: _form(name, window, size))
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    split, everywhere = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (("data",), ()))
    taps, pad = (1, 0) if name == "product" else (3, 1)
    window = Window((1, 1), ((pad, pad), (pad, pad)), (1, 1))
    step = jax.jit(
        jax.grad(lambda x, kernel: jnp.sum(jnp.sin(_conv.convolution(x, kernel, window))), (0, 1)),
        in_shardings=(split, everywhere),
        out_shardings=(split, everywhere),
    )
    text = step.lower(jnp.ones((8, 9, 9, 4)), jnp.ones((taps, taps, 4, 4))).compile().as_text() or ""
    jax.clear_caches()
    assert "all-reduce" in text
    assert "all-gather" not in text
    assert "all-to-all" not in text


@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit])
def test_it_runs_under_meshes_of_both_kinds(axis_type):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(axis_type,))
    x = jax.device_put(random(0, 8, 6, 6, 3), NamedSharding(mesh, PartitionSpec("data")))
    kernel = jax.device_put(random(1, 3, 3, 3, 2), NamedSharding(mesh, PartitionSpec()))
    forms = (ops.conv_general_dilated, lax.conv_general_dilated)
    both = [jax.jit(partial(f, window_strides=(1, 1), padding="SAME", dimension_numbers=NUMBERS[2])) for f in forms]
    with jax.set_mesh(mesh):
        assert_close(both[0](x, kernel), both[1](x, kernel))


DEPTHWISE = {
    "3x3": ((2, 5, 4, 16), (3, 2), 1, 1, "SAME"),
    "strided": ((2, 6, 5, 3), (3, 2), 1, 2, "SAME"),
    "valid, rate 2": ((2, 6, 5, 3), (2, 2), 2, 1, "VALID"),
    "over time": ((2, 9, 3), (4,), 1, (2,), [(3, 0)]),
    "volumes": ((1, 4, 3, 2, 3), (2, 1, 2), 1, 1, "SAME"),
}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", sorted(DEPTHWISE))
def test_depthwise_convolution_has_the_values_and_derivatives_of_xla(name):
    shape, size, rate, strides, padding = DEPTHWISE[name]
    ndim, channels = len(size), shape[-1]
    steps = strides if isinstance(strides, tuple) else (strides,) * ndim

    def reference(x, kernel):
        return lax.conv_general_dilated(
            x, kernel[..., None, :], steps, padding, None, (rate,) * ndim, NUMBERS[ndim], channels
        )

    def general(x, kernel):
        return ops.conv_general_dilated(
            x, kernel[..., None, :], steps, padding, None, (rate,) * ndim, NUMBERS[ndim], channels
        )

    shapes = [shape, (*size, channels)] * 2
    x, kernel, dx, dkernel = (random(seed, *shape, dtype=jnp.float64) for seed, shape in enumerate(shapes))
    form = partial(ops.depthwise_conv, rate=rate, strides=strides, padding=padding)
    assert_close(general(x, kernel), reference(x, kernel))
    both = [jax.jit(partial(all_derivatives, function))((x, kernel), (dx, dkernel)) for function in (form, reference)]
    for actual, expected in zip(*both, strict=True):
        assert_close(actual, expected)


def test_depthwise_convolution_refuses_malformed_strides():
    with pytest.raises(ValueError, match=r"strides must be an int >= 1 or 2 ints.*use 1 to keep the size"):
        ops.depthwise_conv(jnp.ones((1, 5, 5, 3)), jnp.ones((3, 3, 3)), strides=(1, 2, 3))


def test_depthwise_convolution_rounds_bfloat16_once():
    x, kernel = random(0, 1, 9, 9, 16, dtype="bfloat16"), random(1, 3, 3, 16, dtype="bfloat16")
    exact = ops.depthwise_conv(x.astype("float32"), kernel.astype("float32"))
    y = ops.depthwise_conv(x, kernel)
    assert y.dtype == jnp.bfloat16
    assert_close(y, exact, 2**-8)


def _lowered(function, *shapes):
    """The program of a function and its gradients, as text."""
    gradients = jax.grad(lambda *arguments: jnp.sum(function(*arguments) ** 2), (0, 1))
    return jax.jit(gradients).lower(*map(jnp.ones, shapes)).as_text()


def test_rows_of_taps_are_traced_once():
    """The gradient of each row of a depthwise kernel was traced again, with hundreds of terms on wide maps."""
    flat, square = (_lowered(ops.depthwise_conv, (1, 24, 41, 16), (taps, 5, 16)) for taps in (3, 9))
    assert square.count("stablehlo.multiply") < 2 * flat.count("stablehlo.multiply")


def test_a_product_is_differentiated_as_one():
    """Value and two gradients: separate rules made three choices by platform, each traced for all platforms."""
    convolve = partial(ops.conv_general_dilated, window_strides=(1, 1), padding="VALID", dimension_numbers=NUMBERS[2])
    text = _lowered(convolve, (2, 9, 9, 8), (1, 1, 8, 16))
    assert text.count("stablehlo.dot_general") == 3
    assert "stablehlo.reverse" not in text
    assert "stablehlo.convolution" not in text
