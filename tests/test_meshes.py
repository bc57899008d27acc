"""A batch split over an Explicit mesh, the default of `jax.make_mesh`: it works wherever one over an Auto mesh does."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec

from smoothjax import metrics, models, nn, ops
from tests.support import assert_close, build, random

_X = (8, 5, 6, 2)
_KERNEL, _SMOOTHER, _WEIGHT = random(1, 3, 3, 2, 2), random(2, 3, 3), random(3, 4, 4)


def _phases(c_in: int) -> list[jax.Array]:
    return [random(4, 3, 3, sources, 2) / 4 for sources in (2, c_in + 2, c_in + 4, c_in + 4)]


OPERATIONS: dict[str, tuple[Any, tuple[int, ...], int, dict[str, Any]]] = {
    "periodic_subsample": (partial(ops.periodic_subsample, rate=2), _X, 0, {}),
    "reinterlace": (partial(ops.reinterlace, rate=2), (4, 8, 3, 3, 2), 1, {}),
    "dilated_conv": (partial(ops.dilated_conv, rate=2), _X, 0, {"kernel": _KERNEL}),
    "dilated_conv, larger": (partial(ops.dilated_conv, padding=((3, 3), (3, 3))), _X, 0, {"kernel": _KERNEL}),
    "decomposed": (partial(ops.dilated_conv, rate=2, method="decomposed"), _X, 0, {"kernel": _KERNEL}),
    "group_interaction": (ops.group_interaction, (4, 8, 3, 3, 2), 1, {"weight": _WEIGHT}),
    "ss_block_fc": (partial(ops.ss_block_fc, rate=2), _X, 0, {"weight": _WEIGHT}),
    "group_interaction_dilated_conv": (
        partial(ops.group_interaction_dilated_conv, rate=2),
        _X,
        0,
        {"kernel": _KERNEL, "weight": _WEIGHT},
    ),
    "ss_conv": (ops.ss_conv, _X, 0, {"kernel": _SMOOTHER}),
    "ss_conv, 17x17": (ops.ss_conv, _X, 0, {"kernel": random(2, 17, 17)}),
    "ss_dilated_conv": (partial(ops.ss_dilated_conv, rate=2), _X, 0, {"kernel": _KERNEL, "smoother": _SMOOTHER}),
    "transposed_conv": (ops.transposed_conv, _X, 0, {"kernel": _KERNEL}),
    "transposed_conv, direct": (partial(ops.transposed_conv, method="direct"), _X, 0, {"kernel": _KERNEL}),
    "ipixel_deconv": (ops.ipixel_deconv, _X, 0, {"kernels": _phases(2)}),
    "pixel_deconv": (ops.pixel_deconv, _X, 0, {"kernels": _phases(0)}),
    "fast_pixel_deconv": (
        ops.fast_pixel_deconv,
        _X,
        0,
        {"kernel_first": _KERNEL, "kernel_second": _KERNEL, "kernel_cross": _KERNEL},
    ),
    "carafe": (ops.carafe, _X, 0, {"kernels": random(5, 1, 10, 12, 3, 3)}),
    "dysample": (ops.dysample, _X, 0, {"offsets": random(6, 1, 10, 12, 2, 2)}),
}


@pytest.fixture
def mesh():
    mesh = jax.make_mesh((8,), ("data",))
    with jax.set_mesh(mesh):
        yield mesh


def _split(mesh, array, axis=0):
    return jax.device_put(array, NamedSharding(mesh, PartitionSpec(*(None,) * axis, "data")))


def _pull(operation, x, parameters):
    """Value and gradients, with the cosine as cotangent."""
    out, pull = jax.vjp(lambda x, parameters: operation(x, **parameters), x, parameters)
    return out, pull(jnp.cos(out))


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_operations(mesh, name):
    operation, shape, axis, parameters = OPERATIONS[name]
    x = random(0, *shape)
    pull = jax.jit(partial(_pull, operation))
    found = pull(_split(mesh, x, axis), jax.device_put(parameters, NamedSharding(mesh, PartitionSpec())))
    assert "data" in jax.typeof(found[0]).sharding.spec
    expected = pull(x, parameters)
    for actual, reference in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        assert_close(np.asarray(actual), np.asarray(reference))


LAYERS = {
    "dilated": lambda rngs: nn.DilatedConv(2, 3, (3, 3), rate=2, smoothing="aggregated_filters", rngs=rngs),
    "causal": lambda rngs: nn.CausalDilatedConv(2, 3, 2, rate=2, smoothing="group_interaction", rngs=rngs),
    "ss_block_fc": lambda rngs: nn.SSBlockFC(2, 2, rngs=rngs),
    **{m: partial(lambda m, rngs: nn.UpConv(2, 3, method=m, rngs=rngs), m) for m in nn.UPSAMPLINGS},
}


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_layers(mesh, name):
    """With one and two batch axes; for the causal layer one spatial axis is another batch axis."""
    layer = build(LAYERS[name])
    for shape in (_X, (8, 2, *_X[1:])):
        _compare(mesh, layer, random(0, *shape))


MODELS = {
    "deeplab": (
        lambda rngs: models.DeepLab(
            encoder="resnet10", width=2, num_classes=2, smoothing="group_interaction", rngs=rngs
        ),
        (33, 35),
    ),
    "duc": (lambda rngs: models.DeepLab(encoder="resnet10", width=2, num_classes=2, head="duc", rngs=rngs), (33, 35)),
    "unet": (
        lambda rngs: models.UNet(num_classes=2, depth=2, width=2, upsampling="fast_pixel_dcl", rngs=rngs),
        (8, 8),
    ),
    "upsampled": (
        lambda rngs: models.DeepLabUpsampled(
            models.DeepLab(encoder="resnet10", width=2, num_classes=2, rngs=rngs), upsampling="pixel_dcl", rngs=rngs
        ),
        (33, 35),
    ),
    "vae": (lambda rngs: models.ConvVAE(width=2, latent_features=3, rngs=rngs), (64, 64)),
}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_models(mesh, name):
    make, size = MODELS[name]
    model = build(make)
    images = random(0, 8, *size, 3)
    if name == "vae":
        _compare(mesh, model, images, lambda model, x: model.elbo(x, jnp.ones((8, 3))).elbo)
    elif name == "deeplab":
        _compare(mesh, model, images, lambda model, x: models.upsample_logits(model(x), x.shape[1:3]))
    else:
        _compare(mesh, model, images)


def test_sequences(mesh):
    model = build(
        lambda rngs: models.TemporalConvNet(3, in_features=3, width=16, depth=2, smoothing="ss_conv", rngs=rngs)
    )
    _compare(mesh, model, random(0, 8, 12, 3))


def test_restoration(mesh):
    model = build(lambda rngs: models.GCANet(task="dehaze", width=2, rngs=rngs))
    _compare(mesh, model, random(0, 8, 12, 16, 4))


def test_denoising(mesh):
    model = build(lambda rngs: models.DilatedDenoiser(width=2, rates=(2, 4), smoothing="ss_conv", rngs=rngs))
    model.head.kernel[...] += 0.1  # it starts at zero, and the layers before it would get no gradient
    _compare(mesh, model, 100 * random(0, 8, 12, 16, 3), lambda model, x: model.noise(x))


def _compare(mesh, model, x, call=lambda model, x: model(x)):
    graph, state = nnx.split(model)
    pull = jax.jit(lambda x, state: _pull(lambda x, state: call(nnx.merge(graph, state), x), x, {"state": state}))
    found = pull(_split(mesh, x), jax.device_put(state, NamedSharding(mesh, PartitionSpec())))
    assert "data" in jax.typeof(found[0]).sharding.spec
    (out, found), (expected_out, expected) = found, pull(x, state)
    assert_close(np.asarray(out), np.asarray(expected_out), 1e-4)
    # The gradients of biases before a normalisation are 0, and rounding errors differ.
    scale = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(expected))
    for actual, reference in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_allclose(actual, reference, rtol=0, atol=1e-4 * scale)


COUNTS: dict[str, Any] = {
    "confusion_matrix": partial(metrics.confusion_matrix, num_classes=3),
    "boundary_confusion_matrix": partial(metrics.boundary_confusion_matrix, num_classes=3, distance=1),
    "trimap_confusion_matrix": partial(metrics.trimap_confusion_matrix, num_classes=3, distance=1),
    "isolated_pixels": metrics.isolated_pixels,
}


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_counts(mesh, name):
    labels, predictions = (np.random.default_rng(seed).integers(0, 3, (8, 7, 6)) for seed in (0, 1))
    found = jax.jit(COUNTS[name])(_split(mesh, labels), _split(mesh, predictions))
    np.testing.assert_array_equal(found, COUNTS[name](labels, predictions))


def test_calibration(mesh):
    labels = np.random.default_rng(0).integers(0, 3, (8, 7, 6))
    logits = random(1, 8, 7, 6, 3)
    found = jax.jit(metrics.calibration_counts)(_split(mesh, labels), _split(mesh, logits))
    for actual, expected in zip(found, metrics.calibration_counts(labels, logits), strict=True):
        np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=0, atol=1e-5)
