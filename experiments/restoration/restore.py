"""Applies a run's network or the published one to images, or shows its filters."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import jax.numpy as jnp
import numpy as np
from PIL import Image

from smoothjax import analysis, data, models
from smoothjax.compilation import JitByShape
from smoothjax.names import RestorationTask
from smoothjax.progress import track

from ..common.images import output_names
from ..common.network import Network, Trees, Variables
from ..common.trained import Checkpoint, read_run
from ..common.writing import write_picture
from .degradation import as_stored
from .figures import draw_columns
from .networks import RestorationNetwork, in_8_bits, restored
from .published import read_weights
from .statistics import apply_with, measure, sample
from .study import STUDY
from .tiles import tiled_rows, windows

R = TypeVar("R", bound=RestorationNetwork)


class Restorer(ABC, Generic[R]):
    """A network that restores images of any size.

    Args:
      network: the network.
      variables: its parameters.

    Attributes:
      tiled: what tiles change, for the line about them.
    """

    tiled: ClassVar[str]

    def __init__(self, network: Network[R], variables: Variables):
        self._variables = Trees.of(variables)
        self._whole = JitByShape(lambda variables, images: in_8_bits(restored(network.model(variables), images)))

    @staticmethod
    def of_weights(path: Path, task: RestorationTask) -> "Restorer[models.GCANet]":
        """Published weights, in a file that `weights.read` reads."""
        network = Network.of(read_weights(path, task))
        return GCANetRestorer(network, network)

    @staticmethod
    def of_run(folder: Path, checkpoint: Checkpoint) -> "Restorer[Any]":
        """A run's best or latest checkpoint."""
        trained = read_run(STUDY, folder, checkpoint)
        network: Network[Any] = trained.network
        kind = {"gcanet": GCANetRestorer, "dilated_stack": StackRestorer}[trained.config.model.network]
        return kind(network, trained.state)

    def restore(self, image: np.ndarray, tile: tuple[int, int] | None = None) -> np.ndarray:
        """Restores an image, uint8 `[H, W, 3]`, as a whole or by tiles."""
        if tile is None:
            return np.asarray(self._whole(self._variables, jnp.asarray(image, jnp.float32)[None]))[0]
        result = np.empty_like(image)
        for top, rows in self.rows(image, tile):
            result[top : top + len(rows)] = rows
        return result

    @abstractmethod
    def rows(self, image: np.ndarray, tile: tuple[int, int]) -> Iterator[tuple[int, np.ndarray]]:
        """The index of the first row, and rows of the restored image, uint8, from the top, by rows of tiles."""


class GCANetRestorer(Restorer[models.GCANet]):
    """GCANet, which normalises by statistics of the whole image."""

    tiled = "normalised by statistics of a sample of the image: the result differs from that of the whole image"

    def __init__(self, network: Network[models.GCANet], variables: Variables):
        super().__init__(network, variables)
        self._task: RestorationTask = network.model(variables).task
        self._measure = JitByShape(lambda variables, x: measure(network.model(variables), x))
        self._apply_with = JitByShape(lambda variables, found, x: apply_with(network.model(variables), found, x))

    def rows(self, image: np.ndarray, tile: tuple[int, int]) -> Iterator[tuple[int, np.ndarray]]:
        """See `Restorer`."""
        x = InputWindows(image)
        found = self._measure(self._variables, sample(x, tile))
        for top, rows in tiled_rows(lambda part: np.asarray(self._apply_with(self._variables, found, part)), x, tile):
            # Padded by the input and cropped by `gcanet_image`, never resized.
            seen = jnp.asarray(image[top : top + len(rows)], jnp.float32)
            yield top, np.asarray(models.gcanet_image(jnp.asarray(rows)[None], seen[None], task=self._task))[0]


