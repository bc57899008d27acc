"""Optional Weights & Biases logging."""

import contextlib
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from smoothjax import training
from smoothjax.files import read_text

from .config import RunConfig
from .plain import to_dict
from .writing import write

_ID_FILE = "wandb-id.txt"


class WandbMirror:
    """Scalars and pictures of a `training.RunLog`, in a run of Weights & Biases."""

    def __init__(self, wandb: Any, run: Any):
        self._wandb, self._run = wandb, run

    def scalars(self, step: int, values: Mapping[str, float], /) -> None:
        """Logs numbers."""
        self._run.log(dict(values), step=step)

    def pictures(self, step: int, pictures: Mapping[str, np.ndarray], /) -> None:
        """Logs pictures."""
        self._run.log({name: self._wandb.Image(picture) for name, picture in pictures.items()}, step=step)


@contextlib.contextmanager
def open_wandb(config: RunConfig, folder: Path) -> Iterator[training.Mirror | None]:
    """What `training.RunLog` passes on to; None if the configuration names no project.

    A resumed run continues its curves: its identity is kept in the folder. Only process 0 logs.
    """
    if config.wandb is None or jax.process_index() > 0:
        yield None
        return
    check_wandb(config)
    import wandb  # pyright: ignore[reportMissingImports]

    path = folder / _ID_FILE
    if not path.exists():
        write(path, uuid.uuid4().hex)
    run = wandb.init(
        project=config.wandb,
        name=f"{config.study}/{folder.name}",
        id=read_text(path, max_bytes=1000),
        resume="allow",
        dir=str(folder),
        config=to_dict(config),
    )
    try:
        yield WandbMirror(wandb, run)
    finally:
        run.finish()


def check_wandb(config: RunConfig) -> None:
    """Raises ValueError if the configuration names a project and the library is not installed."""
    if config.wandb is None:
        return
    try:
        import wandb  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ValueError(
            "--wandb needs the library of Weights & Biases: pip install 'smoothjax[wandb]', or leave the option out"
        ) from error
