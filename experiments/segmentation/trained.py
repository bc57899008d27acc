"""A run read back, to be scored on a split or applied to images."""

import dataclasses
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh
from PIL import Image, ImageOps

from smoothjax import data, metrics, training

from . import study
from .config import Config
from .run_folder import CLASSES_FILE, load_config, write

Checkpoint = Literal["best", "latest"]


@dataclasses.dataclass(frozen=True)
class Trained:
    """A run read back: its configuration, its network, and the state of a checkpoint."""

    config: Config
    network: study.Network
    state: training.TrainState
    classes: data.Classes
    step: int
    mesh: Mesh


def restore(folder: Path, checkpoint: Checkpoint, data_root: Path | None = None) -> Trained:
    """Reads a run's best or latest checkpoint."""
    config = load_config(folder)
    if data_root is not None:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, root=data_root))
    # Of the run's own file: the data set need not be here to predict.
    classes, mesh = data.load_classes(folder / CLASSES_FILE), training.data_mesh()
    network = study.build_network(config, len(classes))
    optimizer, _ = study.make_optimizer(config, network.params)
    template = training.replicate(training.create_state(network.params, network.model_state, optimizer), mesh)
    with training.Checkpoints(folder / "checkpoints", read_only=True) as checkpoints:
        restored = checkpoints.restore_best(template) if checkpoint == "best" else checkpoints.restore_latest(template)
    if restored is None:
        raise FileNotFoundError(f"{folder} holds no checkpoint yet: let it train until the first one")
    return Trained(config, network, restored.state, classes, restored.step, mesh)


def evaluate(folder: Path, split: str, checkpoint: Checkpoint, data_root: Path | None = None) -> dict[str, Any]:
    """Scores of a run on a split at full image size, per class too; written to `evaluation-SPLIT.json`."""
    trained = restore(folder, checkpoint, data_root)
    source = study.open_source(trained.config.data, split)
    if source.classes.names != trained.classes.names:
        raise ValueError(
            f"the data set has the classes {', '.join(source.classes.names)}, {folder} was trained on "
            f"{', '.join(trained.classes.names)}: name the data set of the run with --data-root"
        )
    evaluation = study.make_evaluation(trained.config, trained.network, len(source.classes), trained.mesh)
    confusion, _ = study.evaluate_split(
        source, evaluation, trained.state, trained.mesh, batch_size=trained.config.eval_batch_size
    )
    iou = [None if np.isnan(value) else float(value) for value in metrics.iou_per_class(confusion)]
    result = {
        "split": split,
        "images": len(source),
        "checkpoint": checkpoint,
        "step": trained.step,
        **study.scores(confusion),
        "majority": study.majority_scores(confusion),
        "iou": dict(zip(source.classes.names, iou, strict=True)),
    }
    write(folder / f"evaluation-{split}.json", json.dumps(result, indent=2) + "\n")
    return result


def predict(folder: Path, paths: Sequence[Path], out: Path, checkpoint: Checkpoint) -> list[Path]:
    """Writes `NAME_mask.png` (class indices with a palette of colours) and `NAME_overlay.png` for each image."""
    source = _Images(paths, data.Classes(("any",), ((0, 0, 0),)))
    trained = restore(folder, checkpoint)
    apply = jax.jit(partial(study.segment, trained.network, scale=trained.config.data.scale))
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for batch in study.batches_of(source, batch_size=1):
        index, (height, width) = int(batch["index"][0]), batch["size"][0]
        mask = np.asarray(apply(trained.state.params, trained.state.model_state, batch["image"]), np.uint8)
        mask = mask[0, :height, :width]
        indexed = Image.fromarray(mask)
        indexed.putpalette(np.asarray(trained.classes.colors, np.uint8).tobytes())
        overlay = Image.fromarray(data.overlay(source[index]["image"], mask, trained.classes))
        for picture, suffix in ((indexed, "mask"), (overlay, "overlay")):
            written.append(out / f"{source.name(index)}_{suffix}.png")
            picture.save(written[-1])
    return written


class _Images:
    """Images without labels, as a source for the pipeline of evaluation."""

    def __init__(self, paths: Sequence[Path], classes: data.Classes):
        missing = [str(path) for path in paths if not path.is_file()]
        if missing:
            raise FileNotFoundError(f"no such image: {', '.join(missing)}")
        names = [path.stem for path in paths]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"several images are called {', '.join(repeated)}: predict them into different folders")
        self._paths, self.classes = list(paths), classes
        # Read at once, so that an unreadable file is reported before the network is compiled.
        self._sizes = [_upright_size(path) for path in paths]

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int, /) -> data.Record:
        image = data.read_image(self._paths[index])
        return {"image": image, "label": np.full(image.shape[:2], data.IGNORE_LABEL, np.uint8)}

    def name(self, index: int, /) -> str:
        return self._paths[index].stem

    def size(self, index: int, /) -> tuple[int, int]:
        return self._sizes[index]


def _upright_size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            turned = ImageOps.exif_transpose(image)
            return turned.height, turned.width
    except Exception as error:  # Pillow's decoders raise errors of many kinds for a damaged file
        raise ValueError(f"{path} cannot be read as an image ({error}): replace or leave it out") from error
