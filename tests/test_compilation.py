"""Programs for inputs of many shapes."""

import jax
import jax.numpy as jnp
import pytest

from smoothjax import compilation
from smoothjax.compilation import JitByShape


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(compilation, "_MOST_PROGRAMS", 4)
    for one in list(compilation._CALLED):
        one.forget()


def _counted():
    traced = []

    def function(x, *, power=1):
        traced.append(x.shape)
        return x**power

    return JitByShape(function, static_argnames="power"), traced


@pytest.mark.usefixtures("few")
def test_a_process_keeps_so_many_programs():
    """Without a limit, images of some hundred sizes ended in a segmentation fault of LLVM."""
    (first, first_traced), (second, second_traced) = _counted(), _counted()
    for size in (1, 2, 1, 2):
        first(jnp.ones(size))
    assert first_traced == [(1,), (2,)]
    for size in (1, 2, 3):
        second(jnp.ones(size))
        assert first.programs + second.programs <= 4
    assert (first.programs, second.programs) == (0, 3)  # the one called the longest ago makes room
    assert first(jnp.full(2, 3.0)).tolist() == [3.0, 3.0]
    assert first_traced == [(1,), (2,), (2,)]
    for size in range(1, 10):  # more shapes than all may keep
        assert second(jnp.full(size, 2.0), power=2).tolist() == [4.0] * size
        assert second._compiled._cache_size() <= 4
    assert len(second_traced) == 3 + 9


@pytest.mark.usefixtures("few")
def test_shapes_types_and_options_are_programs_of_their_own():
    compiled, traced = _counted()
    compiled(jnp.ones(2))
    compiled(jnp.ones(2, jnp.bfloat16))
    compiled(jnp.ones(2), power=2)
    compiled(jnp.zeros(2))
    assert compiled.programs == len(traced) == 3


def test_a_function_that_is_gone_keeps_nothing():
    compiled, _ = _counted()
    compiled(jnp.ones(2))
    held = len(compilation._CALLED)
    del compiled
    assert len(compilation._CALLED) == held - 1


def test_takes_trees():
    compiled = JitByShape(lambda tree: jax.tree.map(jnp.negative, tree))
    assert compiled({"a": jnp.ones(1), "b": [jnp.ones(2)]})["b"][0].tolist() == [-1.0, -1.0]
    assert compiled.programs == 1
