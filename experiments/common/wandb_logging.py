"""Optional Weights & Biases logging."""

import contextlib
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import jax

from smoothjax.files import read_text

from .config import RunConfig
from .run_folder import to_dict
from .writing import write

Mirror = Callable[[int, Mapping[str, float]], None]
_ID_FILE = "wandb-id.txt"


@contextlib.contextmanager
def open_wandb(config: RunConfig, folder: Path) -> Iterator[Mirror | None]:
    """What `training.RunLog` calls with its scalars; None where the configuration names no project.

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
        yield lambda step, values: run.log(dict(values), step=step)
    finally:
        run.finish()


def check_wandb(config: RunConfig) -> None:
    """Raises ValueError where the configuration names a project and the library is not installed."""
    if config.wandb is None:
        return
    try:
        import wandb  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ValueError(
            "--wandb needs the library of Weights & Biases: pip install 'smoothjax[wandb]', or leave the option out"
        ) from error
