"""The network of the study: one convolution, dilated layers, one linear layer; nothing else mixes pixels."""

from functools import partial

import jax
from flax import nnx

from smoothjax import models, nn
from smoothjax.names import Smoothing

from .config import Case
from .pictures import CLASSES

_HE = nnx.initializers.variance_scaling(2.0, "fan_in", "normal")


class DilatedStack(nnx.Module):
    """A stem, dilated 3x3 convolutions with batch normalisation and ReLU, and a linear layer at every cell.

    There is no shortcut and no other convolution, so it is known what neighbours share: behind a 1x1 stem and with even
    rates the four phases of the picture are classified as if they were four pictures.
    """

    def __init__(self, case: Case, smoothing: Smoothing, width: int, rngs: nnx.Rngs):
        norm = partial(models.BatchNorm, width, mode="trained", momentum=0.9, epsilon=1e-5, rngs=rngs)
        self.stride = case.stride
        # Padded equally on both sides, so that cell i lies on pixel `stride * i`.
        pad = case.stem // 2
        self.stem = nn.DilatedConv(
            3, width, (case.stem, case.stem), rate=1, strides=case.stride, padding=pad, use_bias=False, rngs=rngs
        )
        self.stem_norm = norm()
        self.convs = nnx.List(
            nn.DilatedConv(
                width, width, (3, 3), rate=rate, smoothing=smoothing, use_bias=False, kernel_init=_HE, rngs=rngs
            )
            for rate in case.rates
        )
        self.norms = nnx.List(norm() for _ in case.rates)
        self.head = nnx.Linear(width, len(CLASSES), rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps `[N, S, S, 3]` to logits `[N, S, S, classes]`."""
        x = nnx.relu(self.stem_norm(self.stem(images)))
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = nnx.relu(norm(conv(x)))
        logits = self.head(x)
        if self.stride == 1:
            return logits
        return models.upsample_logits(logits, images.shape[1:3], stride=self.stride)
