"""The auto-encoder with each up-sampling: shapes, the bound, equal starts, and refusals."""

import math
from functools import cache, partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import models, nn
from tests.support import assert_close, build, random


@cache
def _built(upsampling: Any, **options: Any) -> Any:
    options = {"latent_features": 6, "width": 2} | options
    return build(lambda rngs: models.ConvVAE(upsampling=upsampling, rngs=rngs, **options))


def _small(upsampling: Any = "resize_conv", **options: Any):
    """A copy of a network that is initialised once for all tests."""
    return nnx.clone(_built(upsampling, **options))


@pytest.fixture(scope="module")
def vae():
    return _small()


@pytest.fixture(scope="module")
def images():
    return jnp.asarray(np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3)) / 255, jnp.float32)


@partial(jax.jit, static_argnums=(0, 1))
def _apply(graph, method, state, *arguments):
    return getattr(nnx.merge(graph, state), method)(*arguments)


def _run(model, method, *arguments):
    """Calls a method of a model in one compiled program, shared by models of one graph."""
    graph, state = nnx.split(model)
    return _apply(graph, method, nnx.to_pure_dict(state), *arguments)


@partial(jax.jit, static_argnums=0)
def _loss_and_gradient(graph, params, rest, images, noise):
    def loss(params):
        model = nnx.merge(graph, params, rest)
        out = model.elbo(images, noise)
        return -out.elbo.mean(), (out, model.sample(noise), model.reconstruct(images))

    return jax.value_and_grad(loss, has_aux=True)(params)


@pytest.mark.parametrize("upsampling", nn.UPSAMPLINGS)
def test_every_upsampling(upsampling, images):
    model = _small(upsampling)
    model.train()
    noise = random(1, 3, 6)
    graph, params, rest = nnx.split(model, nnx.Param, ...)
    states = (nnx.to_pure_dict(state) for state in (params, rest))
    (loss, (out, sampled, reconstructed)), gradients = _loss_and_gradient(graph, *states, images, noise)
    chex.assert_shape([*out], (3,))
    chex.assert_shape([sampled, reconstructed], (3, 64, 64, 3))
    for pictures in (sampled, reconstructed):
        assert 0 <= float(pictures.min()) < float(pictures.max()) <= 1
    assert np.isfinite(loss)
    assert all(np.isfinite(g).all() and np.any(g) for g in jax.tree.leaves(gradients))
    assert (np.asarray(out.kl) >= 0).all()
    assert_close(out.elbo, out.reconstruction - out.kl)


def test_only_the_upsampling_layers_differ():
    states = {}
    for upsampling in nn.UPSAMPLINGS:
        flat = nnx.to_flat_state(nnx.state(_small(upsampling), nnx.Param))
        states[upsampling] = {path: leaf[...] for path, leaf in flat if path[0] != "up"}
    for state in states.values():
        chex.assert_trees_all_equal(state, states["dcl"])


def test_the_papers_kernels():
    shapes: dict[str, list[tuple[int, ...]]] = {}
    for upsampling in ("dcl", "fast_pixel_dcl"):
        model = nnx.eval_shape(lambda u=upsampling: models.ConvVAE(upsampling=u, width=8, rngs=nnx.Rngs(0)))
        shapes[upsampling] = [leaf.shape for leaf in jax.tree.leaves(nnx.state(model.up, nnx.Param))]
    assert shapes["dcl"] == [(6, 6, 64, 32), (6, 6, 32, 16), (6, 6, 16, 8), (6, 6, 8, 8)]
    assert shapes["fast_pixel_dcl"][:3] == [(3, 3, 64, 32), (3, 3, 32, 32), (3, 3, 32, 32)]


@pytest.mark.parametrize("likelihood", models.LIKELIHOODS)
def test_the_bound_is_that_of_its_parts(likelihood, images):
    """Against NumPy in double precision, from the outputs of encoder and decoder."""
    model, noise = _small(likelihood=likelihood), random(1, 3, 6)
    mean, log_variance = (np.asarray(a, np.float64) for a in _run(model, "encode", images))
    latents = mean + np.exp(log_variance / 2) * np.asarray(noise, np.float64)
    mu, log_scale = (np.asarray(a, np.float64) for a in _run(model, "decode", jnp.asarray(latents, jnp.float32)))
    x, scale = np.asarray(images, np.float64), np.exp(log_scale)
    if likelihood == "gaussian":
        pixels = np.log(np.exp(-0.5 * ((x - mu) / scale) ** 2) / (256 * scale * np.sqrt(2 * np.pi)))
    else:
        upper, lower = (1 / (1 + np.exp(-(x + h - mu) / scale)) for h in (1 / 510, -1 / 510))
        pixels = np.log(np.where(x == 1, 1, upper) - np.where(x == 0, 0, lower))
    reconstruction = pixels.sum((1, 2, 3))
    kl = 0.5 * (mean**2 + np.exp(log_variance) - log_variance - 1).sum(1)
    out = _run(model, "elbo", images, noise)
    assert_close(out.reconstruction, reconstruction)
    assert_close(out.kl, kl)
    assert_close(out.elbo, reconstruction - kl)
    assert_close(model.bits_per_dimension(out.elbo), -(reconstruction - kl) / (12288 * math.log(2)))


