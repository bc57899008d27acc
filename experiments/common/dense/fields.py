"""Effective receptive fields of trained networks, and numbers about them."""

from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from smoothjax import analysis, data, models

from ..run_files import Json
from .config import DenseConfig
from .init import normalization
from .sources import scaled

SHARES = (0.2, 0.3, 0.5, 0.99)
#: The smallest rate of the dilated layers, whose grid the whole field shows.
RATE = 2
_STAGES = "encoder.stages."
#: Height and width in pixels of images that show the whole field of ResNet-18 and of a dilated stack, by pixels per
#: cell.
SIZES = {8: (704, 704), 1: (48, 48)}


@dataclass(frozen=True)
class Field:
    """A panel of a figure.

    Attributes:
      label: its heading.
      values: the effective receptive field, float64 `[H, W]`, in cells of the encoder's output.
      connected: the theoretical field, or the cells with a weight, bool `[H, W]`.
      rate: the smallest rate of the layers, whose grid the field shows.
    """

    label: str
    values: np.ndarray
    connected: np.ndarray
    rate: int


class Images:
    """A split's images as a network sees them, all of one size, in batches."""

    def __init__(
        self,
        source: data.Source,
        config: DenseConfig,
        size: tuple[int, int],
        limit: int | None,
        batch_size: int,
        scale: float = 1.0,
    ):
        count = min(limit or len(source), len(source))
        self.indices = [i * len(source) // count for i in range(count)]
        self._source, self._config, self.size, self._batch_size = source, config, size, batch_size
        self._scale = scale

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
        height, width = (scaled(length, self._scale) for length in record["label"].shape)
        # In NumPy: JAX would compile it for every size of images.
        image = data.normalize(data.resize(record, (height, width)), mean=mean, std=std)["image"]
        return fit(image, self.size)


class _Features:
    """The inputs of a block for each batch of images."""

    def __init__(self, block: analysis.Block, images: Images):
        self._compute, self._images = jax.jit(block.features), images

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[jax.Array]:
        return map(self._compute, self._images)


def dilated_block(model: nnx.Module, size: tuple[int, int], channels: int = 3) -> analysis.Block | None:
    """All dilated layers of the encoder of a network, from the stage of the first one to its end, as in Figure 9.

    None if it has no dilated layers, like a U-Net.
    """
    if not any(isinstance(module, models.DenseEncoder) for _, module in nnx.iter_modules(model)):
        return None
    given = jax.ShapeDtypeStruct((1, *size, channels), jnp.float32)
    layers = analysis.layers(model, given)
    dilated = next((layer.name for layer in layers if _STAGES in layer.name and rate_of(layer) != 1), None)
    if dilated is None:
        return None
    before, _, after = dilated.partition(_STAGES)
    # The stages of the 1/8 grid begin with the first dilated convolution: two of a ResNet, four of EfficientNet-Lite. A
    # stack of dilated layers counts as a whole, even if multigrid gives its first layer the rate 1.
    stack = any(isinstance(module, models.DilatedStackEncoder) for _, module in nnx.iter_modules(model))
    first = _STAGES.rstrip(".") if stack else f"{_STAGES}{after.split('.')[0]}"
    # Some methods smooth by additional layers after the encoder.
    end = f"{before}degridding"
    names = {layer.name for layer in layers}
    return analysis.between(model, given, f"{before}{first}", end if end in names else f"{before}encoder")


def rate_of(layer: analysis.Layer) -> int:
    """The dilation rate of a layer; 1 if it has none."""
    return getattr(layer.module, "rate", 1)


def measure_block(block: analysis.Block, images: Images, label: str, rate: int, *, theoretical: bool = True) -> Field:
    """The field of a block, averaged over images.

    Without the theoretical field, the cells with a weight in these images count as connected, which spares a program.
    """
    values = analysis.effective_receptive_field(block, _Features(block, images), progress=True)
    if not theoretical:
        return Field(label, values, values > 0, rate)
    size = (1, *images.size, images.channels)
    shape = jax.eval_shape(block.features, jax.ShapeDtypeStruct(size, jnp.float32))
    return Field(label, values, analysis.theoretical_receptive_field(block, shape), rate)


def numbers(field: Field) -> Json:
    """The numbers of a field in the table."""
    values, rows, columns = field.values, *box(field.connected)
    inside = values[rows, columns]
    return {
        "label": field.label,
        "theoretical": list(inside.shape),
        # A field that reaches the border may extend beyond it.
        "cut": any(s.start == 0 or s.stop == n for s, n in zip((rows, columns), values.shape, strict=True)),
        "support": int((values > 0).sum()),
        "zero_share": float((inside == 0).mean()),
        "phase_imbalance": analysis.phase_imbalance(values, rate=field.rate),
        "whole_blocks": whole_blocks(values, field.rate),
        "fewest": [analysis.contribution_area(values, share=share) for share in SHARES],
        "square": [analysis.contribution_area(values, share=share, square=True) for share in SHARES],
    }


def box(field: np.ndarray) -> tuple[slice, slice]:
    """The smallest rectangle that holds all nonzero values."""
    rows, columns = (np.nonzero(field.any(axis))[0] for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def whole_blocks(field: np.ndarray, rate: int) -> float:
    """The share of filled blocks among the `rate x rate` blocks of the map that a field touches.

    It is 1 for a field made of blocks, as after group interaction, which mixes the units of each block.
    """
    height, width = (-(-length // rate) * rate for length in field.shape)
    # Units beyond the border do not count.
    support = np.full((height, width), np.nan)
    support[: field.shape[0], : field.shape[1]] = field > 0
    cells = support.reshape(height // rate, rate, width // rate, rate)
    touched, filled = np.nanmax(cells, (1, 3)), np.nanmin(cells, (1, 3))
    return float(filled.sum() / touched.sum())


def fit(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image `[H, W, C]` cropped about its centre to a size, or mirrored at its edges up to that size."""
    for axis, wanted in enumerate(size):
        length = image.shape[axis]
        start = max(0, (length - wanted) // 2)
        image = np.take(image, np.arange(start, min(length, start + wanted)), axis)
        missing = wanted - image.shape[axis]
        pairs = [(0, 0)] * image.ndim
        pairs[axis] = (missing // 2, missing - missing // 2)
        image = np.pad(image, pairs, mode="symmetric")
    return image
