"""Layers of a network by name, and blocks from one layer to another as functions."""

import itertools
from collections import Counter
from collections.abc import Callable, Hashable
from contextvars import ContextVar
from functools import cache, partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from flax import nnx
from jax.extend.core import Literal, Var
from jax.typing import DTypeLike

from ._arguments import Inputs

#: Arguments and results of layers: mostly arrays, but Flax allows anything.
Value: TypeAlias = Any
_Call = Callable[..., Value]
_Arguments = tuple[Value, ...]
_Options = dict[str, Value]
_Watch = Callable[[nnx.Module, _Call, _Arguments, _Options], Value]
_WATCH: ContextVar[_Watch] = ContextVar("_WATCH")
#: The attribute of watched layers with their name.
_NAME = "_smoothjax_name"
_TRACE = "_smoothjax_trace"
_TRACES = itertools.count()


class Layer(NamedTuple):
    """A call of a layer, as `layers` lists them.

    Attributes:
      name: keys from the model down to the layer, joined by dots, as in `describe_smoothing`.
      module: the layer of the model itself.
      input_shape: shape of its first argument; None if that is not an array.
      output_shape: shape of its result; None if that is not an array.
    """

    name: str
    module: nnx.Module
    input_shape: tuple[int, ...] | None
    output_shape: tuple[int, ...] | None


class Block:
    """A part of a network as a function; `between` makes it.

    `block(features)` maps the input of the first layer, `[N, *S, C]`, to the result of the last, and
    `block.features(inputs)` computes that input from inputs of the network. Both are in evaluation mode and
    differentiable; the caller should compile them.

    Attributes:
      start, stop: names of its first and last layer.
    """

    start: str
    stop: str

    def __init__(
        self, model: nnx.Module, shape: tuple[int, ...], dtype: DTypeLike, first: tuple[int, str], last: tuple[int, str]
    ):
        self._model, self._shape, self._dtype = nnx.split(model), shape, dtype
        (self._first, self.start), (self._last, self.stop) = first, last

    def features(self, inputs: Inputs) -> jax.Array:
        """The input of the first layer, for inputs of the network."""

        def watch(number: int, call: _Call, arguments: _Arguments, options: _Options) -> Value:
            if number == self._first:
                raise _Reached(arguments[0])
            return call(*arguments, **options)

        return _run(self._model, inputs, watch)

    def __call__(self, features: jax.Array) -> jax.Array:
        """The result of the last layer, with the features as input of the first."""
        # Only the features matter, so the compiler removes everything before.
        return self._apply(features, jnp.zeros((features.shape[0], *self._shape[1:]), self._dtype))

    def _apply(self, features: jax.Array, inputs: Inputs) -> Value:
        def watch(number: int, call: _Call, arguments: _Arguments, options: _Options) -> Value:
            given = (features, *arguments[1:]) if number == self._first else arguments
            out = call(*given, **options)
            if number == self._last:
                raise _Reached(out)
            return out

        return _run(self._model, inputs, watch)


def layers(model: nnx.Module, inputs: Inputs) -> tuple[Layer, ...]:
    """Lists the layers of a network in the order of their calls; computes only shapes.

    Args:
      model: any Flax NNX module that maps an array; it is left as it is.
      inputs: what it is given, an array or a `jax.ShapeDtypeStruct`.

    Returns:
      A `Layer` for each call, a layer before the layers inside it, without the model itself.

    Raises:
      ValueError: model is not a Flax NNX module, or has no `__call__`.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from smoothjax import analysis, models
      >>> model = models.ResNetEncoder(10, width=2, rngs=nnx.Rngs(0))
      >>> found = analysis.layers(model, jnp.ones((1, 33, 33, 3)))
      >>> print(found[-4].name, found[-4].input_shape, found[-4].module.rate)
      stages.3.0.conv2 (1, 5, 5, 16) 4
    """
    calls, _ = _trace(model, inputs)
    return tuple(calls)