def test_both_likelihoods_start_alike(images):
    """In the same unit, at the same standard deviation: bits of the 8-bit image."""
    bits = {}
    for likelihood in models.LIKELIHOODS:
        model = _small(likelihood=likelihood)
        bits[likelihood] = float(model.bits_per_dimension(_run(model, "elbo", images, jnp.zeros((3, 6))).elbo).mean())
    assert bits["gaussian"] == pytest.approx(bits["discretized_logistic"], rel=0.2)
    assert 6 < bits["gaussian"] < 16


def test_sampling_and_reconstruction_are_the_clipped_mean(vae, images):
    mean, _ = _run(vae, "encode", images)
    expected = jnp.clip(_run(vae, "decode", mean).mean, 0, 1)
    assert_close(_run(vae, "reconstruct", images), expected)
    assert_close(_run(vae, "sample", mean), expected)


def test_noise_moves_the_bound_and_nothing_else_does(vae, images):
    first, again, other = (_run(vae, "elbo", images, random(seed, 3, 6)) for seed in (1, 1, 2))
    chex.assert_trees_all_equal(first, again)
    chex.assert_trees_all_equal(first.kl, other.kl)
    assert (np.asarray(first.reconstruction) != np.asarray(other.reconstruction)).all()


def test_a_new_model_is_in_evaluation_mode(images):
    model = _small()
    statistics = jax.tree.map(jnp.copy, nnx.state(model, nnx.BatchStat))
    reconstruct = nnx.jit(lambda model: model.reconstruct(images))
    evaluated = reconstruct(model)
    chex.assert_trees_all_equal(statistics, nnx.state(model, nnx.BatchStat))
    model.train()
    assert float(jnp.abs(reconstruct(model) - evaluated).max()) > 1e-3
    changed = jax.tree.map(lambda a, b: bool((a != b).any()), statistics, nnx.state(model, nnx.BatchStat))
    assert all(jax.tree.leaves(changed))


def test_bfloat16_compute_keeps_float32_results_and_parameters(vae, images):
    model, noise = _small(dtype=jnp.bfloat16), random(1, 3, 6)
    out, reference = (_run(m, "elbo", images, noise) for m in (model, vae))
    assert {a.dtype for a in out} == {leaf.dtype for leaf in jax.tree.leaves(nnx.state(model, nnx.Param))}
    assert_close(out.elbo, reference.elbo, 2e-2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"upsampling": "deconv"}, "upsampling must be one of dcl, .*, dysample, got 'deconv'"),
        ({"likelihood": "bernoulli"}, "likelihood must be one of gaussian, discretized_logistic, got 'bernoulli'"),
        ({"latent_features": 0}, "latent_features must be an int >= 1, got 0"),
        ({"width": 2.5}, "width must be an int >= 1, got 2.5"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        models.ConvVAE(**({"rngs": nnx.Rngs(0)} | options))


@pytest.mark.parametrize("shape", [(64, 64, 3), (2, 32, 32, 3), (2, 64, 64, 1)])
def test_refuses_images_of_another_shape(vae, shape):
    with pytest.raises(
        ValueError, match=r"images must be \[N, 64, 64, 3\] of a float dtype, got float32\[.*: crop and"
    ):
        vae.encode(jnp.zeros(shape))


def test_refuses_integers_and_other_latents(vae, images):
    with pytest.raises(ValueError, match=r"images must be .* of a float dtype, got uint8\[2, 64, 64, 3\]"):
        vae.reconstruct(jnp.zeros((2, 64, 64, 3), jnp.uint8))
    with pytest.raises(ValueError, match=r"latents must be \[N, 6\] of a float dtype, got float32\[2, 7\]"):
        vae.sample(jnp.zeros((2, 7)))
    with pytest.raises(ValueError, match=r"noise must be \[N, 6\] of a float dtype, got float32\[6\]: draw one row"):
        vae.elbo(images, jnp.zeros(6))
    with pytest.raises(ValueError, match="images and noise must have the same number of rows, got 3 and 2"):
        vae.elbo(images, jnp.zeros((2, 6)))
