"""Layers of a network by name, and blocks from one layer to another as functions."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.extend.core import Literal, Var
from jax.typing import DTypeLike

from ._arguments import Inputs
from ._watch import Call, Value, Watch, Watched, modules_of


class Layer(NamedTuple):
    """A call of a layer, as `layers` lists them.

    Attributes:
      name: keys from the model down to the layer, joined by dots, as in `describe_smoothing`.
      module: the layer of the model itself.
      input_shape: shape of its first argument; None if that is not an array.
      output_shape: shape of its result; None if that is not an array.
      call: name of this call: that of the layer, with `#2` for its second call, and so on; `between` takes it.
    """

    name: str
    module: nnx.Module
    input_shape: tuple[int, ...] | None
    output_shape: tuple[int, ...] | None
    call: str


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
        self._model, self._shape, self._dtype = Watched(model), shape, dtype
        (self._first, self.start), (self._last, self.stop) = first, last

    def features(self, inputs: Inputs) -> jax.Array:
        """The input of the first layer, for inputs of the network."""

        def watch(call: Call) -> Value:
            if call.number == self._first:
                raise _Reached(call.arguments[0])
            return call.run(*call.arguments)

        return self._reached(inputs, watch)

    def __call__(self, features: jax.Array) -> jax.Array:
        """The result of the last layer, with the features as input of the first."""
        # Only the features matter, so the compiler removes everything before.
        return self._apply(features, jnp.zeros((features.shape[0], *self._shape[1:]), self._dtype))

    def _apply(self, features: jax.Array, inputs: Inputs) -> Value:
        def watch(call: Call) -> Value:
            given = (features, *call.arguments[1:]) if call.number == self._first else call.arguments
            out = call.run(*given)
            if call.number == self._last:
                raise _Reached(out)
            return out

        return self._reached(inputs, watch)

    def _reached(self, inputs: Inputs, watch: Watch) -> Value:
        try:
            self._model(watch, inputs)
        except _Reached as reached:
            return reached.value
        raise AssertionError("the model calls its layers in another order than before")


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
    block = Block(model, tuple(inputs.shape), inputs.dtype, (first, calls[first].name), (last, calls[last].name))
    _check(block, inputs)
    return block


def _numbers(calls: list[Layer], name: str, role: str) -> list[int]:
    found = [i for i, call in enumerate(calls) if name in (call.name, call.call) or call.name.startswith(f"{name}.")]
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
    watched = Watched(model)
    originals = {".".join(map(str, path)): module for path, module in modules_of(model)}
    calls: list[Layer] = []
    finished: list[int] = []

    def watch(call: Call) -> Value:
        shape = getattr(call.arguments[0], "shape", None) if call.arguments else None
        calls.append(Layer(call.layer, originals[call.layer], shape, None, call.name))
        out = call.run(*call.arguments)
        calls[call.number] = calls[call.number]._replace(output_shape=getattr(out, "shape", None))
        finished.append(call.number)
        return out

    given = jax.ShapeDtypeStruct(inputs.shape, inputs.dtype)
    jax.eval_shape(lambda given: watched(watch, given), given)
    return calls, finished


class _Reached(Exception):  # noqa: N818 (no error)
    """Ends a pass through the model early, with the wanted value."""

    def __init__(self, value: Value):
        super().__init__()
        self.value = value
