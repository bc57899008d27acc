"""Method 1: the two views agree at every size, and match the paper."""

from functools import partial

import chex
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smoothjax import ops
from smoothjax.ops import _group_interaction, _reinterlace
from smoothjax.ops._fast import _phase_mixing
from tests.ops.cases import EXAMPLES, all_derivatives, assert_same, each_convolution, maps, pairs_of, rates
from tests.support import TOLERANCE, assert_close, random


def _weight(rate: int, ndim: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal((rate**ndim, rate**ndim)))


@settings(max_examples=EXAMPLES, deadline=None)
@given(x=maps(), rate=rates(3), seed=st.integers(0, 99))
def test_equation_3(x, rate, seed):
    weight = _weight(rate, x.ndim - 2, seed)
    groups = np.asarray(ops.periodic_subsample(jnp.asarray(x), rate=rate))
    expected = [sum(weight[i, j] * groups[j] for j in range(len(groups))) for i in range(len(groups))]
    assert_close(ops.group_interaction(jnp.asarray(groups), weight), np.stack(expected), 1e-5)


@partial(jax.jit, static_argnums=2)
def _through_groups(x, weight, rate):
    groups = ops.group_interaction(ops.periodic_subsample(x, rate=rate), weight)
    return ops.reinterlace(groups, rate=rate, spatial_shape=x.shape[1:-1])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
@settings(max_examples=EXAMPLES, deadline=None)
@given(x=maps(), rate=rates(3))
def test_the_two_views_agree_at_every_size(dtype, x, rate):
    with jax.enable_x64(dtype == "float64"):
        x, weight = jnp.asarray(x, dtype), _weight(rate, x.ndim - 2)
        blocks = jax.jit(partial(ops.ss_block_fc, rate=rate))(x, weight)
        assert blocks.dtype == x.dtype
        assert_close(blocks, _through_groups(x, weight, rate), TOLERANCE[dtype])


@pytest.mark.usefixtures("x64")
@each_convolution
def test_smoothed_convolution_is_its_decomposition(case):
    x, kernel, rate, padding = case
    weight = _weight(rate, x.ndim - 2)
    fused = partial(ops.group_interaction_dilated_conv, rate=rate, padding=padding)
    fused = jax.jit(fused)(x, kernel, weight)
    pairs = pairs_of(padding, kernel.shape[:-2], rate)
    assert_close(fused, jax.jit(_steps_by_hand, static_argnums=(3, 4))(x, kernel, weight, rate, pairs))
    assert_close(fused, jax.jit(_padded_map, static_argnums=(3, 4))(x, kernel, weight, rate, pairs))


