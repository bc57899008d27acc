"""A network read back, a run's or the published one: scored on a split, applied to images, or looked into."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from PIL import Image

from smoothjax import analysis, data, models, training, weights
from smoothjax.names import RestorationTask

from ..common.evaluate import Scored, save_scores
from ..common.identity import describe_split, is_foreign
from ..common.network import Network
from ..common.run_folder import load_config
from ..common.trained import Checkpoint, restore
from .batches import check_sources
from .config import Config
from .figures import draw_columns
from .scores import Scorer
from .sources import open_source
from .statistics import apply_with, measure, sample
from .study import STUDY
from .tiles import tiled, windows


@dataclass(frozen=True)
class Trained:
    """A run read back: its configuration, and the state of a checkpoint with its network."""

    config: Config
    network: Network
    state: training.TrainState
    step: int
    mesh: Mesh


def read_run(folder: Path, checkpoint: Checkpoint) -> Trained:
    """Reads a run's best or latest checkpoint."""
    config, mesh = load_config(folder, Config), training.data_mesh()
    network = STUDY.build_network(config)
    optimizer, _ = STUDY.make_optimizer(config, network.params)
    restored = restore(folder, network, optimizer, mesh, checkpoint, metric=STUDY.metric, mode=STUDY.mode)
    return Trained(config, network, restored.state, restored.step, mesh)


def evaluate(folder: Path, split: str, checkpoint: Checkpoint, data_root: Path | None = None) -> Scored:
    """Scores of a run on a split; written to `evaluation-SPLIT.json`, or to a file of their own: see `evaluate`."""
    config = load_config(folder, Config)
    images = dataclasses.replace(config.data, check=False, root=data_root or config.data.root)
    source = open_source(images, split)
    check_sources({split: source}, dataclasses.replace(config, data=images))
    run = read_run(folder, checkpoint)
    scores, _ = Scorer(run.config, run.network, run.mesh).score(run.state, source)
    described = None if images.name == "shapes" else describe_split(source)
    result = {"split": split, "images": len(source), "checkpoint": checkpoint, "step": run.step, "data": described}
    other = is_foreign(folder, split, partial(open_source, images), described)
    return save_scores(folder, {**result, **scores}, checkpoint, foreign=images.root if other else None)


class Restorer:
    """A network that restores images of any size.

    Args:
      graph: of the model, for `nnx.merge`.
      state: its parameters, and whatever else it holds, as the graph wants them.
      task: what its output means.
    """

    def __init__(self, graph: Any, state: tuple[Any, ...], task: RestorationTask):
        self._state = state
        self._task: RestorationTask = task
        self._apply = jax.jit(lambda state, x: nnx.merge(graph, *state)(x))
        self._measure = jax.jit(lambda state, x: measure(nnx.merge(graph, *state), x))
        self._apply_with = jax.jit(lambda state, found, x: apply_with(nnx.merge(graph, *state), found, x))

    @classmethod
    def of_weights(cls, path: Path, task: RestorationTask) -> "Restorer":
        """Published weights, in a file that `weights.read` reads."""
        graph, state = nnx.split(weights.gcanet_from_torch(weights.read(path), task=task))
        return cls(graph, (state,), task)

    @classmethod
    def of_run(cls, folder: Path, checkpoint: Checkpoint) -> "Restorer":
        """A run's best or latest checkpoint."""
        run = read_run(folder, checkpoint)
        return cls(run.network.eval_graph, (run.state.params, run.state.model_state), run.config.model.task)

    def restore(self, image: np.ndarray, tile: tuple[int, int] | None = None) -> np.ndarray:
        """Restores an image, uint8 `[H, W, 3]`, as a whole or by tiles."""
        images = jnp.asarray(image, jnp.float32)[None]
        # Padded here and cropped by `gcanet_image`, never resized; the edge map of a tile is that of the whole.
        x = np.asarray(models.gcanet_input(images))
        if tile is None:
            output = self._apply(self._state, x)
        else:
            found = self._measure(self._state, sample(x, tile))
            output = tiled(lambda part: np.asarray(self._apply_with(self._state, found, part)), x, tile)
        return np.asarray(models.gcanet_image(jnp.asarray(output), images, task=self._task))[0]


def check_images(paths: Sequence[Path]) -> None:
    """Reports all images that are missing, cannot be read, or share a name, before anything is computed."""
    problems = []
    for path in paths:
        try:
            data.read_image(path, large=True)
        except (ValueError, FileNotFoundError) as error:
            problems.append(str(error))
    names = [path.stem for path in paths]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        problems.append(f"several images are called {', '.join(repeated)}: restore them into different folders")
    if problems:
        raise ValueError("\n".join(problems))


def predict(
    restorer: Restorer, paths: Sequence[Path], out: Path, tile: tuple[int, int] | None = None, compare: bool = False
) -> list[Path]:
    """Writes `NAME_restored.png`, and `NAME_compare.png` beside it if asked to; says where tiles change the result."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for path in paths:
        image = data.read_image(path, large=True)
        wanted = None if tile is None else _needed(image, tile)
        if wanted is not None:
            (tops, height), (lefts, width) = wanted
            print(
                f"{path.name}: {len(tops)} x {len(lefts)} overlapping tiles of {height} x {width} pixels, "
                "normalised by statistics of a sample of the image: the result differs from that of the whole image"
            )
        restored = restorer.restore(image, tile if wanted else None)
        written.append(out / f"{path.stem}_restored.png")
        Image.fromarray(restored).save(written[-1])
        if compare:
            written.append(out / f"{path.stem}_compare.png")
            draw_columns({"before": [image], "after": [restored]}, written[-1], title=path.name)
    return written


def read_filters(
    folder: Path | None, path: Path | None, checkpoint: Checkpoint
) -> tuple[analysis.SmoothingParameter, ...]:
    """The smoothing parameters of a run, or of published weights."""
    if path is not None:
        # The smoothing is the same for every task.
        found = analysis.smoothing_parameters(weights.gcanet_from_torch(weights.read(path), task="dehaze"))
    else:
        assert folder is not None  # one of the two is named
        run = read_run(folder, checkpoint)
        found = analysis.smoothing_parameters(
            nnx.merge(run.network.eval_graph, run.state.params, run.state.model_state)
        )
    if not found:
        raise ValueError(f"{folder} has no smoothing parameters: its dilated convolutions are not smoothed")
    return found


def _needed(image: np.ndarray, tile: tuple[int, int]) -> list[tuple[list[int], int]] | None:
    """The tiles of an image, or None where it fits into one."""
    height, width = (length + length % 2 for length in image.shape[:2])
    found = windows((height, width), tile)
    return found if any(len(starts) > 1 for starts, _ in found) else None
