"""The interface shared with Flax convolutions by the layers that replace them."""

from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

import jax
from flax import nnx
from flax.nnx.nn.dtypes import promote_dtype
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec
from jax.typing import DTypeLike

from .._meshes import keeps_split_batch
from .._programs import one_program
from ._convolution import Convolution, check_convolution_like

OptionalParam: TypeAlias = nnx.Param[jax.Array] | Any
"""A parameter, or None if the options leave it out; `Any` spares callers a type check for None."""

OutSharding = NamedSharding | PartitionSpec | None
"""The sharding of a layer's result on a mesh of Explicit axes, as in `flax.nnx.Conv`."""


class ConvLike:
    """The options of an equivalent `flax.nnx.Conv`, for code that reads them."""

    kernel: nnx.Param[jax.Array]
    bias: OptionalParam
    feature_group_count: int
    precision: lax.PrecisionLike
    preferred_element_type: DTypeLike | None

    kernel_size: tuple[int, ...]
    # Each layer declares the types of these: one int, or one per axis.
    rate: Any
    strides: Any
    padding: Any

    input_dilation: ClassVar[int] = 1
    mask: ClassVar[None] = None
    conv_general_dilated: ClassVar[Callable[..., jax.Array]] = staticmethod(lax.conv_general_dilated)
    promote_dtype: ClassVar[Callable[..., tuple[jax.Array, ...]]] = staticmethod(promote_dtype)

    def convolution(self) -> Convolution:
        """The convolution without its smoothing."""
        return check_convolution_like(
            self.kernel_size,
            self.rate,
            self.strides,
            self.padding,
            self.feature_group_count,
            self.precision,
            self.preferred_element_type,
        )

    @property
    def kernel_dilation(self) -> Any:
        """The dilation rate, or one rate per axis."""
        return self.rate

    @property
    def kernel_shape(self) -> tuple[int, ...]:
        """`[*K, C_in, C_out]`."""
        return self.kernel.shape

    @property
    def use_bias(self) -> bool:
        """Whether a bias is added."""
        return self.bias is not None


def with_one_batch_axis(
    layer: Callable[[jax.Array], jax.Array],
    inputs: jax.Array,
    ndim: int,
    out_sharding: OutSharding = None,
    *,
    name: str = "inputs",
) -> jax.Array:
    """Applies a layer of `ndim` spatial axes with any number of batch axes, including none, as `flax.nnx.Conv` does.

    Errors call the maps `name`, the name of the layer's own argument.
    """
    if inputs.ndim <= ndim:
        raise ValueError(
            f"{name} must be [..., *S, C] with the {ndim} spatial axes S of this layer, got shape {inputs.shape}: add "
            "axes, or make the layer for fewer"
        )
    batch = inputs.shape[: inputs.ndim - ndim - 1]
    y = layer(inputs) if len(batch) == 1 else _apart(layer(_together(inputs, len(batch))), batch)
    return y if out_sharding is None else jax.sharding.reshard(y, out_sharding)


@one_program
@keeps_split_batch()
def _together(x: jax.Array, batch_axes: int) -> jax.Array:
    return x.reshape(-1, *x.shape[batch_axes:])


@one_program
@keeps_split_batch()
def _apart(y: jax.Array, batch: tuple[int, ...]) -> jax.Array:
    return y.reshape(*batch, *y.shape[1:])
