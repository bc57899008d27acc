"""The effective receptive field of an output in the input maps of each layer."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from ._arguments import check_maps
from ._layers import layers
from ._receptive_field import check_finite, error_at_centre
from ._watch import Call, Value, Watched


class LayerField(NamedTuple):
    """The effective receptive field of an output of the network in the input maps of a layer.

    Attributes:
      name: of the layer, as `layers` lists it.
      module: the layer of the model itself.
      call: name of this call of the layer, as `layers` lists it.
      field: float64 `[*S_l]`, not negative.
    """

    name: str
    module: nnx.Module
    call: str
    field: np.ndarray


def layer_fields(model: nnx.Module, inputs: ArrayLike) -> tuple[LayerField, ...]:
    r"""The effective receptive field of the output's centre in the input of each layer, by one backward pass.

    As `effective_receptive_field`, with the maps $x_l$ of layer l in place of the inputs:

    $$\mathrm{ERF}_l[i]
    = \sum_c \frac{1}{N} \sum_n \Big|\frac{\partial \sum_{c'} y_{n,c'}[0]}{\partial x_{l,n,c}[i]}\Big|$$

    Paths around a layer, such as a shortcut, are not included: the derivative goes through the layer. So the phase
    imbalance of each field shows how evenly the output sees the grid of that layer; for a block of layers by itself
    see `between`.

    Args:
      model: any Flax NNX module that maps an array; it runs in evaluation mode and stays unchanged.
      inputs: inputs of the model, `[N, *S, C]`.

    Returns:
      An entry for each call of a layer whose first argument is maps with the same spatial axes, in the order of the
      calls; a layer that is called twice has two entries.

    Raises:
      AssertionError: inputs have another rank or dtype.
      ValueError: model is not a Flax NNX module or has no `__call__`, its result is not a map with the same spatial
        axes, or gradients are not finite.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from smoothjax import analysis, nn
      >>> conv = lambda rate: nn.DilatedConv(1, 1, (3,), rate=rate, rngs=nnx.Rngs(0))
      >>> found = analysis.layer_fields(nnx.Sequential(conv(1), conv(2), conv(2)), jnp.ones((1, 16, 1)))
      >>> [(one.name, round(analysis.phase_imbalance(one.field, rate=2), 2)) for one in found][1:]
      [('layers.1', 1.0), ('layers.2', 1.0)]

    References:
      Wang & Ji, KDD 2018, Sec. 4.4, Fig. 9.
    """
    maps = check_maps("inputs", inputs)
    calls = layers(model, maps)
    watched = Watched(model)
    seen = [
        number
        for number, call in enumerate(calls)
        if call.input_shape is not None and len(call.input_shape) == maps.ndim and call.input_shape[0] == len(maps)
    ]

    def run(added: dict[int, jax.Array], maps: jax.Array) -> jax.Array:
        def watch(call: Call) -> Value:
            if call.number not in added:
                return call.run(*call.arguments)
            first, *others = call.arguments
            return call.run(first + added[call.number].astype(first.dtype), *others)

        return watched(watch, maps)

    @jax.jit
    def gradients(added: dict[int, jax.Array], maps: jax.Array, error: jax.Array) -> dict[int, jax.Array]:
        (found,) = jax.vjp(lambda added: run(added, maps), added)[1](error)
        return {number: jnp.abs(gradient).sum((0, -1)) for number, gradient in found.items()}

    nothing = {number: jnp.zeros(calls[number].input_shape or ()) for number in seen}
    error = error_at_centre(jax.eval_shape(lambda maps: run({}, maps), maps), maps.ndim)
    scale = float(error.max()) * len(maps)
    found = gradients(nothing, maps, error)
    return tuple(
        LayerField(
            calls[number].name,
            calls[number].module,
            calls[number].call,
            check_finite(np.asarray(found[number], np.float64)) / scale,
        )
        for number in seen
    )