def _steps_by_hand(x, kernel, weight, rate, pairs):
    """Steps 1 to 3 of the decomposition, with the interaction between 2 and 3."""
    padded = jnp.pad(x, [(0, 0), *pairs, (0, 0)])
    out_shape = [s - (k - 1) * rate for s, k in zip(padded.shape[1:-1], kernel.shape, strict=False)]
    groups = ops.periodic_subsample(padded, rate=rate)
    missing = [
        -(-o // rate) - (g - k + 1) for o, g, k in zip(out_shape, groups.shape[2:-1], kernel.shape, strict=False)
    ]
    groups = jnp.pad(groups, [(0, 0), (0, 0), *((0, m) for m in missing), (0, 0)])
    convolved = jnp.stack([ops.dilated_conv(group, kernel, padding="VALID") for group in groups])
    return ops.reinterlace(ops.group_interaction(convolved, weight), rate=rate, spatial_shape=out_shape)


def _padded_map(x, kernel, weight, rate, pairs):
    """The view on the map: pad the input at its end, convolve, interact block by block, crop."""
    out_shape = [
        size + low + high - (taps - 1) * rate
        for size, (low, high), taps in zip(x.shape[1:-1], pairs, kernel.shape, strict=False)
    ]
    ends = [(low, high + -size % rate) for (low, high), size in zip(pairs, out_shape, strict=True)]
    convolved = ops.dilated_conv(x, kernel, rate=rate, padding=ends)
    whole = ops.ss_block_fc(convolved, weight, rate=rate)
    return whole[(slice(None), *(slice(size) for size in out_shape))]


@pytest.mark.parametrize(("size", "same"), [(8, True), (9, False)])
def test_end_padding_matters_where_the_rate_does_not_divide_the_size(size, same):
    x, kernel, weight = random(0, 1, size, size, 2), random(1, 3, 3, 2, 2), _weight(2, 2)
    fused = ops.group_interaction_dilated_conv(x, kernel, weight, rate=2)
    unpadded = ops.ss_block_fc(ops.dilated_conv(x, kernel, rate=2), weight, rate=2)
    assert bool(jnp.allclose(fused, unpadded, atol=1e-4)) is same
    inner = slice(0, 8)
    assert_close(fused[:, inner, inner], unpadded[:, inner, inner])


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_equation_6_is_the_identity(ndim):
    x = random(0, 2, *(5,) * ndim, 3)
    weight = ops.identity_group_interaction(2, ndim)
    chex.assert_trees_all_equal(weight, jnp.eye(2**ndim))
    chex.assert_trees_all_equal(ops.ss_block_fc(x, weight, rate=2), x)


def test_groups_meet_within_their_block():
    x, kernel, weight = random(0, 1, 16, 16, 1), random(1, 3, 3, 1, 1), _weight(2, 2)
    smoothed = lambda x: ops.group_interaction_dilated_conv(x, kernel, weight, rate=2)
    dependence = np.asarray(jax.grad(lambda x: smoothed(x)[0, 7, 8, 0])(x))[0, :, :, 0] != 0
    rows, columns = np.nonzero(dependence)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 9, 6, 11)
    assert dependence[4:10, 6:12].all()


@pytest.mark.parametrize(
    ("shape", "message"),
    [((3, 3), r"weight must be \[rate\*\*d, rate\*\*d\].*here \[4, 4\], got shape \(3, 3\)")],
)
def test_refuses_a_wrong_weight(shape, message):
    x, kernel = jnp.zeros((1, 4, 4, 1)), jnp.zeros((3, 3, 1, 1))
    for call in (
        lambda w: ops.ss_block_fc(x, w, rate=2),
        lambda w: ops.group_interaction(jnp.zeros((4, 1, 2, 2, 1)), w),
        lambda w: ops.group_interaction_dilated_conv(x, kernel, w, rate=2),
    ):
        with pytest.raises(ValueError, match=message):
            call(jnp.zeros(shape))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("shape", "rate"), [((2, 7, 3), 3), ((2, 5, 6, 3), 2), ((1, 4, 3, 5, 2), 2), ((1, 5, 4, 2), 1)]
)
def test_its_own_derivatives_are_those_of_the_plain_form(shape, rate):
    """In forward, reverse and mixed mode, of first and second order: the rule is exact everywhere."""
    ndim = len(shape) - 2
    x, dx = (random(seed, *shape, dtype=jnp.float64) for seed in (0, 1))
    weight, dweight = (random(seed, rate**ndim, rate**ndim, dtype=jnp.float64) for seed in (2, 3))

    def plain(x, weight):
        mixed = _phase_mixing.broadcast_sum(_reinterlace.split_blocks(x, rate), weight)
        return _reinterlace.merge_blocks(mixed, rate, shape[1:-1])

    forms = (partial(ops.ss_block_fc, rate=rate), plain)
    both = [jax.jit(partial(all_derivatives, form))((x, weight), (dx, dweight)) for form in forms]
    for actual, reference in zip(*both, strict=True):
        assert_close(actual, reference)


