"""Batches that are split over an Explicit mesh, the default of `jax.make_mesh`."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import jax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def keeps_split_batch(
    axis: int = 0, out: int | None = 0
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Runs a function of arrays under Auto axes if its arrays are on an Explicit mesh.

    With Explicit axes every reshape of a split axis must give the layout of its result, and several operations have no
    rule at all. Here the compiler finds the layouts. Only the result gets one: split over the same devices as the batch
    of the first argument, with its other axes whole.

    Args:
      axis: the batch axis of the first argument.
      out: the batch axis of the results; None if they are sums over the batch, which are replicated.
    """

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        target: Callable[..., Result] = function

        @wraps(function)
        def wrapper(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            leaves, tree = jax.tree.flatten((args, kwargs), is_leaf=lambda leaf: leaf is None)
            places = [index for index, leaf in enumerate(leaves) if isinstance(leaf, jax.Array)]
            meshes = [jax.typeof(leaves[index]).sharding.mesh for index in places]
            mesh = next((mesh for mesh in meshes if AxisType.Explicit in mesh.axis_types), None)
            if mesh is None:
                return function(*args, **kwargs)
            first = args[0] if args else next(iter(kwargs.values()))
            spec = jax.typeof(first).sharding.spec if isinstance(first, jax.Array) else ()
            split = spec[axis] if axis < len(spec) else None
            layout = PartitionSpec() if out is None else PartitionSpec(*(None,) * out, split)

            def call(*arrays: jax.Array) -> Result:
                filled = list(leaves)
                for index, array in zip(places, arrays, strict=True):
                    filled[index] = array
                args, kwargs = jax.tree.unflatten(tree, filled)
                return target(*args, **kwargs)

            automatic: Any = jax.sharding.auto_axes(call, out_sharding=NamedSharding(mesh, layout))
            return automatic(*(leaves[index] for index in places))

        return wrapper

    return decorate
