"""The hot forms loop over positions, which must not show on devices, in exports and outside jit."""

import logging
from functools import partial

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from smoothjax import ops
from smoothjax.ops._fast import _cross, _phase_conv, _spatial_filter
from tests.support import assert_close, random


def _kernel_of(x, taps):
    return jnp.broadcast_to(taps[..., None, None], (*taps.shape, x.shape[-1], x.shape[-1]))


def _phase_conv_of(x, taps):
    return _phase_conv.phase_conv(x, _kernel_of(x, taps))


def _cross_of(x, taps):
    right, below = _cross.cross(x, 2 * x, _kernel_of(x, taps))
    return right + jnp.roll(below, 1, 1)


OPERATIONS = {
    "ss_conv 3x3": (ops.ss_conv, (3, 3)),
    "ss_conv 7x7": (ops.ss_conv, (7, 7)),
    "ss_conv 9x9": (ops.ss_conv, (9, 9)),
    "ss_conv 16x15": (ops.ss_conv, (16, 15)),
    "ss_block_fc": (partial(ops.ss_block_fc, rate=2), (4, 4)),
    "phase_conv 3x3": (_phase_conv_of, (3, 3)),
    "phase_conv 2x1": (_phase_conv_of, (2, 1)),
    "cross 3x3": (_cross_of, (3, 3)),
}
each = pytest.mark.parametrize("name", sorted(OPERATIONS))


@pytest.fixture(autouse=True)
def limits_of_small_maps(monkeypatch):
    """Lowers the limits, so that small maps have several strips, and the forms of large maps."""
    monkeypatch.setattr(_phase_conv, "_STRIP_BYTES", 10_000)
    monkeypatch.setattr(_phase_conv, "_SHARED_BYTES", 12_000)
    monkeypatch.setattr(_spatial_filter, "_MIN_UNPADDED_CHANNELS", 1)


def _loss(operation, x, parameter):
    return jnp.sum(jnp.sin(operation(x, parameter)))


@each
def test_gradients_under_shard_map(name):
    """The parameter is replicated, the batch split; reverse and forward mode."""
    operation, size = OPERATIONS[name]
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    specs = (PartitionSpec("data"), PartitionSpec())
    sharded = jax.shard_map(operation, mesh=mesh, in_specs=specs, out_specs=PartitionSpec("data"))
    x, parameter = random(0, 8, 11, 12, 3), random(1, *size)
    expected = jax.jit(jax.grad(partial(_loss, operation), (0, 1)))(x, parameter)
    for actual, reference in zip(
        jax.jit(jax.grad(partial(_loss, sharded), (0, 1)))(x, parameter), expected, strict=True
    ):
        assert_close(actual, reference)
    tangents = jax.jvp(jax.jit(sharded), (x, parameter), (x, parameter))[1]
    assert_close(tangents, 2 * operation(x, parameter))


@pytest.mark.as_users
@each
def test_a_split_batch_is_never_gathered(name):
    """A loop over examples would fetch the whole batch to every device."""
    operation, size = OPERATIONS[name]
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    split, everywhere = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (("data",), ()))
    step = jax.jit(
        jax.grad(partial(_loss, operation), (0, 1)), in_shardings=(split, everywhere), out_shardings=(split, everywhere)
    )
    text = step.lower(jnp.ones((8, 20, 20, 4)), jnp.ones(size)).compile().as_text() or ""
    assert "all-reduce" in text
    assert "all-gather" not in text
    assert "all-to-all" not in text


@each
@pytest.mark.parametrize("gradient", [False, True])
def test_symbolic_sizes(name, gradient):
    operation, size = OPERATIONS[name]
    parameter = random(1, *size)
    function = jax.grad(partial(_loss, operation)) if gradient else operation
    shape = jax.export.symbolic_shape("b, h, w, 3", constraints=["h >= 8", "w >= 8"])
    exported = jax.export.export(jax.jit(lambda x: function(x, parameter)))(jax.ShapeDtypeStruct(shape, jnp.float32))
    for sizes in ((2, 18, 20), (1, 13, 9)):
        x = random(0, *sizes, 3)
        assert_close(exported.call(x), function(x, parameter))


@pytest.mark.as_users
@each
def test_calls_outside_jit_compile_once(name, caplog):
    operation, size = OPERATIONS[name]
    x, parameter = random(0, 2, 13, 9, 5), random(1, *size)
    jax.clear_caches()  # what other tests have compiled
    for call in (lambda: operation(x, parameter), lambda: jax.grad(partial(_loss, operation), (0, 1))(x, parameter)):
        compiled = []
        for _ in range(3):
            caplog.clear()
            with jax.log_compiles(True), caplog.at_level(logging.WARNING):
                call()
            compiled.append(sum("Finished XLA compilation" in record.message for record in caplog.records))
        assert compiled[0] > 0
        assert compiled[2] == 0


@each
@pytest.mark.parametrize("shape", [(0, 9, 9, 2), (2, 9, 9, 0)])
def test_empty_maps(name, shape):
    operation, size = OPERATIONS[name]
    x, parameter = jnp.zeros(shape), jnp.ones(size)
    assert operation(x, parameter).shape == shape
    gradients = jax.grad(partial(_loss, operation), (0, 1))(x, parameter)
    assert [gradient.shape for gradient in gradients] == [shape, size]
    np.testing.assert_array_equal(gradients[1], 0)
