"""Pixel deconvolution in its general form: dependencies, counts, and the authors' own outputs."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smoothjax import ops
from tests.ops.cases import EXAMPLES, convolve, maps
from tests.support import assert_close, random

LAYERS = {"ipixel": ops.ipixel_deconv, "pixel": ops.pixel_deconv}


@st.composite
def layers(draw):
    """A map, a factor, an order in random sequence with random stages, and kernels of random sizes for both layers."""
    x = draw(maps(max_channels=2))
    ndim = x.ndim - 2
    factor = 2 if ndim == 3 else draw(st.integers(2, 3))
    phases = draw(st.permutations(list(itertools.product(range(factor), repeat=ndim))))
    cuts = sorted(draw(st.sets(st.integers(1, len(phases) - 1), max_size=4)))
    order = tuple(tuple(phases[a:b]) for a, b in itertools.pairwise([0, *cuts, len(phases)]))
    name = draw(st.sampled_from(sorted(LAYERS)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kernels, earlier = [], 0
    for stage in order:
        sources = (x.shape[-1] if name == "ipixel" or not earlier else 0) + 2 * earlier
        for _ in stage:
            size = rng.integers(1, 4, ndim)
            kernels.append(rng.standard_normal((*size, sources, 2)) / np.sqrt(size.prod() * sources))
        earlier += len(stage)
    return name, x, factor, order, kernels


@given(layers())
@settings(max_examples=EXAMPLES, deadline=None)
def test_it_is_what_eqs_2_and_3_say(case):
    """Phase by phase, in NumPy; slices of the output give the phases."""
    name, x, factor, order, kernels = case
    with jax.enable_x64(True):
        out = np.asarray(LAYERS[name](x, kernels, factor=factor, order=order))
    assert out.shape == (x.shape[0], *(factor * size for size in x.shape[1:-1]), 2)
    made, remaining = [], iter(kernels)
    for stage in order:
        sources = np.concatenate([x, *made] if name == "ipixel" or not made else made, -1)
        new = [convolve(sources, next(remaining), 1, "SAME") for _ in stage]
        for phase, value in zip(stage, new, strict=True):
            index = (slice(None), *(slice(p, None, factor) for p in phase))
            assert_close(out[index], value, 1e-12)
        made += new


@pytest.mark.parametrize(("factor", "ndim"), [(2, 1), (3, 1), (3, 2), (2, 3)])
def test_the_default_order_is_row_major(factor, ndim):
    phases = [phase for (phase,) in ops.pixel_order(factor, ndim)]
    assert phases == sorted(itertools.product(range(factor), repeat=ndim))


@pytest.mark.parametrize(
    ("factor", "ndim", "stages"),
    [
        (2, 1, ["0", "1"]),
        (2, 2, ["00", "11", "01 10"]),
        (3, 2, ["00", "11", "22", "12 21", "02 20", "01 10"]),
        (2, 3, ["000", "111", "011 101 110", "001 010 100"]),  # the authors' pixel_dcl3d
    ],
)
def test_the_order_of_the_figure(factor, ndim, stages):
    found = ops.pixel_order(factor, ndim, order="figure")
    assert [" ".join("".join(map(str, phase)) for phase in stage) for stage in found] == stages


def test_orders_by_name():
    """Eqs. 2 and 3 taken literally are a different layer than the stages of Fig. 6."""
    x = random(0, 1, 4, 5, 2)
    for layer, counts in ((ops.ipixel_deconv, (1, 2, 3, 4)), (ops.pixel_deconv, (1, 1, 2, 3))):
        kernels = [random(index, 3, 3, 2 * count, 2) for index, count in enumerate(counts)]
        literal = layer(x, kernels, order="equations")
        np.testing.assert_array_equal(literal, layer(x, kernels, order=ops.pixel_order(2, 2, order="equations")))
        with pytest.raises(ValueError, match=r"kernels\[3\] must be"):
            layer(x, kernels)
    with pytest.raises(ValueError, match=r"got 'fig6': e\.g\. .*, or one of figure, equations"):
        ops.pixel_order(2, 2, order="fig6")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_who_sees_whom(name):
    """The cure, by gradients: with 1x1 kernels, which kernels does each phase depend on?"""
    x = random(0, 1, 3, 3, 2)
    sources = {"ipixel": (2, 4, 6, 6), "pixel": (2, 2, 4, 4)}[name]
    kernels = [random(index, 1, 1, c, 2) for index, c in enumerate(sources)]

    def phases(kernels):
        return ops.periodic_subsample(LAYERS[name](x, kernels), rate=2)[:, 0].sum((1, 2, 3))

    depends = [[bool(np.abs(g[phase]).max() > 0) for phase in range(4)] for g in jax.jacobian(phases)(kernels)]
    # Rows: the kernels of (0, 0), (1, 1), (0, 1), (1, 0). Columns: the phases in row-major order.
    assert depends == [
        [True, True, True, True],
        [False, True, True, True],
        [False, True, False, False],
        [False, False, True, False],
    ]


def test_only_the_first_stage_of_pixel_deconv_sees_the_input():
    x, kernels = random(0, 1, 3, 3, 1), [jnp.zeros((1, 1, 1, 1)), *[jnp.ones((1, 1, c, 1)) for c in (1, 2, 2)]]
    assert float(jnp.abs(ops.pixel_deconv(x, kernels)).max()) == 0
    kernels = [jnp.zeros((1, 1, 1, 1)), *[jnp.ones((1, 1, c, 1)) for c in (2, 3, 3)]]
    phases = ops.periodic_subsample(ops.ipixel_deconv(x, kernels), rate=2)
    np.testing.assert_array_equal(phases[3], x)  # (1, 1) is input + (0, 0)


def test_the_first_stage_may_make_several_phases():
    """All phases come from the input; a single stage is as independent as a transposed convolution."""
    x, kernels = random(0, 2, 4, 4, 3), [random(i, 3, 3, 3, 2) for i in range(4)]
    order = (tuple(itertools.product(range(2), repeat=2)),)
    one, other = (layer(x, kernels, order=order) for layer in LAYERS.values())
    np.testing.assert_array_equal(one, other)
    assert_close(ops.periodic_subsample(one, rate=2)[2], ops.dilated_conv(x, kernels[2]))


@pytest.mark.as_users
@pytest.mark.parametrize("size", ["5x6", "8x8"])
def test_ipixel_deconv_is_the_authors(shared_data, size):
    with np.load(shared_data(f"official_ops/ipixel_dcl_{size}.npz")) as stored:
        first, second, both = (stored[f"u.conv{i}.weights"] for i in (1, 2, 3))
        below, right = np.split(both, 2, -1)  # phases (1, 0) and (0, 1)
        out = ops.ipixel_deconv(stored["x"], [first, second, right, below])
        reference = stored["y"]
    assert_close(out, reference)


def test_the_count_of_ipixel():
    """Eq. 2 has 1 + 2 + 3 + 4 = 10 sets of 3x3 where C_in = C_out, the authors' code 9; Sec. 3.1 speaks of 4."""
    assert _sets("equations") == 10
    assert _sets("figure") == 9
    kernels = [jnp.zeros((3, 3, 5 * count, 5)) for count in (1, 2, 3, 3)]
    assert sum(kernel.size for kernel in kernels) == 9 * 9 * 25
    assert ops.ipixel_deconv(jnp.zeros((1, 4, 4, 5)), kernels).shape == (1, 8, 8, 5)