class StackRestorer(Restorer[models.DilatedDenoiser]):
    """A stack of dilated layers, which sees nothing of an image but the neighbourhood of each pixel."""

    tiled = "blended where they overlap: near their edges the result differs from that of the whole image"

    def __init__(self, network: Network[models.DilatedDenoiser], variables: Variables):
        super().__init__(network, variables)
        self._apply = JitByShape(lambda variables, images: restored(network.model(variables), images))

    def rows(self, image: np.ndarray, tile: tuple[int, int]) -> Iterator[tuple[int, np.ndarray]]:
        """See `Restorer`."""
        height, width = image.shape[:2]
        # Tiles need an even size.
        x = np.pad(image, [(0, height % 2), (0, width % 2), (0, 0)], mode="edge").astype(np.float32)[None]
        for top, rows in tiled_rows(lambda part: np.asarray(self._apply(self._variables, part)), x, tile):
            yield top, as_stored(rows[: height - top, :width])


class InputWindows:
    """The windows of `gcanet_input` of an image, uint8 `[H, W, 3]`, with the edge map of the whole image."""

    def __init__(self, image: np.ndarray):
        self._image = image
        self.shape = (1, *(length + length % 2 for length in image.shape[:2]), 4)

    def __getitem__(self, window: tuple[slice, slice, slice], /) -> np.ndarray:
        # One pixel more on all sides, for the differences; beyond the image its border goes on, and there are none.
        rows, columns = (
            np.arange(part.start - 1, part.stop + 1).clip(0, length - 1)
            for part, length in zip(window[1:], self._image.shape[:2], strict=True)
        )
        part = jnp.asarray(self._image[rows[:, None], columns], jnp.float32)[None]
        return np.asarray(models.gcanet_input(part))[:, 1:-1, 1:-1]


def check_images(paths: Sequence[Path]) -> None:
    """Reports all images that are missing, cannot be read, or are repeated, before anything is computed."""
    output_names(paths)
    problems = []
    for path in paths:
        try:
            data.read_image(path, large=True)
        except (ValueError, FileNotFoundError) as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))


def predict(
    restorer: Restorer[Any],
    paths: Sequence[Path],
    out: Path,
    tile: tuple[int, int] | None = None,
    compare: bool = False,
) -> list[Path]:
    """Writes `NAME_restored.png`, and `NAME_compare.png` if requested; reports images whose result tiles change."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    named = list(zip(paths, output_names(paths), strict=True))
    for path, name in track(named, "restore", len(named), unit="images"):
        image = data.read_image(path, large=True)
        wanted = None if tile is None else _needed(image, tile)
        if wanted is not None:
            (tops, height), (lefts, width) = wanted
            print(
                f"{path.name}: {len(tops)} x {len(lefts)} overlapping tiles of {height} x {width} pixels, "
                f"{restorer.tiled}"
            )
        restored = restorer.restore(image, tile if wanted else None)
        written.append(out / f"{name}_restored.png")
        write_picture(written[-1], Image.fromarray(restored))
        if compare:
            written.append(out / f"{name}_compare.png")
            draw_columns({"before": [image], "after": [restored]}, written[-1], title=path.name)
    return written


def read_filters(
    folder: Path | None, path: Path | None, checkpoint: Checkpoint
) -> tuple[analysis.SmoothingParameter, ...]:
    """The smoothing parameters of a run, or of published weights."""
    if path is not None:
        # The smoothing is the same for every task.
        model = read_weights(path, "dehaze")
    else:
        assert folder is not None  # one of the two is named
        model = read_run(STUDY, folder, checkpoint).local_model()
    found = analysis.smoothing_parameters(model)
    if not found:
        raise ValueError(f"{folder} has no smoothing parameters: its dilated convolutions are not smoothed")
    return found


def _needed(image: np.ndarray, tile: tuple[int, int]) -> list[tuple[list[int], int]] | None:
    """The tiles of an image, or None if it fits into one."""
    height, width = (length + length % 2 for length in image.shape[:2])
    found = windows((height, width), tile)
    return found if any(len(starts) > 1 for starts, _ in found) else None
