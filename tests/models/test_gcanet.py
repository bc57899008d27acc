"""GCANet: its smoothings, and its input and output images."""

import math
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import models, nn
from tests.support import assert_close, build, random


@cache
def _model(smoothing: Any = "ss_conv", **options):
    options = {"task": "dehaze", "width": 4} | options
    return build(lambda rngs: models.GCANet(smoothing=smoothing, rngs=rngs, **options))


@partial(jax.jit, static_argnums=0)
def _apply(graph, state, x):
    return nnx.merge(graph, state)(x)


def _run(model, x):
    return _apply(*nnx.split(model), x)


def _images(*size):
    return jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, *size, 3)), jnp.float32)


def test_parameters():
    counts = {}
    for smoothing in nn.SMOOTHINGS:
        make = partial(models.GCANet, task="dehaze", smoothing=smoothing)
        state = nnx.state(nnx.eval_shape(lambda make=make: make(rngs=nnx.Rngs(0))))
        assert {type(leaf) for _, leaf in nnx.to_flat_state(state)} == {nnx.Param}
        counts[smoothing] = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state))
    # Six layers of rate 2 and six of rate 4.
    assert counts["ss_conv"] - counts["none"] == 6 * 9 + 6 * 49
    assert counts["group_interaction"] - counts["none"] == 6 * 16 + 6 * 256
    assert counts["circulant_group_interaction"] - counts["none"] == 6 * 4 + 6 * 16
    assert counts["ss_conv"] == 702_818  # the published network


def test_every_smoothing_starts_as_the_plain_network_and_differs_once_it_moves():
    x = models.gcanet_input(_images(16, 16))
    plain = _run(_model("none"), x)
    for smoothing in ("ss_conv", "group_interaction"):
        graph, state = nnx.split(_model(smoothing))
        assert_close(_run(_model(smoothing), x), plain, 1e-5)
        moved = [(p, v.replace(v[...] + 0.1) if nn.is_smoother(p) else v) for p, v in nnx.to_flat_state(state)]
        changed = _run(nnx.merge(graph, nnx.from_flat_state(moved)), x)
        assert float(jnp.abs(changed - plain).max()) > 1e-2


def test_every_parameter_gets_a_gradient():
    x = models.gcanet_input(_images(16, 16))
    graph, params = nnx.split(_model("group_interaction"))
    gradient = jax.jit(jax.grad(lambda p: jnp.mean(nnx.merge(graph, p)(x) ** 3)))(params)
    for path, leaf in nnx.to_flat_state(gradient):
        # Instance normalisation removes what is constant in a channel: the biases before it.
        assert (float(jnp.abs(leaf[...]).max()) > 1e-6) is (path[:2] not in {("deconv3", "bias"), ("deconv2", "bias")})


def test_train_and_eval_are_the_same():
    model, x = build(lambda rngs: models.GCANet(task="derain", width=4, rngs=rngs)), random(0, 1, 8, 8, 4)
    before = _run(model, x)
    model.train()
    np.testing.assert_array_equal(_run(model, x), before)
    assert float(before.min()) >= 0


def test_bfloat16_compute_keeps_float32_outputs():
    x = models.gcanet_input(_images(16, 16))
    out = _run(_model(dtype=jnp.bfloat16), x)
    assert out.dtype == jnp.float32
    assert_close(out, _run(_model(), x), 5e-2)


def test_edge_map_by_hand():
    images = np.asarray(_images(4, 5))
    expected = np.zeros((2, 4, 5, 1))
    for n, i, j in np.ndindex(2, 4, 5):
        neighbours = [(i + di, j + dj) for di, dj in ((0, 1), (0, -1), (1, 0), (-1, 0))]
        inside = [images[n, k, m] for k, m in neighbours if 0 <= k < 4 and 0 <= m < 5]
        expected[n, i, j, 0] = sum(np.abs(images[n, i, j] - value).sum() for value in inside) / 12
    assert_close(models.edge_map(jnp.asarray(images)), expected)


@pytest.mark.parametrize("size", [(8, 6), (7, 6), (8, 5), (7, 5), (1, 1)])
def test_any_size(size):
    """Padding changes neither the image nor its edge map, and the result is cropped to the image."""
    images = _images(*size)
    x = models.gcanet_input(images)
    assert x.shape == (2, *(size + size % 2 for size in size), 4)
    assert_close(x[:, : size[0], : size[1]], jnp.concatenate([images, models.edge_map(images)], -1) - 128, 1e-6)
    np.testing.assert_array_equal(models.gcanet_image(x[..., :3] + 128, images, task="derain"), images)
    np.testing.assert_array_equal(models.gcanet_image(jnp.zeros((*x.shape[:3], 3)), images, task="dehaze"), images)


def test_images_are_rounded_and_clipped():
    images, output = (
        jnp.full((1, 1, 4, 3), 100.0),
        jnp.tile(jnp.array([-200.0, -0.6, 0.4, 200.0])[:, None], (1, 1, 1, 3)),
    )
    image = models.gcanet_image(output, images, task="dehaze")
    assert image.dtype == jnp.uint8
    assert image[0, 0, :, 0].tolist() == [0, 99, 100, 255]
    assert models.gcanet_image(output, images, task="derain")[0, 0, :, 0].tolist() == [0, 0, 0, 200]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "denoise"}, "task must be one of dehaze, derain, got 'denoise'"),
        ({"smoothing": "multigrid"}, "smoothing must be one of none, group_interaction, ss_conv, .*, got 'multigrid'"),
        ({"width": 0}, "width must be an int >= 1, got 0"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        models.GCANet(**({"task": "dehaze", "rngs": nnx.Rngs(0)} | options))


def test_refuses_inputs():
    with pytest.raises(ValueError, match=r"x must be \[N, H, W, 4\] of a float dtype, got float32\[1, 4, 4, 3\]"):
        _model()(jnp.zeros((1, 4, 4, 3)))
    with pytest.raises(ValueError, match=r"x must have an even height and width, got 5 x 4: models.gcanet_input pads"):
        _model()(jnp.zeros((1, 5, 4, 4)))
    for function in (models.edge_map, models.gcanet_input):
        with pytest.raises(ValueError, match=r"images must be \[N, H, W, 3\]"):
            function(jnp.zeros((1, 4, 4, 3), jnp.uint8))
    task: Any = "denoise"
    with pytest.raises(ValueError, match="task must be one of dehaze, derain"):
        models.gcanet_image(jnp.zeros((1, 4, 4, 3)), jnp.zeros((1, 4, 4, 3)), task=task)
