"""Operations called outside of `jax.jit` are one program each, and inside of it leave no trace of that."""

import jax
import pytest

from smoothjax import ops
from smoothjax._programs import one_program
from tests.support import assert_close, random

X, KERNEL = random(0, 1, 7, 9, 3), random(1, 3, 3, 3, 2)
SMOOTHER, WEIGHT = random(2, 3, 3), random(3, 4, 4)
OPERATIONS = {
    "periodic_subsample": lambda x: ops.periodic_subsample(x, rate=2),
    "dilated_conv": lambda x: ops.dilated_conv(x, KERNEL, rate=2, method="decomposed"),
    "ss_conv": lambda x: ops.ss_conv(x, SMOOTHER),
    "group_interaction_dilated_conv": lambda x: ops.group_interaction_dilated_conv(x, KERNEL, WEIGHT, rate=2),
    "transposed_conv": lambda x: ops.transposed_conv(x, KERNEL),
    "pixel_deconv": lambda x: ops.pixel_deconv(x, [KERNEL, random(4, 3, 3, 2, 2), *[random(5, 3, 3, 4, 2)] * 2]),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_call_outside_jit_compiles_one_program_once(name):
    """Step by step each would compile some ten programs, and call them all every time."""
    operation, compiled = OPERATIONS[name], []

    def counts(event: str, duration_secs: float, **kwargs: str | int) -> None:
        if event.endswith("backend_compile_duration"):
            compiled.append(duration_secs)

    jax.clear_caches()
    jax.monitoring.register_event_duration_secs_listener(counts)
    try:
        first, programs = operation(X), len(compiled)
        again = operation(X)
    finally:
        jax.monitoring.unregister_event_duration_listener(counts)
    assert (programs, len(compiled)) == (1, 1)
    assert_close(first, jax.jit(operation)(X))
    assert (first == again).all()


def test_a_trace_holds_the_steps_themselves():
    """A program within a program would hide them from the compiler, and from whoever reads the trace."""
    for operation, name in (
        (lambda x: ops.periodic_subsample(x, rate=2), "_subsampled"),
        (lambda x: ops.transposed_conv(x, KERNEL), "_decomposed"),
    ):
        assert name not in str(jax.make_jaxpr(operation)(X))


def test_values_besides_arrays_are_part_of_the_program():
    """Another rate must not run the program of the first; arrays are found inside of containers."""
    calls = []

    @one_program
    def scaled(arrays, factors, *, names=()):
        calls.append(factors)
        return {name: arrays[0] * factor for name, factor in zip(names, factors, strict=True)}

    for factors in ((2.0, 3.0), (4.0, 5.0), (2.0, 3.0)):
        out = scaled([X], factors, names=("a", "b"))
        assert_close(out["a"], factors[0] * X)
        assert_close(out["b"], factors[1] * X)
    assert calls == [(2.0, 3.0), (4.0, 5.0)]
    grad = jax.grad(lambda x: scaled([x], (2.0, 3.0), names=("a", "b"))["b"].sum())(X)
    assert_close(grad, 3 + 0 * X)
