"""A run read back, to be scored on a split or applied to images."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Generic, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from PIL import Image

from smoothjax import data, metrics, training

from ..evaluate import Scored, save_scores
from ..identity import describe_split, is_foreign
from ..network import Network
from ..run_folder import CLASSES_FILE, load_config
from ..trained import Checkpoint, restore
from .averaging import PLAIN, Averaging
from .init import normalization
from .scores import boundary_scores, by_class, majority_scores, scores
from .sources import Images, batches_of, images_root, open_source
from .study import C, DenseStudy, Scorer


class Predicted(NamedTuple):
    """The files written, and how many images were padded, to compile the network for few shapes."""

    written: list[Path]
    padded: int


@dataclasses.dataclass(frozen=True)
class Trained(Generic[C]):
    """A run read back: its configuration, its network, and the state of a checkpoint."""

    config: C
    network: Network
    state: training.TrainState
    classes: data.Classes
    step: int
    mesh: Mesh


def read_run(
    study: DenseStudy[Any], folder: Path, checkpoint: Checkpoint, data_root: Path | None = None
) -> Trained[Any]:
    """Reads a run's best or latest checkpoint."""
    config = load_config(folder, study.config)
    if data_root is not None:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, root=data_root))
    # Of the run's own file: the data set need not be here to predict.
    classes, mesh = data.load_classes(folder / CLASSES_FILE), training.data_mesh()
    network = study.build_network(config, len(classes))
    optimizer, _ = study.make_optimizer(config, network.params)
    restored = restore(folder, network, optimizer, mesh, checkpoint)
    return Trained(config, network, restored.state, classes, restored.step, mesh)


def evaluate(
    study: DenseStudy[Any],
    folder: Path,
    split: str,
    checkpoint: Checkpoint,
    data_root: Path | None = None,
    averaging: Averaging = PLAIN,
    boundary: float | None = None,
) -> Scored:
    """Scores of a run on a split, per class too; written to `evaluation-SPLIT.json` with all that they depend on.

    Those of another look or of another data set have a file of their own, see `evaluate`. With `boundary`, a
    fraction of the image's diagonal, those of the pixels within this distance of contours, too.
    """
    trained = read_run(study, folder, checkpoint, data_root)
    config = trained.config
    source = open_source(config.data, split)
    if source.classes.names != trained.classes.names:
        raise ValueError(
            f"the data set has the classes {', '.join(source.classes.names)}, {folder} was trained on "
            f"{', '.join(trained.classes.names)}: name the data set of the run with --data-root"
        )
    scorer = Scorer(study, config, trained.network, study.view(config, source), trained.mesh, averaging, boundary)
    counts, _ = scorer.score(trained.state)
    names = source.classes.names
    described = None if config.data.name == "shapes" else describe_split(source)
    result = {
        "split": split,
        "images": len(source),
        "checkpoint": checkpoint,
        "step": trained.step,
        # None: the folder of the run's configuration.
        "data_root": None if data_root is None else str(data_root),
        "averaging": dataclasses.asdict(averaging),
        "data": described,
        **scores(counts.pixels),
        "majority": majority_scores(counts.pixels),
        "iou": by_class(names, metrics.iou_per_class(counts.pixels)),
    }
    if boundary is not None:
        result["boundary"] = boundary_scores(counts, boundary, names)
    other = is_foreign(folder, split, partial(open_source, config.data), described)
    foreign = images_root(config.data) if other else None
    return save_scores(folder, result, checkpoint, _words(averaging), foreign)


def setting(evaluation: Mapping[str, Any]) -> str:
    """What the scores of a split depend on, in words."""
    looks = evaluation.get("averaging", {})
    words = [f"step {evaluation.get('step', 'unknown')}, checkpoint {evaluation.get('checkpoint', 'unknown')}"]
    if looks.get("tile") is not None:
        words.append("tiles of {} x {}".format(*looks["tile"]))
    if list(looks.get("scales", [1.0])) != [1.0]:
        words.append(f"scales {' '.join(f'{scale:g}' for scale in looks['scales'])}")
    if looks.get("flip"):
        words.append("mirrored, too")
    if evaluation.get("boundary"):
        words.append(f"with scores within {100 * evaluation['boundary']['distance']:g} % of contours")
    if evaluation.get("data_root") is not None:
        words.append(f"images in {evaluation['data_root']}")
    return ", ".join(words)


def _words(averaging: Averaging) -> list[str]:
    """What a file name tells of a look; nothing of the plain one."""
    words = [] if averaging.tile is None else ["tile-{}x{}".format(*averaging.tile)]
    if averaging.scales != PLAIN.scales:
        words.append("-".join(["scales", *(f"{scale:.6g}" for scale in sorted(averaging.scales))]))
    return [*words, *(["flip"] if averaging.flip else [])]


def predict(
    study: DenseStudy[Any],
    folder: Path,
    paths: Sequence[Path],
    out: Path,
    checkpoint: Checkpoint,
    averaging: Averaging = PLAIN,
) -> Predicted:
    """Writes `NAME_mask.png` (class indices with a palette of colours) and `NAME_overlay.png` for each image.

    An image is seen at its own size, whatever else is predicted with it, unless the images have more sizes than
    `data.evaluation_batches` keeps.
    """
    source = Images(paths, data.Classes(("any",), ((0, 0, 0),)))
    trained = read_run(study, folder, checkpoint)

    def apply(params: Any, model_state: Any, images: jax.Array, size: tuple[int, int]) -> jax.Array:
        return study.segment(trained.config, trained.network, params, model_state, images, size, averaging)

    compiled = jax.jit(apply, static_argnames="size")
    out.mkdir(parents=True, exist_ok=True)
    written, padded = [], 0
    for batch in batches_of(study.view(trained.config, source), 1, normalization(trained.config.init)):
        index, seen = int(batch["index"][0]), tuple(map(int, batch["size"][0]))
        height, width = source.size(index)
        # What is seen at its own size may be padded, to make few shapes; its mask then has the padding, too.
        size = batch["image"].shape[1:3] if seen == (height, width) else (height, width)
        padded += size != (height, width)
        masks = compiled(trained.state.params, trained.state.model_state, batch["image"], size=size)
        mask = np.asarray(masks[0], np.uint8)[:height, :width]
        indexed = Image.fromarray(mask)
        indexed.putpalette(np.asarray(trained.classes.colors, np.uint8).tobytes())
        overlay = Image.fromarray(data.overlay(source[index]["image"], mask, trained.classes))
        for picture, suffix in ((indexed, "mask"), (overlay, "overlay")):
            written.append(out / f"{source.name(index)}_{suffix}.png")
            picture.save(written[-1])
    return Predicted(written, padded)
