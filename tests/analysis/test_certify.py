"""Certificates: against brute force on random networks, and by their rules on small ones."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from smoothjax import analysis, nn, ops
from smoothjax.analysis import _relations


def _convolution(x, features=1, taps=3, rate=1, stride=1, factor=1, groups=1, axis=None):
    """A convolution of ones along one axis or all, SAME."""
    ndim = x.ndim - 2
    size = tuple(taps if axis in (None, k) else 1 for k in range(ndim))
    spatial = "DHW"[-ndim:]
    kernel = jnp.ones((*size, x.shape[-1] // groups, features * groups))
    reach = (taps - 1) * rate + 1
    pads = (
        "SAME"
        if factor == 1
        else [(reach // 2, reach - 1 - reach // 2 + factor - 1) if n > 1 else (0, 0) for n in size]
    )
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride,) * ndim,
        pads,
        lhs_dilation=tuple(factor if n > 1 else 1 for n in size),
        rhs_dilation=(rate,) * ndim,
        dimension_numbers=(f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"),
        feature_group_count=groups,
    )


def _beside(x):
    """Two branches in different channels, filtered separately, then together."""
    both = jnp.concatenate([_convolution(x, rate=2), jnp.roll(x, 1, 1)], -1)
    return _convolution(_convolution(both, groups=2), taps=1)


def _windows(x):
    """Computes both positions of each window of two from both: a product with weights, in another layout."""
    groups = x.reshape(x.shape[0], x.shape[1] // 2, 2, -1)
    return jnp.einsum("ij,nwjc->nwic", jnp.ones((2, 2)), groups).reshape(x.shape)


def _space_to_depth(x):
    """Blocks of 2x2 as channels, and their sum."""
    n, h, w, c = x.shape
    blocks = x.reshape(n, h // 2, 2, w // 2, 2, c).swapaxes(2, 3).reshape(n, h // 2, w // 2, 4 * c)
    return blocks @ jnp.ones((4 * c, 1))


_WAYS = {
    **{
        f"rate {rate}, {taps} taps": partial(_convolution, taps=taps, rate=rate)
        for rate in (1, 2, 3, 4)
        for taps in (2, 3)
    },
    "rate 2 along the last axis": lambda x: _convolution(x, rate=2, axis=x.ndim - 3),
    "stride 2": partial(_convolution, taps=2, stride=2),
    "transposed, 2 taps": partial(_convolution, taps=2, factor=2),
    "transposed, 3 taps": partial(_convolution, taps=3, factor=2),
    "shortcut": lambda x: x + _convolution(x, rate=2),
    "branches": lambda x: _convolution(x, rate=2, taps=2) + _convolution(x, rate=3, taps=2),
    "channels": _beside,
    "max pooling": lambda x: nnx.max_pool(x, (2,) * (x.ndim - 2), strides=(2,) * (x.ndim - 2), padding="SAME"),
    "average": lambda x: nnx.avg_pool(x, (3,) * (x.ndim - 2), padding="SAME"),
    "nearest": lambda x: jax.image.resize(x, (len(x), *(2 * n for n in x.shape[1:-1]), 1), "nearest"),
    "linear": lambda x: jax.image.resize(x, (len(x), *(2 * n for n in x.shape[1:-1]), 1), "linear"),
    "every second": lambda x: x[:, ::2],
    "one of a list": lambda x: jnp.stack([x, x[:, ::-1]], 1)[:, 1],
    "example by example": jax.vmap(lambda x: _convolution(x[None], rate=2)[0]),
    "reversed": lambda x: x[:, ::-1],
    "masked": lambda x: jnp.where((jnp.arange(x.shape[1]) % 3 > 0).reshape(-1, *(1,) * (x.ndim - 2)), x, 0),
    "regrouped": lambda x: ops.reinterlace(jnp.roll(ops.periodic_subsample(x, rate=2), 1, 0), rate=2)[:, : x.shape[1]],
    "swapped": lambda x: x.swapaxes(1, x.ndim - 2),
    "running sum": lambda x: jnp.cumsum(x, 1),
    "flattened": lambda x: jnp.roll(x.reshape(len(x), -1), 1, 1).reshape(x.shape),
    "loop": lambda x: jax.lax.scan(lambda c, _: (jnp.roll(c, 2, 1), None), x, None, 3)[0],
    "rows in a loop": lambda x: jax.lax.map(lambda row: 2 * row, x.swapaxes(0, 1))[::-1].swapaxes(0, 1),
    "written to every second": lambda x: x.at[:, ::2].set(jnp.roll(x, 3, 1)[:, ::2]),
    "added to every third": lambda x: x.at[:, ::3].add(x[:, : -(-x.shape[1] // 3)]),
    "unstacked": lambda x: jnp.stack(jnp.unstack(x, axis=1)[::-1], 1),
    "space to depth": lambda x: _space_to_depth(x) if x.ndim == 4 and not sum(n % 2 for n in x.shape[1:3]) else x,
    "windows": lambda x: _windows(x) if x.shape[1] % 2 == 0 else x,
}


def _network(ways):
    def apply(x):
        for way in ways:
            if (min(x.shape[1:-1]) > 3 and max(x.shape[1:-1]) <= 8) or way.startswith("rate"):
                x = _WAYS[way](x)
        return x

    return apply


def _brute_force(network, shape):
    """The inputs `[*S']` that each output depends on: all weights are positive, so nothing cancels."""
    count = int(np.prod(shape))
    basis = jnp.eye(count).reshape(count, *shape, 1)
    out = np.asarray(network(basis)).max(-1)
    return np.moveaxis(out > 0, 0, -1)


def _neighbours(sets, axis):
    """The number of pairs of neighbours that both see something, and of those that share something."""
    ahead = np.moveaxis(sets, axis, 0)
    one, other = ahead[:-1], ahead[1:]
    return int((one.any(-1) & other.any(-1)).sum()), int((one & other).any(-1).sum())


@pytest.mark.parametrize(("shape", "examples"), [((8,), 150), ((5, 4), 50)])
def test_random_networks_as_by_brute_force(shape, examples):
    """Single operations and sequences: where the certificate has no doubt, it counts the same pairs."""

    @settings(max_examples=examples, deadline=None, derandomize=True, database=None)
    @given(st.lists(st.sampled_from(sorted(_WAYS)), min_size=1, max_size=5))
    def check(ways):
        network = _network(ways)
        with jax.disable_jit():
            sets = _brute_force(network, shape)
        certificate = analysis.certify(network, jax.ShapeDtypeStruct((1, *shape, 1), jnp.float32))
        found = [_neighbours(sets, axis) for axis in range(len(shape))]
        for axis, (pairs, shared) in zip(certificate.axes, found, strict=True):
            assert axis.pairs >= pairs
            assert axis.shared >= shared
        gridding = any(pairs > 0 and shared == 0 for pairs, shared in found)
        assert gridding or certificate.verdict != "gridding proven"
        assert not gridding or certificate.verdict != "no gridding"
        if certificate.verdict != "unknown" and not certificate.doubts:
            assert [(axis.pairs, axis.shared) for axis in certificate.axes] == found
            assert (certificate.verdict == "gridding proven") == gridding
            if len(shape) == 1:
                assert certificate.axes[0].seen == tuple(sets.sum(-1))
            decided.append(ways)

    decided: list[object] = []
    check()
    # Most cases must be followed exactly.
    assert len(decided) > 0.8 * examples


def _stack(*rates, ndim=1, taps=3):
    kernel = jnp.ones((*(taps,) * ndim, 1, 1))

    def network(x):
        for rate in rates:
            x = ops.dilated_conv(x, kernel, rate=rate)
        return x

    return network


def _maps(*shape):
    return jax.ShapeDtypeStruct((1, *shape), jnp.float32)


@pytest.mark.parametrize("rates", [(2, 2, 2), (4, 2), (3, 3), (1, 2, 3), (1, 2, 4, 8)])
def test_dependence_of_stacks_is_zero_where_gridding_is_proven(rates):
    """The measure by gradients agrees with the proof by the program, and with the classes of the common factor."""
    certificate = analysis.certify(_stack(*rates), _maps(33, 1))
    gridded = analysis.dependence(_stack(*rates), jnp.ones((1, 33, 1)), rate=max(rates)) == 0
    assert str(certificate).startswith("gridding proven" if gridded else "no gridding")
    assert gridded == (np.gcd.reduce(rates) > 1)
    assert max(certificate.axes[0].classes) + 1 == np.gcd.reduce(rates)


def test_the_fewest_convolutions_leave_nothing():
    """Of five layers in sequence every second one; the certificate of the smoothed network agrees, by name."""
    network, maps = _stack(2, 2, 2, 2, 2, ndim=2), _maps(33, 33, 1)
    certificate = analysis.certify(network, maps)
    assert certificate.smallest == ("convolution#2", "convolution#4")
    assert certificate.smallest is not None
    cured = analysis.certify(network, maps, smooth=certificate.smallest)
    assert (cured.verdict, cured.runs, cured.smallest) == ("no gridding", (), None)
    for fewer in certificate.smallest:
        assert analysis.certify(network, maps, smooth=[fewer]).runs
    assert analysis.certify(network, maps, smooth="all").verdict == "no gridding"


def test_layers_of_one_name_are_told_apart():
    """As in Equinox. Otherwise the stem would count as the smoothing of the layer of rate 2, which hid the run."""

    def network(x):
        for rate in (1, 2, 2):
            with jax.named_scope("conv"):
                x = _convolution(x, features=2, rate=rate)
        return x

    certificate = analysis.certify(network, jnp.ones((1, 16, 2)))
    assert [one.name for one in certificate.convolutions] == ["conv", "conv#2", "conv#3"]
    assert [(run.start, run.stop) for run in certificate.runs] == [("conv#2", "conv#3")]
    assert certificate.smallest == ("conv#2",)


def test_what_mixes_before_does_not_hide_a_run():
    """Rates 1, 2, 4, 8: neighbours share inputs of the network, but at rate 8 no input of the layer of rate 2."""
    certificate = analysis.certify(_stack(1, 2, 4, 8), _maps(65, 1))
    assert certificate.verdict == "no gridding"
    (run,) = certificate.runs
    assert run.layers == ("convolution#2", "convolution#3", "convolution#4")
    assert run.axes[0].describe() == "2 classes, the positions modulo 2"
    assert "inside, gridding is proven along axis 0 from convolution#2 to convolution#4" in str(certificate)


def test_what_is_unknown_is_named():
    """Sorting counts as mixing everything; a proof beside it stays valid, and so does sharing that does not need it."""
    gridded = _stack(2, 2)
    certificate = analysis.certify(lambda x: jnp.sort(gridded(x), 1), _maps(16, 1))
    assert str(certificate).startswith("unknown")
    assert certificate.doubts == ("sort",)
    mixed = analysis.certify(lambda x: _stack(1)(x) + jnp.sort(x, 1), _maps(16, 1))
    assert mixed.verdict == "no gridding"


def test_what_all_outputs_share_is_said():
    """A mean over the map connects all outputs, but weakly."""
    certificate = analysis.certify(lambda x: _stack(2, 2)(x - x.mean(1, keepdims=True)), _maps(16, 1))
    assert str(certificate).startswith("no gridding, but only by what all outputs share (reduce_sum)")


def test_a_scalar_weight_counts_as_not_0():
    """The gate of a residual branch starts at 0 and opens; JAX writes a NumPy scalar into the program as a constant."""
    kernel, mask = jnp.ones((3, 1, 1)), jnp.ones((1, 16, 1), bool)
    for gate in (jnp.zeros(()), np.zeros((), np.float32), np.float32(0)):
        assert analysis.certify(lambda x, gate=gate: x + gate * _stack(1)(x), _maps(16, 1)).verdict == "no gridding"
        weighed = lambda x, gate=gate: x + ops.dilated_conv(x, gate * kernel, rate=1)
        assert analysis.certify(weighed, _maps(16, 1)).verdict == "no gridding"
        masked = lambda x, gate=gate: x + _stack(1)(x) * (gate * mask)
        assert analysis.certify(masked, _maps(16, 1)).verdict == "no gridding"


def test_what_grows_too_large_is_left_out_of_no_reduction(monkeypatch):
    """Otherwise outputs would count as depending on nothing."""
    monkeypatch.setattr(_relations, "LARGEST", 100)
    certificate = analysis.certify(lambda x: _stack(1)(x).max(-1)[..., None], _maps(16, 1))
    assert (certificate.verdict, certificate.doubts) == ("unknown", ("reduce_max",))


def test_channels_that_see_a_diagonal_are_a_doubt():
    """Two channels, the second moved one unit down and right: a unit sees two corners of a square, others differ."""
    places, channels = jnp.arange(15), jnp.arange(2)[None, None]
    rows, columns = places[:, None, None] + channels, places[None, :, None] + channels
    certificate = analysis.certify(lambda x: x[:, rows, columns, 0], _maps(16, 16, 1))
    assert (certificate.verdict, certificate.doubts) == ("unknown", ("channels of the result",))


def test_empty_slices_are_followed():
    """A scan computed as a tree of sums sometimes slices off nothing."""
    certificate = analysis.certify(lambda x: jax.lax.associative_scan(jnp.add, x, axis=1), _maps(16, 1))
    assert (certificate.doubts, certificate.axes[0].seen) == ((), tuple(range(1, 17)))


def test_a_single_position_has_no_neighbours():
    """A signal as an image of one row mixes along its only axis."""
    certificate = analysis.certify(lambda x: _convolution(x, axis=1), _maps(1, 16, 1))
    assert (certificate.verdict, [axis.pairs for axis in certificate.axes]) == ("no gridding", [0, 15])


def test_no_neighbours_share_nothing():
    for function in (jnp.ones_like, lambda x: x.max(1, keepdims=True)):
        assert str(analysis.certify(function, _maps(16, 1))).startswith("no gridding: there are no two neighbouring")


def test_several_inputs():
    """Neighbours that share one of the inputs share."""
    network = lambda x, y: _stack(2, 2)(x) + _stack(1)(y)
    assert analysis.certify(network, _maps(16, 1), _maps(16, 1)).verdict == "no gridding"
    apart = lambda x, y: _stack(2, 2)(x) + _stack(2)(y)
    assert analysis.certify(apart, _maps(16, 1), _maps(16, 1)).verdict == "gridding proven"


def test_a_common_factor_along_one_axis():
    certificate = analysis.certify(lambda x: _convolution(x, rate=2, axis=1), _maps(9, 9, 1))
    assert str(certificate).startswith("gridding proven: along both axes")
    certificate = analysis.certify(lambda x: _convolution(_convolution(x, axis=0), rate=2, axis=1), _maps(9, 9, 1))
    assert str(certificate).startswith("gridding proven: along axis 1 no two")


def _in_place(x):
    """Reads what it wrote."""
    array = jax.new_ref(jnp.zeros_like(x))
    array[...] = _stack(1)(x)
    return x + array[...]


@pytest.mark.parametrize(
    ("function", "inputs", "options", "message"),
    [
        (_stack(2), [_maps(4)], {}, r"inputs must be floating-point maps \[N, \*S, C\]"),
        (_stack(2), [jax.ShapeDtypeStruct((1, 4, 1), jnp.int32)], {}, "inputs must be floating-point maps"),
        (_stack(2), [], {}, "at least one, got"),
        (_stack(2), [(1, 4, 1)], {}, r"inputs must be arrays, got the tuple \(1, 4, 1\): write jax.ShapeDtypeStruct"),
        (lambda x: x.sum(1), [_maps(4, 1)], {}, "function must return maps of 1 spatial"),
        (_in_place, [_maps(9, 1)], {}, "function changes an array in place, by the operation"),
        (_stack(1, 2), [_maps(9, 1)], {"smooth": ["convolution#1"]}, "smooth must hold"),
        (_stack(1, 2), [_maps(9, 1)], {"smooth": "convolution#2"}, "here these are"),
        (linen.Dense(1), [_maps(9, 1)], {}, "the Linen module Dense has no variables: bind them"),
        (lambda x: {"out": x}, [_maps(9, 1)], {}, "got dict: take one array of it in a module or function around"),
        (_stack(1, 2), [_maps(9, 1)], {"smooth": np.ones(2)}, "here these are convolution#2"),
        (_stack(2), [_maps(9, 1)], {"smooth": None}, '"all", got None: give a list'),
        (_stack(2), [_maps(9, 1)], {"smooth": 1}, '"all", got 1: give a list'),
    ],
)
def test_refuses(function, inputs, options, message):
    with pytest.raises(ValueError, match=message):
        analysis.certify(function, *inputs, **options)


class _Shared(nnx.Module):
    """A layer that is called twice, then another."""

    def __init__(self):
        conv = lambda: nnx.Conv(2, 2, (3,), kernel_dilation=2, rngs=nnx.Rngs(0))
        self.a, self.d = conv(), conv()

    def __call__(self, x):
        return self.d(self.a(self.a(x)))


def test_a_layer_that_is_called_twice_is_one_layer():
    """Its second call, smoothed, once counted as gridding; and `smallest` named calls, which `nn.smooth` refused."""
    maps = jnp.ones((1, 25, 2))
    certificate = analysis.certify(_Shared(), maps)
    assert [one.name for one in certificate.convolutions] == ["a", "a#2", "d"]
    assert certificate.smallest == ("a",)
    for name in ("a", "a#2"):  # smoothing a layer smooths all its calls
        assert analysis.certify(_Shared(), maps, smooth=[name]).verdict == "no gridding"
    for smoothing in ("ss_conv", "group_interaction", "circulant_group_interaction"):
        smoothed, _ = nn.smooth(_Shared(), smoothing, only=list(certificate.smallest or ()), rngs=nnx.Rngs(1))
        found = analysis.certify(smoothed, maps)
        assert (found.verdict, found.runs) == ("no gridding", ())
    block = analysis.between(_Shared(), maps, "a#2", "d")
    assert analysis.effective_receptive_field(block, maps).nonzero()[0].size == 5  # two layers, not three
    with pytest.raises(ValueError, match="start must name a layer that the model calls, got 'a#3'"):
        analysis.between(_Shared(), maps, "a#3", "d")


def test_classes_may_be_connected_without_neighbours():
    """A circular layer of rate 2 on an odd map: all positions are of one class, which is not "modulo 1"."""
    layer = nnx.Conv(1, 1, (3,), kernel_dilation=2, padding="CIRCULAR", rngs=nnx.Rngs(0))
    assert "modulo 1" not in str(analysis.certify(nnx.Sequential(layer, layer), jnp.ones((1, 17, 1))))
