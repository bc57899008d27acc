"""The terms of the ELBO against direct computations in double precision."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smoothjax import models
from tests.support import assert_close, random


def _sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def _normal_cdf(x):
    return 0.5 * (1 + np.vectorize(math.erf)(x / np.sqrt(2)))


def test_gaussian_is_the_density_of_a_bin():
    x, mean, log_scale = (
        np.random.default_rng(0).random((3, 4, 5, 2)),
        np.random.default_rng(1).random((3, 4, 5, 2)),
        -1.7,
    )
    scale = np.exp(log_scale)
    density = np.exp(-0.5 * ((x - mean) / scale) ** 2) / (np.sqrt(2 * np.pi) * scale)
    reference = np.log(density / 256).sum((1, 2, 3))
    actual = models.gaussian_log_likelihood(*(jnp.asarray(a, jnp.float32) for a in (x, mean, log_scale)))
    assert_close(actual, reference)


def test_gaussian_bounds_the_probability_of_the_value():
    """Uniform dequantisation: the mean log-density of a bin is below the logarithm of its probability, and close."""
    dither = (np.arange(1000) + 0.5) / 1000
    for value, mean, scale in ((100, 0.4, 0.05), (3, 0.1, 0.02), (255, 0.8, 0.1)):
        x = jnp.asarray((value + dither) / 256, jnp.float32)[:, None]
        bound = float(models.gaussian_log_likelihood(x, jnp.full_like(x, mean), jnp.log(scale)).mean())
        edges = (np.array([value, value + 1]) / 256 - mean) / scale
        exact = np.log(np.diff(_normal_cdf(edges)).item())
        assert exact - 0.05 < bound <= exact + 1e-5


def test_logistic_is_the_probability_of_the_bin():
    values = np.random.default_rng(0).integers(0, 256, (4, 6, 3))
    values[0, :2] = 0
    values[1, :2] = 255
    mean, scale = np.random.default_rng(1).random((4, 6, 3)), 0.07
    upper, lower = ((values + shift) / 255 for shift in (0.5, -0.5))
    probability = np.where(values == 255, 1.0, _sigmoid((upper - mean) / scale))
    probability -= np.where(values == 0, 0.0, _sigmoid((lower - mean) / scale))
    x = jnp.asarray(values / 255, jnp.float32)
    actual = models.discretized_logistic_log_likelihood(x, jnp.asarray(mean, jnp.float32), jnp.log(scale))
    assert_close(actual, np.log(probability).sum((1, 2)))


@pytest.mark.parametrize("scale", [1e-4, 1e-3, 0.05, 1.0, 100.0])
@pytest.mark.parametrize("mean", [-0.5, 0.0, 0.3001, 1.2])
def test_logistic_probabilities_add_to_one(mean, scale):
    values = jnp.arange(256.0)[:, None] / 255
    nats = models.discretized_logistic_log_likelihood(values, jnp.full_like(values, mean), jnp.log(scale))
    assert float(jnp.exp(nats).sum()) == pytest.approx(1, abs=2e-4)


def test_logistic_is_finite_with_finite_gradients_far_away():
    x = jnp.asarray([0.0, 0.5, 1.0])[:, None]

    def total(mean, log_scale):
        return models.discretized_logistic_log_likelihood(x, mean, log_scale).sum()

    for mean in (-50.0, 50.0):
        value, gradients = jax.value_and_grad(total, (0, 1))(jnp.full_like(x, mean), jnp.asarray(-4.0))
        assert np.isfinite(value)
        assert all(np.isfinite(g).all() for g in gradients)
        # Outside its bin the slope is that of the tail, 1 / s, towards the value; an edge bin beyond has slope 0.
        assert float(jnp.abs(gradients[0]).max()) == pytest.approx(np.exp(4.0), rel=1e-4)


def test_kl_is_the_closed_form_and_what_samples_say():
    mean, log_variance = 0.7 * random(0, 3, 5), 0.5 * random(1, 3, 5)
    m, v = (np.asarray(a, np.float64) for a in (mean, np.exp(log_variance)))
    kl = models.kl_to_standard_normal(mean, log_variance)
    assert_close(kl, 0.5 * (m**2 + v - np.log(v) - 1).sum(-1))
    noise = np.random.default_rng(2).standard_normal((200_000, 1, 5))
    z = m + np.sqrt(v) * noise
    ratio = (0.5 * z**2 - 0.5 * noise**2 - 0.5 * np.log(v)).sum(-1)
    np.testing.assert_allclose(kl, ratio.mean(0), atol=5 * ratio.std(0).max() / np.sqrt(200_000))


def test_kl_is_zero_at_the_prior_and_accurate_near_it():
    assert models.kl_to_standard_normal(jnp.zeros((1, 4)), jnp.zeros((1, 4))).tolist() == [0.0]
    near = models.kl_to_standard_normal(jnp.zeros((1, 1)), jnp.full((1, 1), 1e-3))
    assert_close(near, np.array([0.25e-6]), 1e-3)
