"""Reader of TensorFlow checkpoints, by TensorFlow itself."""

import importlib
import re
from pathlib import Path
from types import ModuleType

import numpy as np

_TABLE_MAGIC = bytes.fromhex("57fb808b247547db")  # ends a checkpoint of version 1 and the index of one of version 2
_PART = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")


def checkpoint_prefix(path: Path) -> Path | None:
    """The prefix by which TensorFlow knows a checkpoint, from any of its files or itself; None if it is not one."""
    prefix = path.with_name(_PART.sub("", path.name))
    if prefix.with_name(f"{prefix.name}.index").is_file():
        return prefix
    if prefix.is_file():
        with prefix.open("rb") as file:
            file.seek(max(0, prefix.stat().st_size - len(_TABLE_MAGIC)))
            if file.read() == _TABLE_MAGIC:
                return prefix
    return None


def read_tensorflow(prefix: Path) -> dict[str, np.ndarray]:
    """Reads all variables of a checkpoint of version 1 or 2."""
    tensorflow = _tensorflow(prefix)
    if any(character in "[]*?\\" for character in str(prefix)):
        raise ValueError("TensorFlow takes [ ] * ? \\ in a path for a pattern: move or rename it")
    try:
        reader = tensorflow.train.load_checkpoint(str(prefix))
        names = sorted(reader.get_variable_to_shape_map())
        arrays = {name: np.asarray(reader.get_tensor(name)) for name in names}
    except (tensorflow.errors.OpError, ValueError, RuntimeError, IndexError) as error:
        raise ValueError(f"TensorFlow says: {str(error).splitlines()[0]}; it is damaged, get it again") from error
    # Saved by tf.train.Checkpoint, a description of its objects lies beside the variables.
    return {name: array for name, array in arrays.items() if array.dtype != object}


def _tensorflow(path: Path) -> ModuleType:
    try:
        return importlib.import_module("tensorflow")
    except ImportError as error:
        raise ModuleNotFoundError(
            f'{path} is read by tensorflow, which is not installed ({error}): pip install -e ".[convert]" in the '
            "checkout of smoothjax"
        ) from error