def between(model: nnx.Module, inputs: Inputs, start: str, stop: str | None = None) -> Block:
    """The block of a network from one layer to another: from the input of `start` to the result of `stop`.

    The derivatives of a block are those of the network with respect to an inner map, e.g. for its effective receptive
    field. The single layer of rate 4 of Fig. 8 is `between(model, images, "encoder.stages.3.2.conv2")` and the dilated
    stages of Fig. 9 are `between(model, images, "encoder.stages.2", "encoder.stages.3")` of a DeepLab with ResNet-101.

    Args:
      model: any Flax NNX module that maps an array; it is left as it is. The block is in evaluation mode.
      inputs: inputs of the model, an array or a `jax.ShapeDtypeStruct`; only the shape matters.
      start: name of a layer as listed by `layers`, or of a container such as "encoder.stages.2", for its first layer.
        Of a layer that is called several times it is the first call; "conv#2" is the second.
      stop: the same, by default `start`; for a container, its last layer, and without a number its last call.

    Returns:
      The block.

    Raises:
      ValueError: model is not a Flax NNX module or has no `__call__`, there is no such layer, stop does not depend on
        the input of start, or it also depends on a path around start, such as a shortcut.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from smoothjax import analysis
      >>> conv = lambda features, out: nnx.Conv(features, out, (3, 3), rngs=nnx.Rngs(0))
      >>> model, images = nnx.Sequential(conv(3, 4), nnx.relu, conv(4, 4), conv(4, 2)), jnp.ones((1, 9, 9, 3))
      >>> block = analysis.between(model, images, "layers.2", "layers.3")
      >>> block.features(images).shape, block(block.features(images)).shape
      ((1, 9, 9, 4), (1, 9, 9, 2))

    References:
      Wang & Ji, KDD 2018, Sec. 4.4.
    """
    stop = start if stop is None else stop
    calls, finished = _trace(model, inputs)
    first = _numbers(calls, start, "start")[0]
    ending = set(_numbers(calls, stop, "stop"))
    last = next(number for number in reversed(finished) if number in ending)
    for role, number in (("start", first), ("stop", last)):
        shape = calls[number].input_shape if role == "start" else calls[number].output_shape
        if shape is None:
            raise ValueError(f"{role} must be a layer of one array, {calls[number].name} is not: name another one")
    block = Block(_copy(model), tuple(inputs.shape), inputs.dtype, (first, calls[first].name), (last, calls[last].name))
    _check(block, inputs)
    return block


def scoped(model: nnx.Module) -> tuple[Callable[..., Value], nnx.State]:
    """A model in evaluation mode as a function of its state and inputs, and the state.

    Operations of each layer are in a scope (`jax.named_scope`) of its name, so a traced program names them; those of
    its second call in a scope of that name with `#2`, and so on.
    """
    graph, state = nnx.split(_copy(model))

    def call(state: nnx.State, *inputs: Value) -> Value:
        watched = _merged(graph, state)
        calls = Counter[str]()

        def watch(module: nnx.Module, call: _Call, arguments: _Arguments, options: _Options) -> Value:
            name = _name_of(module)
            if not name:
                return call(*arguments, **options)
            calls[name] += 1
            with jax.named_scope(name if calls[name] == 1 else f"{name}#{calls[name]}"):
                return call(*arguments, **options)

        with _watching(watch):
            return watched(*inputs)

    return call, state


def giving(model: nnx.Module) -> Callable[[Inputs, Callable[[int, Value], Value]], Value]:
    """A model in evaluation mode as a function of its inputs and of `give`.

    `give(number, value)` replaces the first argument of a layer's call, numbered as in `layers`.
    """
    graph, state = nnx.split(_copy(model))

    def run(inputs: Inputs, give: Callable[[int, Value], Value]) -> Value:
        count = 0

        def watch(module: nnx.Module, call: _Call, arguments: _Arguments, options: _Options) -> Value:
            nonlocal count
            if not _name_of(module):
                return call(*arguments, **options)
            number, count = count, count + 1
            given = (give(number, arguments[0]), *arguments[1:]) if arguments else arguments
            return call(*given, **options)

        with _watching(watch):
            return _merged(graph, state)(inputs)

    return run


def _numbers(calls: list[Layer], name: str, role: str) -> list[int]:
    layer, _, number = name.partition("#")
    found = [i for i, call in enumerate(calls) if call.name == layer or call.name.startswith(f"{layer}.")]
    if number:
        alone = [i for i in found if calls[i].name == layer]
        found = alone[int(number) - 1 : int(number)] if number.isdecimal() and number != "0" else []
    if not found:
        examples = ", ".join(call.name for call in calls[-3:]) or "nothing: give the model itself to the measures"
        raise ValueError(
            f"{role} must name a layer that the model calls, got {name!r}: analysis.layers lists {examples}"
        )
    return found


def _check(block: Block, inputs: Inputs) -> None:
    """Refuses a block that depends on anything besides its features, or not on them."""
    given = jax.ShapeDtypeStruct(inputs.shape, inputs.dtype)
    features = jax.eval_shape(block.features, given)
    jaxpr = jax.make_jaxpr(block._apply)(features, given).jaxpr
    needed = set(filter(_is_variable, jaxpr.outvars))
    for equation in reversed(jaxpr.eqns):
        if needed.intersection(equation.outvars):
            needed.update(filter(_is_variable, equation.invars))
    features_variable, inputs_variable = jaxpr.invars
    if features_variable not in needed:
        raise ValueError(
            f"stop must depend on what start is given, but {block.stop} does not depend on {block.start}, or is inside "
            "nnx.remat or nnx.jit, which its maps cannot leave: turn them round, or name a later stop, or the "
            "transformed layer"
        )
    if inputs_variable in needed:
        raise ValueError(
            f"start must be passed by everything that stop depends on, but something goes round {block.start} to "
            f"{block.stop}, such as a shortcut, or what nnx.remat or nnx.jit around it is given: start at the layer "
            "that holds both branches, or that is transformed"
        )


