"""Batch normalisation that starts in evaluation mode, and can be frozen."""

from typing import Any, get_args

import jax
import jax.numpy as jnp
from flax import nnx

from .._checks import check_bool, check_choice, check_int, check_rngs
from ..names import BatchNormMode

BATCH_NORM_MODES: tuple[BatchNormMode, ...] = get_args(BatchNormMode)
"""The modes of `BatchNorm`."""


class _Statistic(nnx.BatchStat[jax.Array]):
    """A batch statistic that is replaced as a whole.

    Otherwise Flax asks a value for its sharding first. A traced value has none, and JAX searches everything traced
    before for the reason, which takes longer with every layer.
    """

    def __setitem__(self, key: Any, value: Any) -> None:
        if key is Ellipsis:
            self.set_value(value)
        else:
            super().__setitem__(key, value)


class BatchNorm(nnx.BatchNorm):
    """`flax.nnx.BatchNorm` in float32, float64 for float64 input, in evaluation mode until `train()` is called.

    `mode="frozen"` freezes statistics, scale and bias, as DeepLab does to fine-tune with small batches: `train()` does
    not change it, and scale and bias get no gradient.
    """

    mean: nnx.BatchStat[jax.Array]
    var: nnx.BatchStat[jax.Array]
    mode: BatchNormMode

    def __init__(
        self,
        num_features: int,
        *,
        mode: BatchNormMode,
        momentum: float,
        epsilon: float,
        use_scale: bool = True,
        rngs: nnx.Rngs,
    ):
        check_rngs(rngs)
        num_features = check_int("num_features", num_features, remedy="count the channels of the maps")
        check_choice("mode", mode, BATCH_NORM_MODES)
        use_scale = check_bool("use_scale", use_scale)
        options: Any = {"use_running_average": True, "momentum": momentum, "epsilon": epsilon, "use_scale": use_scale}
        super().__init__(num_features, rngs=rngs, **options)
        self.mean, self.var = _Statistic(self.mean[...]), _Statistic(self.var[...])
        self.mode = mode

    def __call__(self, x: jax.Array, *arguments: Any, **options: Any) -> jax.Array:
        """Normalises `[..., num_features]`, in x's dtype."""
        # Mean and variance of bfloat16 activations need float32; XLA fuses the casts away.
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        if self.mode == "trained":
            return super().__call__(wide, *arguments, **options).astype(x.dtype)
        variables: tuple[Any, ...] = (self.mean, self.var, self.bias, *([self.scale] if self.use_scale else []))
        mean, variance, bias, *scale = (
            jax.lax.stop_gradient(v[...]).reshape((1,) * (x.ndim - 1) + (-1,)) for v in variables
        )
        gain = jax.lax.rsqrt(variance + self.epsilon)
        return ((wide - mean) * (scale[0] * gain if scale else gain) + bias).astype(x.dtype)
