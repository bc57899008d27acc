"""EfficientNet-Lite as a dense encoder: the published plan, and the effects of removed strides and of smoothings."""

import re
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import models, nn
from smoothjax.models._efficientnet_lite import block_plan
from tests.support import assert_close, build, random

_VARIANTS: Any = tuple(models.EFFICIENTNET_LITE_SIZES)


@cache
def _built():
    return build(lambda rngs: models.EfficientNetLiteEncoder("0", width=4, classifier=False, rngs=rngs))


def _encoder(**options):
    """A narrow network with statistics and scales that differ in every layer, the same for all options."""
    model, other = nnx.clone(_built()), nnx.eval_shape(lambda: _abstract(**options))
    values = dict(nnx.to_flat_state(nnx.state(model)))
    for index, (path, leaf) in enumerate(values.items()):
        if path[-1] != "kernel":
            noise = random(index, *leaf.shape)
            leaf[...] = 1 + 0.1 * noise if path[-1] in ("scale", "var") else 0.1 * noise
    initial = {path: smoother.initial for path, smoother in nn.smoothers(other).items()}
    graph, state = nnx.split(other)
    leaves = [
        (path, leaf.replace(initial[path] if path in initial else values[path][...]))
        for path, leaf in nnx.to_flat_state(state)
    ]
    return nnx.merge(graph, nnx.from_flat_state(leaves))


def _abstract(**options):
    return models.EfficientNetLiteEncoder("0", width=4, classifier=False, rngs=nnx.Rngs(0), **options)


def _run(encoder, images):
    return jax.jit(lambda x: encoder(x))(images)


def _rates(output_stride, smoothing: Any = "none"):
    return [tuple(block.rate for block in blocks) for blocks in block_plan("0", output_stride, smoothing)]


def test_removed_strides_become_rates_of_what_follows():
    assert _rates(32) == [(1,), (1, 1), (1, 1), (1, 1, 1), (1, 1, 1), (1, 1, 1, 1), (1,)]
    assert _rates(16)[5:] == [(1, 2, 2, 2), (2,)]
    assert _rates(8)[3:] == [(1, 2, 2), (2, 2, 2), (2, 4, 4, 4), (4,)]
    # 1, 2, 3 twice over all six convolutions of rate 2; 3, 4, 5 over those of rate 4, of which one remains.
    assert _rates(8, "multigrid")[3:] == [(1, 1, 2), (3, 1, 2), (3, 3, 4, 5), (4,)]
    strides = [block.stride for blocks in block_plan("0", 16, "none") for block in blocks]
    assert np.prod(strides) == 8


@pytest.mark.parametrize(("variant", "parameters"), [("0", 4652008), ("4", 13006568)])
def test_published_parameters_and_sizes(variant: Any, parameters):
    """4.7 and 13.0 million, as in the table of the published networks."""
    encoder = nnx.eval_shape(lambda: models.EfficientNetLiteEncoder(variant, rngs=nnx.Rngs(0)))
    assert sum(leaf.size for leaf in jax.tree.leaves(nnx.state(encoder, nnx.Param))) == parameters
    images = jax.ShapeDtypeStruct((2, 64, 97, 3), jnp.float32)
    assert nnx.eval_shape(lambda e, x: e(x), encoder, images).shape == (2, 2, 4, encoder.out_features)
    assert nnx.eval_shape(lambda e, x: e.logits(x), encoder, images).shape == (2, 1000)


def test_variants_differ_in_depth_and_width():
    plans = [block_plan(variant, 32, "none") for variant in _VARIANTS]
    assert [sum(map(len, plan)) for plan in plans] == [16, 21, 21, 24, 30]
    assert [plan[-1][-1].out_features for plan in plans] == [320, 320, 352, 384, 448]
    assert {(plan[0][0].in_features, len(plan[0]), len(plan[-1])) for plan in plans} == {(32, 1, 1)}


