"""The dilated residual encoder: plan, sizes, and where its cells sit."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import models
from smoothjax.models._resnet import stage_plan
from tests.support import assert_close, build, random


@cache
def _built(depth, **options):
    return build(lambda rngs: models.ResNetEncoder(depth, width=4, rngs=rngs, **options))


def _encoder(depth=18, **options):
    """A copy of a network that is initialised once for all tests."""
    return nnx.clone(_built(depth, **options))


def _rates(depth, output_stride, smoothing):
    return [tuple(r for block in rates for r in block) for _, rates in stage_plan(depth, output_stride, smoothing)]


def test_the_papers_plan():
    assert [stride for stride, _ in stage_plan(101, 8, "none")] == [1, 2, 1, 1]
    assert _rates(101, 8, "none") == [(1,) * 3, (1,) * 4, (2,) * 23, (4,) * 3]
    assert _rates(101, 8, "multigrid")[2:] == [(1, 2, 3) * 7 + (2, 2), (3, 4, 5)]
    assert _rates(18, 8, "multigrid")[2:] == [(1, 2, 3, 2), (3, 4, 5, 4)]
    assert _rates(50, 16, "none") == [(1,) * 3, (1,) * 4, (1,) * 6, (2,) * 3]
    assert _rates(50, 32, "none") == [(1,) * 3, (1,) * 4, (1,) * 6, (1,) * 3]
    assert [stride for stride, _ in stage_plan(50, 32, "none")] == [1, 2, 2, 2]


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("stride_in", ["1x1", "3x3"])
def test_sizes(depth, output_stride, stride_in):
    encoder = nnx.eval_shape(
        lambda: models.ResNetEncoder(depth, output_stride=output_stride, stride_in=stride_in, width=4, rngs=nnx.Rngs(0))
    )
    for height, width in ((64, 97), (65, 33)):
        out = nnx.eval_shape(lambda e, x: e(x), encoder, jax.ShapeDtypeStruct((2, height, width, 3), jnp.float32))
        assert out.shape == (2, -(-height // output_stride), -(-width // output_stride), encoder.out_features)


@pytest.mark.parametrize("stride_in", ["1x1", "3x3"])
def test_v1_and_v15_hold_the_stride_in_different_convolutions(stride_in):
    make = lambda: models.ResNetEncoder(50, width=4, stride_in=stride_in, rngs=nnx.Rngs(0))
    block = nnx.eval_shape(make).stages[1][0]
    strides = (block.conv1.strides, block.conv2.strides)
    assert strides == ((2, 1) if stride_in == "1x1" else (1, 2))


@pytest.mark.parametrize(("depth", "stride_in"), [(18, "1x1"), (50, "1x1"), (50, "3x3")])
def test_cell_i_sits_on_pixel_8i(depth, stride_in):
    """With mirror-symmetric kernels, 8k + 1 rows are mapped to k + 1 cells in a mirror-symmetric way; and rows of
    nothing at the end, which make the size even, change nothing: padding depends on no size."""
    encoder = _encoder(depth, stride_in=stride_in)
    for path, kernel in nnx.to_flat_state(nnx.state(encoder, nnx.Param)):
        if path[-1] == "kernel":
            kernel[...] = kernel[...] + kernel[...][::-1]
    cells = 121
    middle = 8 * (cells // 2)
    image = jnp.zeros((1, 8 * cells - 7, 9, 3)).at[:, middle - 9 : middle + 8].set(random(0, 1, 17, 9, 3))
    run = jax.jit(lambda x: encoder(x))
    features = run(image)
    assert features.shape[1] == cells
    assert not bool(jnp.any(features[:, :3]))  # the receptive field ends before the border, so zeros extend the image
    assert_close(run(image[:, ::-1])[:, ::-1], features, 1e-5)
    for more in (3, 7):
        longer = jnp.pad(image, [(0, 0), (0, more), (0, 0), (0, 0)])
        assert_close(run(longer)[:, :cells], features, 1e-5)


def test_frozen_batch_norm_stays():
    encoder = _encoder(batch_norm="frozen")
    encoder.train()
    x = random(0, 2, 33, 33, 3)
    before = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(encoder, nnx.BatchStat)))
    gradient = nnx.jit(nnx.grad(lambda e: jnp.mean(e(x) ** 2)))(encoder)
    jax.tree.map(np.testing.assert_array_equal, nnx.to_pure_dict(nnx.state(encoder, nnx.BatchStat)), before)
    for path, leaf in nnx.to_flat_state(gradient):
        moves = float(jnp.abs(leaf[...]).max()) > 0
        assert moves is (path[-1] == "kernel"), path


def test_frozen_and_trained_agree_in_evaluation():
    x = random(0, 1, 33, 33, 3)
    trained, frozen = (_encoder(batch_norm=mode) for mode in models.BATCH_NORM_MODES)
    nnx.update(frozen, nnx.state(trained))
    assert_close(jax.jit(lambda x: frozen(x))(x), jax.jit(lambda x: trained(x))(x))


def test_train_updates_the_statistics():
    encoder = _encoder()
    before = encoder.bn1.mean[...]
    nnx.jit(lambda e, x: e(x))(encoder, random(0, 2, 33, 33, 3))
    assert bool((encoder.bn1.mean[...] == before).all())  # evaluation mode is the default
    encoder.train()
    nnx.jit(lambda e, x: e(x))(encoder, random(0, 2, 33, 33, 3))
    assert not bool((encoder.bn1.mean[...] == before).all())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 20}, "depth must be one of 10, 18, 34, 50, 101, 152, got 20"),
        ({"output_stride": 4}, "output_stride must be one of 8, 16, 32, got 4"),
        ({"smoothing": "hdc"}, "smoothing must be one of none, multigrid, group_interaction, ss_conv, .*, got 'hdc'"),
        ({"stride_in": "2x2"}, "stride_in must be one of 1x1, 3x3, got '2x2'"),
        ({"batch_norm": "off"}, "batch_norm must be one of trained, frozen, got 'off'"),
        ({"output_stride": 32, "smoothing": "ss_conv"}, "no dilated layer to act on at output_stride 32"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        models.ResNetEncoder(**({"depth": 18, "rngs": nnx.Rngs(0)} | options))
