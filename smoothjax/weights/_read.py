"""One reader for files of weights, whatever wrote them."""

import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from ._foreign import checkpoint_prefix, read_tensorflow, read_torch
from ._safetensors import read_safetensors


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads a file of weights into NumPy arrays by name.

    `.safetensors` and `.npz` need nothing else; `.pth` and `.pt` are read by PyTorch, TensorFlow checkpoints (version 1
    and 2) by TensorFlow: `pip install ".[convert]"`. No code in a file is executed.

    Args:
      path: the file. A TensorFlow checkpoint is named by its prefix (`model.ckpt-20000`), its index or any of its data
        files.

    Returns:
      The arrays by the names in the file, in its dtypes.

    Raises:
      FileNotFoundError: there is no such file.
      ModuleNotFoundError: PyTorch or TensorFlow is missing.
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
    readers = {".safetensors": read_safetensors, ".npz": _read_npz, ".pth": read_torch, ".pt": read_torch}
    read_file, prefix = readers.get(path.suffix.lower()), checkpoint_prefix(path)
    if read_file is None and prefix is not None:
        read_file, path = read_tensorflow, prefix
    elif not path.is_file():
        where = "is a folder: name the file in it" if path.is_dir() else "does not exist: check the path"
        raise FileNotFoundError(f"{path} {where} (of a TensorFlow checkpoint the prefix, its index or a data file)")
    elif read_file is None:
        if ".ckpt" in path.name or path.suffix == ".index":
            raise ValueError(
                f"{path} is no whole TensorFlow checkpoint: it is damaged, or the .index beside its data is missing; "
                "get it again"
            )
        raise ValueError(
            f"{path} is of an unknown kind: known are {', '.join(readers)} and TensorFlow checkpoints (a .index and "
            "data files, or one .ckpt file)"
        )
    try:
        return read_file(path)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is no whole zip archive of arrays")
        # Opened here, since np.load leaves the file of a broken archive open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{str(error) or 'it ends too early'}; the file is damaged, get it again") from error