@pytest.mark.parametrize(("output_stride", "padding"), [(8, "same"), (16, "symmetric")])
def test_sizes(output_stride, padding):
    encoder = nnx.eval_shape(lambda: _abstract(output_stride=output_stride, padding=padding))
    for height, width in ((64, 97), (65, 34)):
        maps = nnx.eval_shape(lambda e, x: e(x), encoder, jax.ShapeDtypeStruct((1, height, width, 3), jnp.float32))
        assert maps.shape == (1, -(-height // output_stride), -(-width // output_stride), encoder.out_features)


@pytest.mark.parametrize(("padding", "size", "first"), [("same", 96, 3), ("symmetric", 96, 0)])
def test_output_strides_share_the_cells_of_the_coarsest(padding, size, first):
    """A dilated convolution is the undilated one on each phase: a wrong rate, or padding, would show.

    At even sizes TensorFlow's SAME puts a strided cell on the second of two.
    """
    images = random(0, 1, size, size, 3)
    coarse = _run(_encoder(output_stride=32, padding=padding), images)
    fine = _run(_encoder(output_stride=8, padding=padding), images)
    assert_close(fine[:, first::4, first::4], coarse, 1e-5)


def test_smoothings_start_as_the_identity():
    images = random(0, 1, 40, 33, 3)
    plain = _run(_encoder(output_stride=8), images)
    for smoothing in ("ss_conv", "group_interaction"):
        encoder = _encoder(output_stride=8, smoothing=smoothing)
        assert len(nn.smoothers(encoder)) == 10
        assert_close(_run(encoder, images), plain, 1e-5)


@pytest.mark.parametrize("smoothing", ["multigrid", "average_filter", "aggregated_filters"])
def test_every_smoothing_acts_on_the_dilated_depthwise_convolutions(smoothing):
    encoder = nnx.eval_shape(lambda: _abstract(output_stride=8, smoothing=smoothing))
    dilated = [layer for _, layer in nnx.iter_modules(encoder) if isinstance(layer, nn.DilatedConv)]
    assert len(dilated) == (8 if smoothing == "multigrid" else 10)  # of which two are undilated by multigrid
    assert {layer.smoothing for layer in dilated} == {"none" if smoothing == "multigrid" else smoothing}
    assert all(layer.feature_group_count == layer.in_features == layer.out_features for layer in dilated)
    if smoothing == "average_filter":  # one whose layers have no parameters also computes
        shape = nnx.eval_shape(lambda e, x: e(x), encoder, jax.ShapeDtypeStruct((1, 33, 33, 3), jnp.float32)).shape
        assert shape == (1, 5, 5, encoder.out_features)


def test_no_grouped_convolution_of_xla_is_left():
    """On CPU it takes tens of times as long as `ops.depthwise_conv`."""
    encoder = _encoder(output_stride=8, smoothing="ss_conv")
    text = jax.jit(lambda x: encoder(x)).lower(jax.ShapeDtypeStruct((1, 33, 33, 3), jnp.float32)).as_text()
    assert not [count for count in re.findall(r"feature_group_count = (\d+)", text) if count != "1"]


def test_exports_for_images_of_any_size():
    """Padding does not depend on sizes, so a program may leave them open."""
    encoder = _encoder(output_stride=8, smoothing="group_interaction", padding="symmetric")
    height, width = jax.export.symbolic_shape("h, w", constraints=["h >= 16", "w >= 16"])
    images = jax.ShapeDtypeStruct((1, height, width, 3), jnp.float32)
    program = jax.export.export(jax.jit(lambda x: encoder(x)), platforms=["cuda"])(images)
    assert program.out_avals[0].shape[-1] == encoder.out_features


def test_refuses():
    make: Any = models.EfficientNetLiteEncoder
    for options, message in (
        ({"variant": "5"}, "variant must be one of 0, 1, 2, 3, 4, got '5'"),
        ({"variant": 0}, "variant must be one of '0', '1', '2', '3', '4', got 0"),
        ({"output_stride": 4}, "output_stride must be one of 8, 16, 32, got 4"),
        ({"smoothing": "hdc"}, "smoothing must be one of none, multigrid, .*, got 'hdc'"),
        ({"smoothing": "ss_conv"}, "'ss_conv' has no dilated layer to act on at output_stride 32"),
        ({"padding": "same_pool"}, "padding must be one of same, symmetric, got 'same_pool'"),
        ({"batch_norm": "off"}, "batch_norm must be one of trained, frozen, got 'off'"),
        ({"width": 0}, "width must be an int >= 1, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            make(**({"variant": "0", "rngs": nnx.Rngs(0)} | options))
    with pytest.raises(ValueError, match=r"logits needs the layers after the encoder, .* classifier=True"):
        nnx.eval_shape(lambda: _abstract().logits(jnp.zeros((1, 32, 32, 3))))


def test_deeplab_refuses_options_of_residual_encoders():
    for option, value in (("stride_in", "3x3"), ("stride_unit", "last")):
        options: Any = {option: value}
        with pytest.raises(ValueError, match=f"{option} is an option of residual encoders, got '{value}' with encoder"):
            models.DeepLab(encoder="efficientnet_lite0", num_classes=3, rngs=nnx.Rngs(0), **options)


@pytest.mark.parametrize(
    ("smoothing", "head"), [("ss_conv", "aspp"), ("multigrid", "large_fov"), ("drn", "duc"), ("lfe", "aspp")]
)
def test_deeplab_with_smoothings_and_heads(smoothing, head):
    """Only the classifier is left out; cells are those of residual encoders at every size."""
    model = nnx.eval_shape(
        lambda: models.DeepLab(
            encoder="efficientnet_lite0", num_classes=5, head=head, smoothing=smoothing, rngs=nnx.Rngs(0)
        )
    )
    assert isinstance(model.encoder, models.EfficientNetLiteEncoder)
    assert (model.encoder.classifier, model.encoder.padding, model.encoder.epsilon) == (None, "symmetric", 1e-3)
    logits = nnx.eval_shape(lambda m, x: m(x), model, jax.ShapeDtypeStruct((1, 40, 65, 3), jnp.float32))
    assert logits.shape == ((1, 40, 65, 5) if head == "duc" else (1, 5, 9, 5))
