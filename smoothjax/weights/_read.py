"""One reader for files of weights from any framework."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..files import read_npz
from ._safetensors import read_safetensors
from ._state_dict import state_dict_of, without_prefix
from ._tensorflow import checkpoint_prefix, read_tensorflow
from ._torch import is_torch, read_torch


def read(path: str | os.PathLike[str], *, report: Callable[[str], None] = print) -> dict[str, np.ndarray]:
    """Reads a file of weights into NumPy arrays by name.

    `.safetensors`, `.npz` and the files of PyTorch (`.pth`, `.pt`, `.th`, `.bin`, Lightning's `.ckpt`) need no other
    package; TensorFlow checkpoints (version 1 and 2) need TensorFlow: `pip install -e ".[convert]"`. No code in a file
    is executed. From a training checkpoint of PyTorch, the dict under `state_dict`, `model` or `model_state_dict` is
    read. A prefix that all names share (`module.`, `model.`, `backbone.`, `encoder.`) is removed.

    Args:
      path: the file. A TensorFlow checkpoint is named by its prefix (`model.ckpt-20000`), its index or any of its data
        files.
      report: called with messages, such as a removed prefix.

    Returns:
      The arrays by the names in the file, in its dtypes. Arrays that hold NaN are named in a `UserWarning`.

    Raises:
      FileNotFoundError: there is no such file.
      ModuleNotFoundError: TensorFlow is missing.
      ValueError: the file is of none of these kinds, damaged, or holds more than arrays.

    Example:
      >>> import pathlib, tempfile
      >>> import numpy as np
      >>> from smoothjax import weights
      >>> path = pathlib.Path(tempfile.mkdtemp()) / "weights.npz"
      >>> np.savez(path, kernel=np.zeros((3, 3, 1, 8)))
      >>> {name: array.shape for name, array in weights.read(path).items()}
      {'kernel': (3, 3, 1, 8)}
    """
    path = Path(path)
    reader, place = _reader(path)
    try:
        arrays = reader(place)
        if reader is not read_tensorflow:
            arrays = without_prefix(arrays, lambda message: report(f"{path}: {message}"))
        broken = [name for name, array in arrays.items() if array.dtype.kind in "fcV" and (array != array).any()]
    except (ModuleNotFoundError, MemoryError):
        raise
    except Exception as error:  # a damaged file can raise any error
        raise ValueError(f"{path} cannot be read: {str(error) or type(error).__name__}") from error
    if broken:
        more = ", ..." if len(broken) > 5 else ""
        warnings.warn(
            f"{path}: {len(broken)} of {len(arrays)} arrays hold NaN ({', '.join(broken[:5])}{more}): was its training "
            "sound?",
            stacklevel=2,
        )
    return arrays


Reader = Callable[[Path], dict[str, np.ndarray]]


def _reader(path: Path) -> tuple[Reader, Path]:
    """The reader of a file and the path to read; for a TensorFlow checkpoint that is its prefix."""
    readers: dict[str, Reader] = {".safetensors": read_safetensors, ".npz": _read_npz}
    readers |= dict.fromkeys((".pth", ".pt", ".th", ".bin"), _read_state_dict)
    if found := readers.get(path.suffix.lower()):
        _check_file(path)
        return found, path
    if prefix := checkpoint_prefix(path):
        return read_tensorflow, prefix
    _check_file(path)
    if path.suffix == ".ckpt" and is_torch(path):
        return _read_state_dict, path
    if ".ckpt" in path.name or path.suffix == ".index":
        raise ValueError(
            f"{path} is not a complete TensorFlow checkpoint, nor one of Lightning: it is damaged, or the .index "
            "beside its data is missing; get it again"
        )
    raise ValueError(
        f"{path} is of an unknown kind: known are {', '.join(readers)}, Lightning's .ckpt and TensorFlow checkpoints "
        "(a .index and data files, or one .ckpt file)"
    )


def _check_file(path: Path) -> None:
    if not path.is_file():
        where = "is a folder: name the file in it" if path.is_dir() else "does not exist: check the path"
        raise FileNotFoundError(f"{path} {where} (of a TensorFlow checkpoint the prefix, its index or a data file)")


def _read_state_dict(path: Path) -> dict[str, np.ndarray]:
    return state_dict_of(read_torch(path))


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        return read_npz(path)
    except ValueError as error:
        raise ValueError(f"{error.__cause__ or error}; the file is damaged, get it again") from error