def _sets(kind):
    """Sets of weights of Eq. 2, one for each pair of a source and a phase."""
    sets, earlier = 0, 0
    for stage in ops.pixel_order(2, 2, order=kind):
        sets += len(stage) * (1 + earlier)
        earlier += len(stage)
    return sets


@pytest.mark.parametrize(
    ("order", "problem"),
    [
        ((((0,), (1,)),), "each 2 ints"),
        ((((0, 0),), ((1, 1),), ((0, 1),)), "every one of the 4 phases of factor 2 once"),
        ((((0, 0), (0, 0)), ((1, 1),), ((0, 1), (1, 0))), "once"),
        ((((0, 0),), ((1, 1),), ((0, 1), (1, 2))), "factor 2"),
        ("row-major", "sequence of stages"),
        (((0, 0), (1, 1)), "sequence of stages"),
        ((((0, 0),), (), ((1, 1),), ((0, 1), (1, 0))), "sequence of stages"),
        ((((0, 0.0),), ((1, 1),), ((0, 1), (1, 0))), "ints"),
    ],
)
@pytest.mark.parametrize("name", sorted(LAYERS))
def test_refuses_bad_orders(name, order, problem):
    with pytest.raises(ValueError, match=rf"order must be .*{problem}.*got .*e\.g\. .*or one of figure, equations"):
        LAYERS[name](jnp.zeros((1, 3, 3, 1)), [jnp.zeros((1, 1, 1, 1))] * 4, order=order)


@pytest.mark.parametrize(
    ("kernels", "message"),
    [
        ([], "kernels must be a sequence of 4 kernels, one for each phase .* got 0 of them"),
        ([(3, 3, 2, 2)] * 5, "sequence of 4 kernels.*got 5 of them"),
        (
            [(3, 3, 1, 2)] * 4,
            r"kernels\[0\] must be .*for phase \(0, 0\), which sees the input, here \[any, any, 2, any\]",
        ),
        ([(3, 3, 2, 2)] * 4, r"kernels\[2\] must be .*for phase \(0, 1\), which sees 2 earlier phases, here .*4, 2\]"),
        ([(3, 3, 2, 2), (3, 3, 2, 3)] * 2, r"kernels\[1\] must be .*2, 2\], got shape \(3, 3, 2, 3\)"),
    ],
)
def test_refuses_kernels_that_do_not_fit(kernels, message):
    with pytest.raises(ValueError, match=message):
        ops.pixel_deconv(jnp.zeros((1, 4, 4, 2)), [jnp.zeros(shape) for shape in kernels])


def test_refuses_what_is_no_sequence():
    with pytest.raises(ValueError, match=r"kernels must be a sequence of 4 kernels.*got int"):
        ops.ipixel_deconv(jnp.zeros((1, 4, 4, 2)), 3)  # pyright: ignore[reportArgumentType]
