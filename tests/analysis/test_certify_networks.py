"""Certificates of named networks and layers whose answer is known."""

import itertools

import jax
import jax.numpy as jnp
import pytest
from flax import linen, nnx

from smoothjax import analysis, models, nn, ops


def _maps(*shape):
    return jax.ShapeDtypeStruct((1, *shape), jnp.float32)


@pytest.mark.parametrize(
    "smoothing", ["none", "group_interaction", "circulant_group_interaction", "ss_conv", "average_filter", "multigrid"]
)
def test_deeplab_by_its_layers(smoothing):
    """Only traced: the encoder's dilated layers have gridding, each method removes it, and layers keep their names."""
    model = nnx.eval_shape(
        lambda: models.DeepLab(
            encoder="resnet18", head="large_fov", head_rates=(3,), width=2, num_classes=3, smoothing=smoothing,
            rngs=nnx.Rngs(0),
        )
    )  # fmt: skip
    certificate = analysis.certify(model, _maps(129, 129, 3))
    assert certificate.verdict == "no gridding"  # the first layers mix
    if smoothing != "none":
        assert certificate.runs == ()
        return
    (run,) = certificate.runs
    assert (run.start, run.stop) == ("encoder.stages.2.0.conv1", "encoder.stages.3.1.conv2")
    assert certificate.smallest is not None
    assert analysis.certify(model, _maps(129, 129, 3), smooth=certificate.smallest).runs == ()


def test_temporal_stacks():
    """WaveNet: rates that repeatedly double from 1 have no gridding as a whole, but sequences above rate 1 do."""

    def wavenet(x):
        for rate in (1, 2, 4, 8, 1, 2, 4, 8):
            x = x + jnp.tanh(ops.dilated_conv(x, jnp.ones((2, 1, 1)), rate=rate, padding=[(rate, 0)]))
        return x

    certificate = analysis.certify(wavenet, _maps(48, 1))
    assert certificate.verdict == "no gridding"
    assert [run.layers for run in certificate.runs] == [
        tuple(f"convolution#{number}" for number in numbers) for numbers in ((2, 3, 4), (6, 7, 8))
    ]


@pytest.mark.parametrize(("taps", "counts"), [(2, (1,)), (3, (1, 2)), (4, (2,)), (5, (2, 3))])
def test_phases_of_transposed_convolutions(taps, counts):
    """Uneven overlap (Odena et al.): phases see different numbers of inputs unless the stride divides the taps."""
    layer = nnx.eval_shape(
        lambda: nnx.ConvTranspose(1, 1, (taps, taps), strides=(2, 2), padding="SAME", rngs=nnx.Rngs(0))
    )
    certificate = analysis.certify(layer, _maps(12, 12, 1))
    assert [tuple(sorted(axis.by_phase())) for axis in certificate.axes] == [counts, counts]
    assert ("by turns" in str(certificate)) == (len(counts) > 1)


@pytest.mark.parametrize("method", nn.UPSAMPLINGS)
def test_upsampling_layers_are_followed_exactly(method):
    layer = nnx.eval_shape(lambda: nn.UpConv(2, 2, method=method, rngs=nnx.Rngs(0)))
    certificate = analysis.certify(layer, _maps(9, 9, 2))
    # Where DySample reads, its input decides, so that nothing is certain.
    assert bool(certificate.doubts) == (method == "dysample")
    assert certificate.verdict == ("unknown" if method == "dysample" else "no gridding")


def test_patches_and_points_share_nothing():
    patches = nnx.eval_shape(lambda: nnx.Conv(3, 4, (4, 4), strides=(4, 4), padding="VALID", rngs=nnx.Rngs(0)))
    for function in (patches, lambda x: jax.nn.gelu(x)):
        certificate = analysis.certify(function, _maps(16, 16, 3))
        assert certificate.verdict == "gridding proven"
        assert certificate.axes[0].describe() == "each position depends on units of its own"
        assert (certificate.smallest, certificate.runs) == (None, ())


def _attend(x, rate):
    """Dilated neighbourhood attention over three neighbours along each axis."""
    height, width = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (rate, rate), (rate, rate), (0, 0)))
    places = itertools.product((0, rate, 2 * rate), repeat=2)
    neighbours = jnp.stack([padded[:, i : i + height, j : j + width] for i, j in places], 3)
    weights = jax.nn.softmax((neighbours * x[:, :, :, None]).sum(-1, keepdims=True), axis=3)
    return (weights * neighbours).sum(3)


def test_dilated_neighbourhood_attention():
    for rates, verdict in (((2, 2), "gridding proven"), ((1, 2), "no gridding")):
        certificate = analysis.certify(lambda x, rates=rates: _attend(_attend(x, rates[0]), rates[1]), _maps(12, 12, 2))
        assert certificate.verdict == verdict
    assert certificate.smallest is None


def test_layers_of_linen_have_their_names():
    class Net(linen.Module):
        @linen.compact
        def __call__(self, x):
            for _ in range(2):
                x = linen.Conv(1, (3,), kernel_dilation=2)(x)
            return x

    network = Net().bind(Net().init(jax.random.key(0), jnp.ones((1, 9, 1))))
    certificate = analysis.certify(lambda x: network(x), _maps(9, 1))
    assert certificate.verdict == "gridding proven"
    assert [one.name.split("/")[-1] for one in certificate.convolutions] == ["Conv_0", "Conv_1"]