@pytest.mark.as_users
@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_both_forms_agree(ndim):
    blocks, weight = random(0, 2, *(3, 2, 1, 2, 4, 2)[: 2 * ndim], 3), random(1, 2**ndim, 2**ndim)
    assert_close(_phase_mixing.block_product(blocks, weight), _phase_mixing.broadcast_sum(blocks, weight))


@pytest.mark.usefixtures("x64")
@each_convolution
def test_mixing_commutes_with_the_convolution(case):
    """In value and all gradients, at every size, rate and padding."""
    x, kernel, rate, padding = case
    weight = _weight(rate, x.ndim - 2)
    pairs = pairs_of(padding, kernel.shape[:-2], rate)

    first, last = (
        lambda *arguments, form=form: form(*arguments, rate, pairs)
        for form in (_group_interaction.mix_first, _group_interaction.convolve_first)
    )
    assert_same(first, last, x, kernel, weight)


@pytest.mark.as_users
@pytest.mark.parametrize(("channels", "convolutions_of_the_gradients"), [((2, 3), 2), ((3, 3), 2), ((3, 2), 3)])
def test_it_is_mixed_where_there_are_fewer_channels(channels, convolutions_of_the_gradients):
    """Before the convolution, the gradient of the weight does not need the convolution's output."""
    arguments = random(0, 1, 8, 8, channels[0]), random(1, 3, 3, *channels), _weight(2, 2)
    operation = partial(ops.group_interaction_dilated_conv, rate=2)
    pull = jax.jit(lambda cotangent, *arguments: jax.vjp(operation, *arguments)[1](cotangent))
    text = str(jax.make_jaxpr(pull)(random(3, 1, 8, 8, channels[1]), *arguments))
    assert text.count("conv_general_dilated[") == 3  # as small ones are, traced once for all platforms
    lowered = pull.lower(random(3, 1, 8, 8, channels[1]), *arguments)
    assert lowered.as_text().count("stablehlo.convolution(") == convolutions_of_the_gradients
    compiled = lowered.compile().as_text() or ""
    assert compiled.count(" convolution(") == convolutions_of_the_gradients


@pytest.mark.parametrize("padding", ["SAME", "VALID", ((1, 4), (3, 0))])
def test_symbolic_sizes_of_the_smoothed_convolution(padding):
    """Blocks may be incomplete; exported sizes have no minimum or maximum, whose nests would grow without end."""
    kernel, weight = random(0, 3, 3, 2, 3), _weight(3, 2)
    operation = jax.jit(partial(ops.group_interaction_dilated_conv, rate=3, padding=padding))
    shape = jax.export.symbolic_shape("b, h, w, 2", constraints=["h >= 8", "w >= 8"])
    exported = jax.export.export(operation)(jax.ShapeDtypeStruct(shape, jnp.float32), kernel, weight)
    assert "min" not in str(exported.out_avals)
    for sizes in ((2, 9, 12), (1, 13, 8)):
        x = random(1, *sizes, 2)
        assert_close(exported.call(x, kernel, weight), operation(x, kernel, weight))


@pytest.mark.as_users
@pytest.mark.parametrize(("shape", "rate"), [((1, 1024, 2), 512), ((1, 32, 32, 2), 16)])
def test_many_phases_are_not_added_one_by_one(shape, rate):
    """A sum unrolled over 512 phases takes half a minute to compile."""
    ndim = len(shape) - 2
    layer = partial(ops.ss_block_fc, rate=rate)
    gradient = jax.grad(lambda x, weight: jnp.sum(layer(x, weight) ** 2), (0, 1))
    text = jax.jit(gradient).lower(jnp.ones(shape), jnp.eye(rate**ndim)).as_text()
    assert len(text.splitlines()) < 200
    x, weight = random(0, *shape), random(1, rate**ndim, rate**ndim)
    groups = ops.group_interaction(ops.periodic_subsample(x, rate=rate), weight)
    assert_close(layer(x, weight), ops.reinterlace(groups, rate=rate))
