"""The blocks of Figures 8 and 9 in a network, and their receptive fields."""

import jax
import jax.numpy as jnp
from flax import nnx

from smoothjax import analysis

from ..common.dense.fields import RATE, Field, Images, dilated_block, measure_block, rate_of

#: The subject of each figure, and the rate whose grid it shows: the smallest of its layers.
FIGURES = {
    "fig8": ("the last 3x3 convolution of rate 4", 4),
    "fig9": ("all dilated layers", RATE),
}


def blocks(model: nnx.Module, size: tuple[int, int], channels: int = 3) -> dict[str, analysis.Block]:
    """The block of each figure in a DeepLab.

    Raises:
      ValueError: its encoder has no 3x3 convolution of rate 4.
    """
    given = jax.ShapeDtypeStruct((1, *size, channels), jnp.float32)
    layers = analysis.layers(model, given)
    single = [
        layer.name
        for layer in layers
        if layer.name.startswith("encoder.")
        and rate_of(layer) == FIGURES["fig8"][1]
        and getattr(layer.module, "kernel_size", None) == (3, 3)
    ]
    if not single:
        raise ValueError(
            "its encoder has no 3x3 convolution of rate 4, which Figure 8 is about: name a run whose last stage is "
            "dilated by 4, as at output stride 8 with the methods none, group_interaction and ss_conv"
        )
    whole = dilated_block(model, size, channels)
    assert whole is not None  # `single` holds at least one dilated layer
    return {"fig8": analysis.between(model, given, single[-1]), "fig9": whole}


def measure(model: nnx.Module, images: Images, label: str) -> dict[str, Field]:
    """The field of each figure, averaged over images."""
    found = blocks(model, images.size, images.channels)
    return {figure: measure_block(block, images, label, FIGURES[figure][1]) for figure, block in found.items()}
