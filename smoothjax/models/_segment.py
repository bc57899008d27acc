"""Predicts the classes of an image of any size, in the memory of a row of windows."""

from collections.abc import Callable, Iterator
from functools import partial, reduce
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from .._checks import check_bool, check_int, is_unbound_linen
from ..compilation import JitByShape
from ..progress import Progress
from ._averaging import Averaging, Logits, average_logits, resample, scaled_length, tent, window_starts
from ._bands import blended_rows
from ._grid import upsample_logits
from ._linear import PORTION, linear_weights, resampled_columns, resampled_rows

Prepare = Callable[[np.ndarray], np.ndarray]


def segment(
    model: nnx.Module | Logits,
    image: np.ndarray,
    *,
    prepare: Prepare | None = None,
    tile: tuple[int, int] | None = None,
    scales: tuple[float, ...] = (1.0,),
    flip: bool = False,
    independent: bool = False,
    stride: int | None = None,
    progress: bool = False,
) -> np.ndarray:
    """The class of every pixel of an image, with sliding windows and averaging over scales and mirror images.

    Without `tile` the network sees the whole image. With it, neither the preprocessed image nor its logits are ever in
    memory as a whole: besides the image and the result, memory holds the network on one window and a few rows of
    windows, for every scale and mirror image. The result equals that of `average_logits`.

    Args:
      model: a network from images `[1, h, w, C]` to logits `[1, h', w', K]`; it is compiled for each size of windows,
        see `compilation.JitByShape`, and used in evaluation mode. Or a function that does the same, called directly, so
        compile it.
      image: `[H, W, C]`, uint8 or floating point.
      prepare: preprocesses a part of the image pixel by pixel, such as a `weights.Preprocessing`; by default numbers
        are only cast to float32.
      tile: height and width of windows in pixels; they overlap by a third or more, and count more at their centre.
      scales: factors of the image's size; probabilities are averaged over them.
      flip: whether to average with the mirror image, at each scale.
      independent: whether the probability of each class is the sigmoid of its logit, see `Averaging`.
      stride: pixels per cell of the logits, for `upsample_logits`; by default the model's `output_stride`, or 1. Logits
        of a different size are resampled linearly.
      progress: whether to show progress over the windows, after five seconds.

    Returns:
      The classes, `[H, W]` of the smallest unsigned integers that hold K.

    Raises:
      ValueError: `image` is not `[H, W, C]`, an option is out of range, or the model fails for such images.

    Example:
      >>> import numpy as np
      >>> from flax import nnx
      >>> from smoothjax import models
      >>> network = nnx.Conv(3, 5, (3, 3), rngs=nnx.Rngs(0))  # from RGB to logits of five classes
      >>> models.segment(network, np.zeros((40, 50, 3), np.uint8), tile=(32, 32), flip=True).shape
      (40, 50)
    """
    image = np.asarray(image)
    if image.ndim != 3 or not image.size:
        raise ValueError(f"image must be [H, W, C], got shape {image.shape}: pass one image, without a batch axis")
    averaging = Averaging(tile, tuple(scales), flip, independent)
    progress = check_bool("progress", progress)
    stride = getattr(model, "output_stride", 1) if stride is None else stride
    stride = check_int("stride", stride, remedy="pass the output stride of the network")
    logits, prepare = _logits_of(model, stride), prepare or (lambda part: part.astype(np.float32))
    size = (image.shape[0], image.shape[1])
    if tile is None:
        found = _numbers(average_logits(logits, jnp.asarray(prepare(image))[None], size, averaging))
        return np.asarray(found.argmax(-1)[0]).astype(np.min_scalar_type(found.shape[-1] - 1))
    views = [_View(image, prepare, averaging, scale, mirrored) for scale, mirrored in averaging.views()]
    plain = averaging.views() == [(1.0, False)]
    mask, top = np.empty((0, 0), np.uint8), 0
    with Progress(sum(map(len, views)), "segment", unit="windows", shown=progress) as shown:

        def look(window: np.ndarray) -> np.ndarray:
            found = np.asarray(_numbers(logits(jnp.asarray(window)[None])[0]), np.float32)
            shown.update()
            return found

        # For one view, sums of weighted logits have the same argmax as the mean probabilities.
        seen = (rows for _, rows in views[0].weighted(look)) if plain else _mean([v.rows(look) for v in views])
        for rows in seen:
            if independent and not plain:
                rows = _log_odds(rows)
            if not top:
                mask = np.empty(size, np.min_scalar_type(rows.shape[-1] - 1))
            mask[top : top + len(rows)] = rows.argmax(-1)
            top += len(rows)
    return mask


def _numbers(logits: jax.Array) -> jax.Array:
    """The logits, where they are, unless one is NaN, of which the mask would show class 0."""
    if bool(jnp.isnan(logits).any()):
        raise ValueError("model must give logits, got NaN: look for NaN in the image after prepare, and in the weights")
    return logits


def _mean(views: list[Iterator[np.ndarray]]) -> Iterator[np.ndarray]:
    """Sums over views, which yield rows in the same portions."""
    for portions in zip(*views, strict=True):
        yield reduce(np.add, portions)


def _log_odds(both: np.ndarray) -> np.ndarray:
    """Log-odds from sums of the probabilities of each class and of its absence, `[..., 2 K]`."""
    present, absent = np.split(both, 2, -1)
    with np.errstate(divide="ignore"):
        return np.log(present) - np.log(absent)


