"""Applies a run's network or the published one to images, or shows its filters."""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from smoothjax import analysis, data, models, weights
from smoothjax.names import RestorationTask
from smoothjax.progress import track

from ..common.images import output_names
from ..common.network import Network, Trees, Variables
from ..common.trained import Checkpoint, read_run
from ..common.writing import write_picture
from .figures import draw_columns
from .statistics import apply_with, measure, sample
from .study import STUDY
from .tiles import tiled_rows, windows


class Restorer:
    """A network that restores images of any size.

    Args:
      network: the network.
      variables: its parameters.
      task: its task, which determines the meaning of its output.
    """

    def __init__(self, network: Network[models.GCANet], variables: Variables, task: RestorationTask):
        self._variables = Trees.of(variables)
        self._task: RestorationTask = task
        self._apply = jax.jit(lambda variables, x: network.model(variables)(x))
        self._measure = jax.jit(lambda variables, x: measure(network.model(variables), x))
        self._apply_with = jax.jit(lambda variables, found, x: apply_with(network.model(variables), found, x))

    @classmethod
    def of_weights(cls, path: Path, task: RestorationTask) -> "Restorer":
        """Published weights, in a file that `weights.read` reads."""
        network = Network.of(weights.gcanet_from_torch(weights.read(path), task=task))
        return cls(network, network, task)

    @classmethod
    def of_run(cls, folder: Path, checkpoint: Checkpoint) -> "Restorer":
        """A run's best or latest checkpoint."""
        trained = read_run(STUDY, folder, checkpoint)
        return cls(trained.network, trained.state, trained.config.model.task)

    def restore(self, image: np.ndarray, tile: tuple[int, int] | None = None) -> np.ndarray:
        """Restores an image, uint8 `[H, W, 3]`, as a whole or by tiles."""
        # Padded by the input and cropped by `gcanet_image`, never resized.
        if tile is None:
            output = self._apply(self._variables, models.gcanet_input(jnp.asarray(image, jnp.float32)[None]))
            return self._image(output, image)
        x = InputWindows(image)
        found = self._measure(self._variables, sample(x, tile))
        restored = np.empty_like(image)
        for top, rows in tiled_rows(lambda part: np.asarray(self._apply_with(self._variables, found, part)), x, tile):
            seen = image[top : top + len(rows)]
            restored[top : top + len(rows)] = self._image(jnp.asarray(rows)[None], seen)
        return restored

    def _image(self, output: jax.Array, image: np.ndarray) -> np.ndarray:
        return np.asarray(models.gcanet_image(output, jnp.asarray(image, jnp.float32)[None], task=self._task))[0]


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
    restorer: Restorer, paths: Sequence[Path], out: Path, tile: tuple[int, int] | None = None, compare: bool = False
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
                "normalised by statistics of a sample of the image: the result differs from that of the whole image"
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
        model = weights.gcanet_from_torch(weights.read(path), task="dehaze")
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
