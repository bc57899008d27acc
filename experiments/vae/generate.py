"""Images made by a run: samples from the prior, and reconstructions."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from smoothjax import data

from ..common.evaluate import Scorer, spread_evenly
from ..common.run_folder import load_config
from ..common.trained import Checkpoint, read_run
from ..common.writing import check_png, write_picture
from .config import Config
from .figures import grid, pairs
from .samples import as_bytes, decode
from .sources import Pictures, draw_latents, fit
from .study import STUDY, strips

_COLUMNS = 8


class _Files:
    """Images of the user, in memory."""

    def __init__(self, paths: Sequence[Path]):
        self._paths, self._images = paths, [data.read_image(path, large=True) for path in paths]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int, /) -> data.Record:
        return {"image": self._images[index]}

    def name(self, index: int, /) -> str:
        """The name of the file, without its ending."""
        return self._paths[index].stem


def sample(folder: Path, count: int, seed: int, out: Path, checkpoint: Checkpoint) -> Path:
    """Writes a grid of images from the prior."""
    if count < 1:
        raise ValueError(f"--count must be at least 1 image, got {count}")
    if seed < 0:
        raise ValueError(f"--seed must not be negative, got {seed}")
    check_png(out, "samples.png")
    trained = read_run(STUDY, folder, checkpoint)
    images = decode(trained, draw_latents(count, trained.config.model.latent_features, seed))
    return _save(grid(as_bytes(images), _COLUMNS), out)


def reconstruct(
    folder: Path,
    paths: Sequence[Path],
    split: str,
    count: int,
    out: Path,
    checkpoint: Checkpoint,
    data_root: Path | None = None,
) -> Path:
    """Writes originals above their reconstructions, of files, or of a split if none are given."""
    if count < 1:
        raise ValueError(f"--count must be at least 1 image, got {count}")
    check_png(out, "samples.png")
    config = load_config(folder, Config)
    if paths:
        faces = config.data.name == "celeba"
        # Read now, so that an unreadable file is reported before the network is compiled.
        source, count = Pictures(_Files(paths), partial(fit, faces=faces)), len(paths)
    else:
        source = STUDY.open_split(config if data_root is None else STUDY.moved(config, data_root), split)
    trained, count = read_run(STUDY, folder, checkpoint), min(count, len(source))
    scorer = Scorer(STUDY, trained.config, trained.network, trained.mesh)
    pictures = strips(scorer.score(trained.state, source, limit=count, keep=spread_evenly(count, len(source))))
    return _save(pairs(pictures["originals"], pictures["reconstructions"], _COLUMNS), out)


def _save(pixels: np.ndarray, out: Path) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    write_picture(out, Image.fromarray(pixels))
    return out