class _View:
    """An image at a scale, perhaps mirrored; only windows of it are made."""

    def __init__(self, image: np.ndarray, prepare: Prepare, averaging: Averaging, scale: float, mirrored: bool):
        self._image, self._prepare, self._mirrored = (image[:, ::-1] if mirrored else image), prepare, mirrored
        self._independent, tile = averaging.independent, averaging.tile
        assert tile is not None  # without windows the image is seen whole
        self._own = (image.shape[0], image.shape[1])
        self._size = (scaled_length(self._own[0], scale), scaled_length(self._own[1], scale))
        self._window = (min(self._size[0], tile[0]), min(self._size[1], tile[1]))
        self._corners = (window_starts(self._size[0], self._window[0]), window_starts(self._size[1], self._window[1]))

    def __len__(self) -> int:
        return len(self._corners[0]) * len(self._corners[1])

    def weighted(self, look: Callable[[np.ndarray], np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        """The index of the first row, and sums of weighted logits in the rows."""
        weights = np.asarray(tent(self._window[0])[:, None] * tent(self._window[1])[None, :])
        yield from blended_rows(
            self._size,
            self._window,
            self._corners,
            lambda row, column: weights,
            lambda rows, columns: look(self._part(rows, columns)),
        )

    def rows(self, look: Callable[[np.ndarray], np.ndarray]) -> Iterator[np.ndarray]:
        """Probabilities at the size of the image, in portions of rows that are the same for every view."""
        yield from resampled_rows(self._probabilities(look), self._size[0], self._own[0])

    def _probabilities(self, look: Callable[[np.ndarray], np.ndarray]) -> Iterator[np.ndarray]:
        down, across = (
            _total(length, window, starts)
            for length, window, starts in zip(self._size, self._window, self._corners, strict=True)
        )
        for top, rows in self.weighted(look):
            # In small portions: every view keeps a row of windows, and a copy of it would be as large.
            for begin in range(0, len(rows), PORTION):
                part = rows[begin : begin + PORTION]
                found = part / (down[top + begin : top + begin + len(part), None, None] * across[:, None])
                if self._independent:
                    # Both, since for certain classes 1 minus a small number would round to 1.
                    small = np.exp(-abs(found))
                    present, absent = np.where(found > 0, 1, small), np.where(found > 0, small, 1)
                    found = np.concatenate([present, absent], -1) / np.concatenate([1 + small, 1 + small], -1)
                else:
                    found -= found.max(-1, keepdims=True)
                    np.exp(found, out=found)
                    found /= found.sum(-1, keepdims=True)
                found = resampled_columns(found, self._own[1])
                yield found[:, ::-1] if self._mirrored else found

    def _part(self, rows: slice, columns: slice) -> np.ndarray:
        """A window of the prepared image."""
        if self._size == self._own:
            return self._prepare(self._image[rows, columns])
        (top, down), (left, across) = (
            linear_weights(own, new, part.start, part.stop)
            for own, new, part in zip(self._own, self._size, (rows, columns), strict=True)
        )
        part = self._prepare(self._image[top : top + down.shape[1], left : left + across.shape[1]])
        return np.matmul(across, np.tensordot(down, part, 1))


def _total(length: int, window: int, starts: list[int]) -> np.ndarray:
    """The sum of the weights of all windows, along one axis."""
    total, weights = np.zeros(length, np.float32), np.asarray(tent(window))
    for start in starts:
        total[start : start + window] += weights
    return total


def _logits_of(model: nnx.Module | Logits, stride: int) -> Logits:
    """Logits at the size of the images."""
    if is_unbound_linen(model):
        raise ValueError(
            f"model must take images alone, the Linen module {type(model).__name__} has no variables: bind them, "
            "functools.partial(module.apply, variables)"
        )
    if isinstance(model, nnx.Module):
        graph, state = nnx.split(model)
        return partial(_FORWARD, graph, state, stride)
    return lambda images: _at_full_size(_called(model, images), images, stride)


def _forward(graph: nnx.GraphDef[nnx.Module], state: nnx.State, stride: int, images: jax.Array) -> jax.Array:
    model = nnx.merge(graph, state)
    model.eval()
    return _at_full_size(_called(cast(Logits, model), images), images, stride)


_FORWARD = JitByShape(_forward, static_argnums=(0, 2))


def _called(model: Logits, images: jax.Array) -> jax.Array:
    """Calls a model; JAX says only which convolution does not fit."""
    try:
        return model(images)
    except (TypeError, ValueError) as error:
        reason = str(error).strip().split("\n\n")[0].rstrip(".")
        raise ValueError(
            f"model must take images [1, h, w, C], but of shape {list(images.shape)} it does not: {reason}: give "
            "a network of images alone, and an image of as many channels as it was made for"
        ) from error


def _at_full_size(logits: jax.Array, images: jax.Array, stride: int) -> jax.Array:
    if getattr(logits, "ndim", None) != 4:
        got = f"shape {logits.shape}" if hasattr(logits, "shape") else type(logits).__name__
        raise ValueError(f"model must return logits [N, H', W', classes], got {got}: return that result alone")
    size = (images.shape[1], images.shape[2])
    if stride > 1 and logits.shape[1:3] == tuple(-(-length // stride) for length in size):
        return upsample_logits(logits, size, stride=stride)
    return resample(logits, size)
