"""Calls of the layers of a network, watched in a copy of it."""

import itertools
from collections import Counter
from collections.abc import Callable, Hashable
from contextvars import ContextVar
from functools import cache, partial
from typing import Any, NamedTuple, TypeAlias

import jax
from flax import nnx

#: Arguments and results of layers: mostly arrays, but Flax allows anything.
Value: TypeAlias = Any
_Each = Callable[[nnx.Module, Callable[..., Value], tuple[Value, ...], dict[str, Value]], Value]
_EACH: ContextVar[_Each] = ContextVar("_EACH")
#: The attribute of watched layers with their name.
_NAME = "_smoothjax_name"
_TRACE = "_smoothjax_trace"
_TRACES = itertools.count()


class Call(NamedTuple):
    """A call of a layer while its network runs.

    Attributes:
      number: of this call among all, from 0.
      layer: name of the layer.
      name: of this call, as `call_name`.
      arguments: what the layer is given, without keyword arguments.
      run: the call itself, as a function of the arguments.
    """

    number: int
    layer: str
    name: str
    arguments: tuple[Value, ...]
    run: Callable[..., Value]


Watch = Callable[[Call], Value]
"""Gives the result of a call, mostly by running it."""


class Watched:
    """A copy of a model in evaluation mode, which shares its arrays; a function sees the calls of its layers.

    Attributes:
      state: its variables.
    """

    state: nnx.State

    def __init__(self, model: nnx.Module):
        self._graph, self.state = nnx.split(_watched_copy(model))

    def __call__(self, watch: Watch, *inputs: Value, state: nnx.State | None = None) -> Value:
        """The result for these inputs, and for other variables if given; results of layers are what `watch` returns."""
        calls, numbers = Counter[str](), itertools.count()

        def each(
            module: nnx.Module, run: Callable[..., Value], arguments: tuple[Value, ...], options: dict[str, Value]
        ) -> Value:
            name = _name_of(module)
            if not name:
                return run(*arguments, **options)
            calls[name] += 1
            call = Call(next(numbers), name, call_name(name, calls[name]), arguments, partial(run, **options))
            return watch(call)

        token = _EACH.set(each)
        try:
            return _merged(self._graph, self.state if state is None else state)(*inputs)
        finally:
            _EACH.reset(token)


def call_name(layer: str, number: int) -> str:
    """The name of a layer's call: that of the layer for the first, with `#2` for the second, and so on."""
    return layer if number == 1 else f"{layer}#{number}"


def layer_of(name: str) -> str:
    """The layer of a call, from `call_name`."""
    return name.partition("#")[0]


def scoped(model: nnx.Module) -> tuple[Callable[..., Value], nnx.State]:
    """A model in evaluation mode as a function of its state and inputs, and the state.

    Operations of each call of a layer are in a scope (`jax.named_scope`) of its name, so a traced program names them.
    """
    watched = Watched(model)

    def watch(call: Call) -> Value:
        with jax.named_scope(call.name):
            return call.run(*call.arguments)

    def run(state: nnx.State, *inputs: Value) -> Value:
        return watched(watch, *inputs, state=state)

    return run, watched.state


def in_evaluation(model: nnx.Module) -> Value:
    """A copy in evaluation mode, which shares the model's arrays."""
    copy = nnx.merge(*nnx.split(model))
    copy.eval()
    return copy


def as_function(function: Callable[..., Value]) -> Callable[..., Value]:
    """A Flax NNX module as a function, in evaluation mode; other functions as they are.

    Flax refuses transformations inside a module, such as `nnx.remat`, if the module is from outside of a trace.
    """
    if not isinstance(function, nnx.Module):
        return function
    graph, state = nnx.split(in_evaluation(function))
    return lambda *inputs: _merged(graph, state)(*inputs)


def _watched_copy(model: nnx.Module) -> Value:
    """A copy in evaluation mode whose layers are watched; it shares the model's arrays."""
    if not isinstance(model, nnx.Module):
        raise ValueError(f"model must be a Flax NNX module, got {type(model).__name__}: functions have no layers")
    if not callable(model):
        raise ValueError(
            f"model must be called with the inputs, but {type(model).__name__} has no __call__: give a part of it that "
            "has one, or a module around it whose __call__ is the method that you mean"
        )
    copy = in_evaluation(model)
    for path, module in modules_of(copy):
        # Calls of rematerialised layers are out of reach; turning it off changes no result.
        if getattr(module, "remat", False):
            module.remat = False
        if callable(module):
            module.__class__ = _watched_class(type(module))
            setattr(module, _NAME, ".".join(map(str, path)))
    return copy


def _merged(graph: nnx.GraphDef[Value], state: nnx.State) -> Value:
    """The model of this trace: the variables of another one could not pass through transformations."""
    model = nnx.merge(graph, jax.tree.map(lambda leaf: leaf, state))
    # Transformations inside keep what they have traced, and would not call watched layers again.
    number = next(_TRACES)
    for _, module in modules_of(model):
        if hasattr(module, _NAME):
            setattr(module, _TRACE, number)
    return model


def _name_of(module: nnx.Module) -> str:
    """The name of a watched layer; empty for the model itself, and for a layer that was made during a call.

    The layer holds it: transformations of Flax, such as `nnx.remat`, call copies of layers.
    """
    return getattr(module, _NAME, "")


def modules_of(model: nnx.Module) -> list[tuple[tuple[Hashable, ...], Value]]:
    return [(path, node) for path, node in nnx.iter_graph(model) if isinstance(node, nnx.Module)]


@cache
def _watched_class(kind: Value) -> Value:
    """The same class, whose instances are called through the watch; one for each, since JAX keeps every class."""

    def call(self: Value, *arguments: Value, **options: Value) -> Value:
        return _EACH.get()(self, partial(kind.__call__, self), arguments, options)

    return type(kind)(kind.__name__, (kind,), {"__call__": call})
