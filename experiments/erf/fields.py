"""The effective receptive fields of a trained network, and numbers about them."""

from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from smoothjax import analysis, data

from ..common.dense.init import normalization
from ..common.dense.study import scaled
from ..common.run_files import Json
from ..segmentation.config import Config

SHARES = (0.2, 0.3, 0.5, 0.99)
#: What each figure is about, and the rate whose grid it shows: the smallest of its layers.
FIGURES = {
    "fig8": ("the last 3x3 convolution of rate 4", 4),
    "fig9": ("all dilated layers", 2),
}


@dataclass(frozen=True)
class Field:
    """A panel of a figure.

    Attributes:
      label: its heading.
      values: the effective receptive field, float64 `[H, W]`, in cells of 8 pixels.
      connected: the theoretical one, bool `[H, W]`.
      rate: see `FIGURES`.
    """

    label: str
    values: np.ndarray
    connected: np.ndarray
    rate: int


class Images:
    """A split's images as a network sees them, all of one size, in batches."""

    def __init__(self, source: data.Source, config: Config, size: tuple[int, int], limit: int | None, batch_size: int):
        count = min(limit or len(source), len(source))
        self.indices = [i * len(source) // count for i in range(count)]
        self._source, self._config, self._size, self._batch_size = source, config, size, batch_size

    @property
    def channels(self) -> int:
        """Channels of the images."""
        return self._config.data.channels

    def __len__(self) -> int:
        """Number of batches."""
        return -(-len(self.indices) // self._batch_size)

    def __iter__(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self.indices), self._batch_size):
            yield np.stack([self._read(index) for index in self.indices[start : start + self._batch_size]])

    def _read(self, index: int) -> np.ndarray:
        mean, std = normalization(self._config)
        record = self._source[index]
        height, width = (scaled(length, self._config.data.scale) for length in record["label"].shape)
        # By the data package: JAX would compile it for every size of images.
        image = data.normalize(data.resize(record, (height, width)), mean=mean, std=std)["image"]
        return fit(image, self._size)


class _Features:
    """What a block is given for each batch of images."""

    def __init__(self, block: analysis.Block, images: Images):
        self._compute, self._images = jax.jit(block.features), images

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[jax.Array]:
        return map(self._compute, self._images)


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
        and getattr(layer.module, "rate", None) == FIGURES["fig8"][1]
        and getattr(layer.module, "kernel_size", None) == (3, 3)
    ]
    if not single:
        raise ValueError(
            "its encoder has no 3x3 convolution of rate 4, which Figure 8 is about: name a run whose last stage is "
            "dilated by 4, as at output stride 8 with the methods none, group_interaction and ss_conv"
        )
    # With the first dilated convolution begin the stages of the 1/8 grid: two of a ResNet, four of EfficientNet-Lite.
    dilated = next(
        layer.name
        for layer in layers
        if layer.name.startswith("encoder.stages.") and getattr(layer.module, "rate", 1) != 1
    )
    first = ".".join(dilated.split(".")[:3])
    # Some methods smooth by further layers behind the encoder.
    end = "degridding" if any(layer.name == "degridding" for layer in layers) else "encoder"
    return {
        "fig8": analysis.between(model, given, single[-1]),
        "fig9": analysis.between(model, given, first, end),
    }


def measure(model: nnx.Module, images: Images, size: tuple[int, int], label: str) -> dict[str, Field]:
    """The field of each figure, averaged over images."""
    found = {}
    for figure, block in blocks(model, size, images.channels).items():
        features = _Features(block, images)
        shape = jax.eval_shape(block.features, jax.ShapeDtypeStruct((1, *size, images.channels), jnp.float32))
        values = analysis.effective_receptive_field(block, features, progress=True)
        connected = analysis.theoretical_receptive_field(block, shape)
        found[figure] = Field(label, values, connected, FIGURES[figure][1])
    return found


def numbers(field: Field) -> Json:
    """What the table says about a field."""
    values, rows, columns = field.values, *box(field.connected)
    inside = values[rows, columns]
    return {
        "label": field.label,
        "theoretical": list(inside.shape),
        # A field that reaches the border may go on behind it.
        "cut": any(s.start == 0 or s.stop == n for s, n in zip((rows, columns), values.shape, strict=True)),
        "support": int((values > 0).sum()),
        "zero_share": float((inside == 0).mean()),
        "phase_imbalance": analysis.phase_imbalance(values, rate=field.rate),
        "whole_blocks": whole_blocks(values, field.rate),
        "fewest": [analysis.contribution_area(values, share=share) for share in SHARES],
        "square": [analysis.contribution_area(values, share=share, square=True) for share in SHARES],
    }


def box(field: np.ndarray) -> tuple[slice, slice]:
    """The smallest rectangle that holds all that is not 0."""
    rows, columns = (np.nonzero(field.any(axis))[0] for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def whole_blocks(field: np.ndarray, rate: int) -> float:
    """Of the `rate x rate` blocks of the map that a field touches, the share that it fills.

    It is 1 where a field is made of blocks, as after group interaction, which mixes the units of each.
    """
    height, width = (-(-length // rate) * rate for length in field.shape)
    # What is beyond the border takes part in nothing.
    support = np.full((height, width), np.nan)
    support[: field.shape[0], : field.shape[1]] = field > 0
    cells = support.reshape(height // rate, rate, width // rate, rate)
    touched, filled = np.nanmax(cells, (1, 3)), np.nanmin(cells, (1, 3))
    return float(filled.sum() / touched.sum())


def fit(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image `[H, W, C]` cropped to a size about its centre, or mirrored at its edges until it has it."""
    for axis, wanted in enumerate(size):
        length = image.shape[axis]
        start = max(0, (length - wanted) // 2)
        image = np.take(image, np.arange(start, min(length, start + wanted)), axis)
        missing = wanted - image.shape[axis]
        pairs = [(0, 0)] * image.ndim
        pairs[axis] = (missing // 2, missing - missing // 2)
        image = np.pad(image, pairs, mode="symmetric")
    return image
