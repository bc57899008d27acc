"""A causal network over time: residual blocks of dilated convolutions with doubling rates."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from .. import nn
from .._checks import check_choice, check_dtypes, check_int, check_rngs


class TemporalConvNet(nnx.Module):
    """Causal temporal convolutional network with a choice of smoothing: the 1-D case that the paper leaves open.

    An embedding of symbols, or a linear layer for real inputs, gives w channels. `depth` residual blocks follow, `x +
    linear(gelu(conv(norm(x))))`, where `conv` is a `nn.CausalDilatedConv` of rate 1, 2, 4, ..., 2^(depth - 1), as in
    WaveNet and ByteNet; then a normalisation and a linear layer at every step. Normalisations are over the channels of
    one step. With any smoothing, no output depends on a later input.

    With the same seed all parameters except smoothing are the same for every method, and a smoothed network starts
    equal to the unsmoothed one.

    Args:
      out_features: size of the output at every step, such as the number of symbols to predict.
      vocabulary: number of input symbols; None for real inputs.
      in_features: number of channels of real inputs; None for symbols.
      width: w, channels of all blocks.
      depth: number of blocks.
      kernel_size: taps of the dilated convolutions, 2 or 3.
      smoothing: `"none"`, `"group_interaction"` or `"ss_conv"`, in the causal forms of `nn.CausalDilatedConv`.
      dtype: dtype of convolutions and linear layers; normalisation is computed in float32, and so is the output.
      rngs: source of randomness.

    Attributes:
      blocks: the residual blocks, from `[N, T, width]` to the same; `blocks[i].conv` is the convolution.
      rates: their dilation rates.

    Raises:
      ValueError: an option is invalid; when called, the inputs have another shape or dtype.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> from smoothjax import models
      >>> make = lambda: models.TemporalConvNet(27, vocabulary=27, depth=4, smoothing="ss_conv", rngs=nnx.Rngs(0))
      >>> model = nnx.eval_shape(make)  # shapes only; make() or nnx.jit(make)() gives it weights
      >>> nnx.eval_shape(lambda m, x: m(x), model, jnp.zeros((2, 20), jnp.int32)).shape
      (2, 20, 27)
      >>> model.rates, model.receptive_field
      ((1, 2, 4, 8), 38)

    References:
      Wang & Ji, Smoothed Dilated Convolutions for Improved Dense Prediction, KDD 2018, Sec. 5; van den Oord et al.,
      WaveNet, 2016; Kalchbrenner et al., Neural Machine Translation in Linear Time, 2016; Bai et al., An Empirical
      Evaluation of Generic Convolutional and Recurrent Networks for Sequence Modeling, 2018.
    """

    first: nnx.Linear | nnx.Embed
    blocks: "nnx.List[_TemporalBlock]"
    norm: nnx.LayerNorm
    head: nnx.Linear
    rates: tuple[int, ...]
    smoothing: nn.CausalSmoothing
    out_features: int
    vocabulary: int | None
    in_features: int | None
    width: int
    kernel_size: int
    dtype: DTypeLike | None

    def __init__(
        self,
        out_features: int,
        *,
        vocabulary: int | None = None,
        in_features: int | None = None,
        width: int = 64,
        depth: int = 7,
        kernel_size: int = 2,
        smoothing: nn.CausalSmoothing = "none",
        dtype: DTypeLike | None = None,
        rngs: nnx.Rngs,
    ):
        check_rngs(rngs)
        check_dtypes(dtype=dtype)
        if (vocabulary is None) == (in_features is None):
            raise ValueError(
                f"vocabulary or in_features must be given, and not both, got {vocabulary} and {in_features}: symbols "
                "need a vocabulary, real inputs in_features"
            )
        out_features = check_int("out_features", out_features, remedy="the number of symbols, or of real outputs")
        if vocabulary is not None:
            vocabulary = check_int("vocabulary", vocabulary, remedy="count the symbols of the inputs")
        if in_features is not None:
            in_features = check_int("in_features", in_features, remedy="count the channels of the inputs")
        width = check_int("width", width, remedy="32 to 256 are usual")
        depth = check_int("depth", depth, remedy="2**depth steps are seen with 2 taps")
        check_choice("kernel_size", kernel_size, (2, 3))
        check_choice("smoothing", smoothing, nn.CAUSAL_SMOOTHINGS)
        self.out_features, self.vocabulary, self.in_features = out_features, vocabulary, in_features
        self.width, self.kernel_size, self.smoothing, self.dtype = width, kernel_size, smoothing, dtype
        self.rates = tuple(2**level for level in range(depth))
        self.first = (
            nnx.Linear(in_features, width, dtype=dtype, rngs=rngs)
            if in_features is not None
            else nnx.Embed(vocabulary or 0, width, dtype=dtype, rngs=rngs)
        )
        self.blocks = nnx.List(
            _TemporalBlock(width, kernel_size, rate, smoothing=smoothing, dtype=dtype, rngs=rngs) for rate in self.rates
        )
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.head = nnx.Linear(width, out_features, dtype=dtype, rngs=rngs)

    @property
    def receptive_field(self) -> int:
        """Number of steps that an output sees, including its own; with group interaction an upper bound.

        With rates up to R it is `(K - 1)(2R - 1) + 1`. An SS convolution adds `2r - 2` steps per layer. Group
        interaction adds the phase of the output in its block of R steps, at most R - 1: below the last layer, the
        earliest visible step begins a block of every rate.
        """
        plain = (self.kernel_size - 1) * sum(self.rates) + 1
        if self.smoothing == "ss_conv":
            return plain + sum(2 * rate - 2 for rate in self.rates)
        return plain + self.rates[-1] - 1 if self.smoothing == "group_interaction" else plain

    def embed(self, inputs: jax.Array) -> jax.Array:
        """Maps symbols `[N, T]` or real inputs `[N, T, in_features]` to features `[N, T, width]`."""
        symbols = self.vocabulary is not None
        if symbols and not (inputs.ndim == 2 and jnp.issubdtype(inputs.dtype, jnp.integer)):
            raise ValueError(
                f"inputs must be [N, T] symbols of an int dtype, got {inputs.dtype}{list(inputs.shape)}: encode them "
                "as 0 .. vocabulary - 1, and add the batch axis"
            )
        fits = inputs.ndim == 3 and inputs.shape[-1] == self.in_features
        if not symbols and not (fits and jnp.issubdtype(inputs.dtype, jnp.floating)):
            raise ValueError(
                f"inputs must be [N, T, {self.in_features}] of a float dtype, got {inputs.dtype}{list(inputs.shape)}: "
                "add the axis of the batch or of the channels"
            )
        return self.first(inputs)

    def decode(self, features: jax.Array) -> jax.Array:
        """Maps features `[N, T, width]` to outputs `[N, T, out_features]`, float32, or float64 for float64 features."""
        x = features
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)).astype(jnp.promote_types(jnp.float32, features.dtype))

    def __call__(self, inputs: jax.Array) -> jax.Array:
        """Maps symbols `[N, T]` or real inputs `[N, T, in_features]` to `[N, T, out_features]`."""
        return self.decode(self.embed(inputs))


class _TemporalBlock(nnx.Module):
    """One residual block, `[N, T, width]` to the same."""

    norm: nnx.LayerNorm
    conv: nn.CausalDilatedConv
    linear: nnx.Linear

    def __init__(
        self,
        width: int,
        kernel_size: int,
        rate: int,
        *,
        smoothing: nn.CausalSmoothing,
        dtype: DTypeLike | None,
        rngs: nnx.Rngs,
    ):
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.conv = nn.CausalDilatedConv(
            width, width, kernel_size, rate=rate, smoothing=smoothing, dtype=dtype, rngs=rngs
        )
        self.linear = nnx.Linear(width, width, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return x + self.linear(nnx.gelu(self.conv(self.norm(x)))).astype(x.dtype)
