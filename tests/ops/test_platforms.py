"""The choice of a form by platform: made at lowering, for the platform that is lowered for."""

import re
from collections import Counter
from functools import partial

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import models, ops
from smoothjax.ops._fast._platform import by_platform
from tests.ops.cases import all_derivatives
from tests.support import assert_close, random

PLATFORMS = ("cpu", "cuda", "tpu")
#: The operations of the forms for the CPU: barriers, loops, and one product for every tap.
_SPECIAL = ("optimization_barrier", "while", "multiply")


def _operations(function, *arguments, platforms):
    exported = jax.export.export(jax.jit(function), platforms=platforms)(*arguments)
    return Counter(re.findall(r"stablehlo\.(\w+)", exported.mlir_module()))


def _smoothed(rate):
    """An operation that has a form for the CPU, and its arguments."""
    x, kernel, smoother = random(0, 1, 9, 10, 3), random(1, 3, 3, 3, 2), random(2, *(2 * rate - 1,) * 2)
    return partial(ops.ss_dilated_conv, rate=rate), (x, kernel, smoother)


@pytest.mark.parametrize("rate", [2, 4])
@pytest.mark.parametrize("gradient", [False, True])
def test_an_export_carries_the_form_of_its_platform(rate, gradient):
    """If the exporting process chose, the form of the CPU would run on every device."""
    operation, arguments = _smoothed(rate)
    loss = lambda *arguments: operation(*arguments).sum()
    function = jax.grad(loss, (0, 1, 2)) if gradient else operation
    found = {name: _operations(function, *arguments, platforms=(name,)) for name in PLATFORMS}
    for name in ("cuda", "tpu"):
        assert [found[name][kind] for kind in _SPECIAL] == [0, 0, 0], name
    assert found["cpu"]["optimization_barrier"] > 0
    assert found["cpu"]["multiply"] >= (2 * rate - 1) ** 2


def test_a_network_is_exported_with_the_forms_of_its_platform():
    """A smoothed DeepLab contains the operations of an unsmoothed one, and depthwise convolutions."""

    def operations(smoothing, platform):
        model = nnx.eval_shape(
            lambda: models.DeepLab(encoder="resnet18", width=2, num_classes=2, smoothing=smoothing, rngs=nnx.Rngs(0))
        )
        graph, state = nnx.split(model)
        images = jax.ShapeDtypeStruct((1, 33, 41, 3), jnp.float32)
        return _operations(lambda state, x: nnx.merge(graph, state)(x), state, images, platforms=(platform,))

    plain = operations("none", "cuda")
    for platform in ("cuda", "tpu"):
        smoothed = operations("ss_conv", platform)
        assert [smoothed[kind] for kind in _SPECIAL] == [plain[kind] for kind in _SPECIAL]
        assert smoothed["optimization_barrier"] == smoothed["while"] == 0
        assert smoothed["convolution"] > plain["convolution"]
    on_cpu = operations("ss_conv", "cpu")
    assert on_cpu["optimization_barrier"] > 0
    assert on_cpu["multiply"] - plain["multiply"] >= 9 + 49


@pytest.mark.as_users
def test_one_export_for_all_platforms_runs_here():
    operation, arguments = _smoothed(2)
    exported = jax.export.export(jax.jit(operation), platforms=PLATFORMS)(*arguments)
    assert_close(jax.jit(exported.call)(*arguments), operation(*arguments))


# --- the mechanism, on forms that differ in their value ---


def _fast(scale: int, x: jax.Array, weight: jax.Array) -> jax.Array:
    return scale * jnp.sin(x) * weight


def _plain(scale: int, x: jax.Array, weight: jax.Array) -> jax.Array:
    return scale * jnp.cos(x) * weight


def _chosen(x: jax.Array, weight: jax.Array) -> jax.Array:
    return by_platform(x, weight, cpu=partial(_fast, 2), default=partial(_plain, 2))


@pytest.mark.as_users
def test_the_chosen_form_has_all_derivatives():
    arguments = (random(0, 4), random(1, 4))
    tangents = (random(2, 4), random(3, 4))
    for actual, reference in zip(
        *(jax.jit(partial(all_derivatives, form))(arguments, tangents) for form in (_chosen, partial(_fast, 2))),
        strict=True,
    ):
        assert_close(actual, reference)


@pytest.mark.as_users
def test_only_arguments_are_kept_for_the_gradient():
    """Residuals of a form not chosen would be zeros in memory; the cosine belongs to the chosen form."""
    x, weight = random(0, 1000), random(1, 1000)
    _, pull = jax.vjp(_chosen, x, weight)
    kept = [leaf for leaf in jax.tree.leaves(pull) if np.size(leaf) == 1000]
    assert len(kept) == 2
    for found, expected in zip(kept, (x, weight), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_equal_forms_are_one():
    """Forms are compared by value: a partial object made anew is no reason to trace or compile again."""
    x, weight = random(0, 5), random(1, 5)
    lowered = [jax.make_jaxpr(_chosen)(x, weight).jaxpr.eqns[0].params["jaxpr"] for _ in range(2)]
    assert lowered[0] is lowered[1]
    same = jax.make_jaxpr(lambda x, w: by_platform(x, w, cpu=partial(_plain, 2), default=partial(_plain, 2)))(x, weight)
    assert "cond" not in str(same)
