"""Certificates of single operations, each against the gradients of all outputs."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smoothjax import analysis, ops

_MASK = np.array([1, 0, 1, 1, 0, 1, 1, 0, 1, 0, 1, 1], bool)


def _dilated(x, rate=2):
    return ops.dilated_conv(x, jnp.ones((3,) * (x.ndim - 2) + (x.shape[-1], x.shape[-1])), rate=rate)


def _columns(mask, x):
    return jnp.asarray(mask).reshape(1, -1, *(1,) * (x.ndim - 2)).astype(x.dtype)


def _batch_groups(x):
    """Two examples, the second moved by one position, become two channels."""
    both = jnp.concatenate([x, jnp.roll(x, 1, 1)], 0)
    return jax.lax.conv_general_dilated(
        both, jnp.ones((3, 1, 2)), (1,), "SAME", rhs_dilation=(2,), batch_group_count=2,
        dimension_numbers=("NWC", "WIO", "NWC"),
    )  # fmt: skip


def _one_channel(x, channel):
    return _batch_groups(x)[..., channel : channel + 1]


def _space_to_depth(x):
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).swapaxes(2, 3).reshape(n, h // 2, w // 2, 4 * c)


def _attention(x):
    """Attention along the axis over keys that end in zeros, with weights that depend on the data."""
    keys = jnp.pad(x, ((0, 0), (0, 4), (0, 0)))
    return jnp.einsum("nwc,nwc->nw", x, keys[:, 4:])[..., None]


def _windows_by_product(x):
    """Each position sees the other position of its pair where a mask is open."""
    pairs = x.reshape(len(x), -1, 2, x.shape[-1])
    opened = pairs * np.array([True, False])[None, None, :, None]
    return jnp.einsum("npic,npjc->npij", pairs, opened).reshape(x.shape[0], x.shape[1], 2)


def _open(x):
    return jnp.broadcast_to((jnp.arange(12) % 3 > 0)[None, :, None], x.shape)


def _where_open(x, test, mask):
    """The maps where a mask is open, whatever the test there, and nothing elsewhere."""
    return jnp.where(_open(x), jnp.where((test | mask) != 0, x, 0), 0)


#: Name: a function, the sizes of its maps, and whether the certificate is to be without doubt.
_EXACT = {
    "set every second": (lambda x: x.at[:, ::2].set(_dilated(x)[:, ::2]), (12, 1)),
    "set every second, of two axes": (lambda x: x.at[:, ::2, 1:3].set(jnp.roll(x, 1, 1)[:, ::2, 1:3]), (6, 5, 1)),
    "set in another sequence": (lambda x: x.at[:, np.array([3, 1, 7])].set(x[:, :3]), (12, 1)),
    "set to numbers": (lambda x: _dilated(x.at[:, 1::2].set(0.0)), (12, 1)),
    "add at places": (lambda x: x.at[:, jnp.array([1, 3])].add(x[:, 5:7]), (12, 1)),
    "add numbers at one place twice": (lambda x: x.at[:, jnp.array([1, 1])].add(1.0), (12, 1)),
    "largest at places": (lambda x: x.at[:, jnp.array([1, 3])].max(x[:, 5:7]), (12, 1)),
    "set points": (lambda x: x.at[:, np.array([0, 2]), np.array([1, 3])].set(x[:, 4:6, 0]), (6, 5, 1)),
    "unstacked": (lambda x: jnp.stack(jnp.unstack(_dilated(x), axis=1)[::-1], 1), (12, 1)),
    "put on a device": (lambda x: jax.device_put(_dilated(jax.device_put(x))), (12, 1)),
    "space to depth": (lambda x: _space_to_depth(x).sum(-1, keepdims=True), (8, 6, 1)),
    "space to depth, then channels by four weights": (lambda x: _space_to_depth(x) @ jnp.ones((4, 3)), (8, 6, 1)),
    "space to depth, dilated": (lambda x: _dilated(_space_to_depth(x)), (12, 12, 1)),
    "channels as they come of space to depth": (_space_to_depth, (8, 6, 1)),
    "groups of examples": (_batch_groups, (12, 1)),
    "the first group of examples": (lambda x: _one_channel(x, 0), (12, 1)),
    "the second group of examples": (lambda x: _one_channel(x, 1), (12, 1)),
    "products": (lambda x: x * _dilated(x), (12, 1)),
    "a loop over nothing": (
        lambda x: jax.lax.scan(lambda sum, y: (sum + y, sum), x, jnp.zeros((0, 1, 1, 1)))[0],
        (12, 1),
    ),
    "edges repeated, of width 0 at some sides": (lambda x: jnp.pad(x, ((0, 0), (1, 0), (0, 0)), mode="edge"), (12, 1)),
    "masks that are compared": (lambda x: _dilated(x) * (jnp.arange(12) % 3 > 0)[None, :, None], (12, 1)),
    "places that are integers": (lambda x: x[:, jnp.array([0, 4, 2, 3, 1])], (12, 1)),
    "masks of compared integers": (
        lambda x: jnp.where(jnp.array(_MASK * 1)[None, :, None] == 1, x, 0),
        (12, 1),
    ),
    "tests of data that a mask decides": (lambda x: _where_open(x, jnp.roll(x, 1, 1) > 0, _open(x)), (12, 1)),
    "bits of data that a mask decides": (
        lambda x: _where_open(x, (jnp.roll(x, 1, 1) > 0).astype(int), jnp.where(_open(x), -1, 0)),
        (12, 1),
    ),
}
_AT_MOST = {
    "a product with what a mask closes": (lambda x: x * (_dilated(x, 1) * _columns(_MASK, x)), (12, 1)),
    "a product with what was moved in": (
        lambda x: _dilated(x, 1) * jnp.pad(x, ((0, 0), (3, 0), (0, 0)))[:, :-3],
        (12, 1),
    ),
    "a product with what was set to 0": (lambda x: _dilated(x, 1) * x.at[:, ::2].set(0.0), (12, 1)),
    "a sum of products": (_attention, (12, 2)),
    "products in windows under a mask": (_windows_by_product, (12, 2)),
    "added twice at one place": (lambda x: x.at[:, jnp.array([1, 1])].add(x[:, 5:7]), (12, 1)),
}


def _sets(function, shape):
    """The inputs that each output depends on, bool `[*S', *S]`, from gradients at several positive examples."""
    inputs = jnp.asarray(np.random.default_rng(0).uniform(1, 2, (16, *shape)), jnp.float32)
    sizes = jax.eval_shape(function, inputs).shape[1:-1]
    sets = analysis.receptive_sets(function, inputs, list(itertools.product(*map(range, sizes))))
    return sets, analysis.sharing_of_sets(sets, sizes)


def _certificate(function, shape):
    return analysis.certify(function, jax.ShapeDtypeStruct((1, *shape), jnp.float32))


@pytest.mark.parametrize("name", _EXACT)
def test_exactly_what_gradients_say(name):
    function, shape = _EXACT[name]
    certificate = _certificate(function, shape)
    _, expected = _sets(function, shape)
    assert certificate.doubts == ()
    assert certificate.verdict == ("gridding proven" if any(axis.is_gridding for axis in expected) else "no gridding")
    for found, axis in zip(certificate.axes, expected, strict=True):
        assert (found.pairs, found.shared) == (axis.pairs, axis.shared)
        assert found.seen == axis.seen


@pytest.mark.parametrize("name", _AT_MOST)
def test_what_may_be_0_is_a_doubt(name):
    """A certificate never claims fewer dependencies than gradients show, nor certain sharing that they do not show."""
    function, shape = _AT_MOST[name]
    certificate = _certificate(function, shape)
    _, expected = _sets(function, shape)
    for found, axis in zip(certificate.axes, expected, strict=True):
        assert found.pairs >= axis.pairs
        assert found.shared >= axis.shared
    gridding = any(axis.is_gridding for axis in expected)
    assert certificate.doubts
    assert certificate.verdict != ("no gridding" if gridding else "gridding proven")


def test_a_gridding_under_a_mask_is_not_denied():
    """The product is 0 where its mask is closed: the remaining neighbours share nothing."""
    mask = jnp.arange(12) % 2 == 0
    certificate = _certificate(lambda x: _dilated(x, 1) * (x * _columns(mask, x)), (12, 1))
    assert certificate.verdict == "unknown"


@pytest.mark.parametrize("dtype", [jnp.int8, jnp.uint8, jnp.int32])
@pytest.mark.parametrize("quantised", [True, False])
def test_zeros_of_integer_kernels_are_weights(dtype, quantised):
    """Zeros in the kernel of a quantised network are chance: they prove nothing, whatever its type."""
    kernel = np.array([1, 0, 1]).reshape(3, 1, 1)

    def network(x):
        given = (x * 16).astype(dtype) if quantised else x
        weights = jnp.asarray(kernel, dtype) if quantised else jnp.asarray(kernel, dtype).astype(x.dtype)
        out = jax.lax.conv_general_dilated(given, weights, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"))
        return out.astype(x.dtype)

    weights = jnp.asarray(kernel, dtype)
    captured = lambda x: ops.dilated_conv(x, weights.astype(x.dtype), rate=1)
    scaled = lambda x: ops.dilated_conv(x, 0.5 * weights, rate=1)
    for one in (network, captured, scaled):
        assert _certificate(one, (12, 1)).verdict == "no gridding"
        assert _certificate(one, (12, 1)).axes[0].shared == 11
    # A mask is a structure, and stays one in a kernel of integers.
    mask = jnp.asarray(kernel == 1)
    masked = lambda x: ops.dilated_conv(x, (weights * mask).astype(x.dtype), rate=1)
    assert _certificate(masked, (12, 1)).verdict == "gridding proven"


def test_convolutions_of_groups_of_examples_are_listed():
    certificate = _certificate(_batch_groups, (12, 1))
    (convolution,) = certificate.convolutions
    assert (convolution.kernel, convolution.rates) == ((3,), (2,))
    assert _certificate(lambda x: _dilated(jnp.sort(_batch_groups(x), 1)), (12, 1)).convolutions[0] == convolution