def _is_variable(atom: Var | Literal) -> bool:
    return not isinstance(atom, Literal)  # literals have no hash


def _trace(model: nnx.Module, inputs: Inputs) -> tuple[list[Layer], list[int]]:
    """The calls, and their numbers in the order in which they return."""
    graph, state = nnx.split(_copy(model))
    originals = {".".join(map(str, path)): module for path, module in _modules(model)}
    calls: list[Layer] = []
    finished: list[int] = []

    def watch(module: nnx.Module, call: _Call, arguments: _Arguments, options: _Options) -> Value:
        name = _name_of(module)
        if not name:
            return call(*arguments, **options)
        number = len(calls)
        shape = getattr(arguments[0], "shape", None) if arguments else None
        calls.append(Layer(name, originals[name], shape, None))
        out = call(*arguments, **options)
        calls[number] = calls[number]._replace(output_shape=getattr(out, "shape", None))
        finished.append(number)
        return out

    with _watching(watch):
        given = jax.ShapeDtypeStruct(inputs.shape, inputs.dtype)
        jax.eval_shape(lambda given: _merged(graph, state)(given), given)
    return calls, finished


def _run(model: tuple[nnx.GraphDef[Value], nnx.State], inputs: Inputs, watch: _Call) -> Value:
    """Calls a watched model, in parts, until something is reached."""
    count = 0

    def numbered(module: nnx.Module, call: _Call, arguments: _Arguments, options: _Options) -> Value:
        nonlocal count
        if not _name_of(module):
            return call(*arguments, **options)
        count += 1
        return watch(count - 1, call, arguments, options)

    try:
        with _watching(numbered):
            _merged(*model)(inputs)
    except _Reached as reached:
        return reached.value
    raise AssertionError("the model calls its layers in another order than before")


class _Reached(Exception):  # noqa: N818 (no error)
    """Ends a pass through the model early, with the wanted value."""

    def __init__(self, value: Value):
        super().__init__()
        self.value = value


class _watching:  # noqa: N801 (a function to its users)
    """Passes every call of a watched layer through a function."""

    def __init__(self, watch: _Watch):
        self._watch = watch

    def __enter__(self) -> None:
        self._token = _WATCH.set(self._watch)

    def __exit__(self, *_: object) -> None:
        _WATCH.reset(self._token)


def _copy(model: nnx.Module) -> Value:
    """A copy in evaluation mode whose layers are watched; it shares the model's arrays."""
    if not isinstance(model, nnx.Module):
        raise ValueError(f"model must be a Flax NNX module, got {type(model).__name__}: functions have no layers")
    if not callable(model):
        raise ValueError(
            f"model must be called with the inputs, but {type(model).__name__} has no __call__: give a part of it that "
            "has one, or a module around it whose __call__ is the method that you mean"
        )
    copy = in_evaluation(model)
    for path, module in _modules(copy):
        # Calls of rematerialised layers are out of reach; turning it off changes no result.
        if getattr(module, "remat", False):
            module.remat = False
        if callable(module):
            module.__class__ = _watched(type(module))
            setattr(module, _NAME, ".".join(map(str, path)))
    return copy


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


def _merged(graph: nnx.GraphDef[Value], state: nnx.State) -> Value:
    """The model of this trace: the variables of another one could not pass through transformations."""
    model = nnx.merge(graph, jax.tree.map(lambda leaf: leaf, state))
    # Transformations inside keep what they have traced, and would not call watched layers again.
    number = next(_TRACES)
    for _, module in _modules(model):
        if hasattr(module, _NAME):
            setattr(module, _TRACE, number)
    return model


def _name_of(module: nnx.Module) -> str:
    """The name of a watched layer; empty for the model itself, and for a layer that was made during a call.

    The layer holds it: transformations of Flax, such as `nnx.remat`, call copies of layers.
    """
    return getattr(module, _NAME, "")


def _modules(model: nnx.Module) -> list[tuple[tuple[Hashable, ...], Value]]:
    return [(path, node) for path, node in nnx.iter_graph(model) if isinstance(node, nnx.Module)]


@cache
def _watched(kind: Value) -> Value:
    """The same class, whose instances are called through the watch; one for each, since JAX keeps every class."""

    def call(self: Value, *arguments: Value, **options: Value) -> Value:
        return _WATCH.get()(self, partial(kind.__call__, self), arguments, options)

    return type(kind)(kind.__name__, (kind,), {"__call__": call})
