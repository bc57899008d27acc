"""Reader of PyTorch's files, zip archives and the older format, without PyTorch."""

import io
import pickle
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ._torch_pickle import DAMAGED, Value, unpickle

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_VERSION = 1001


def read_torch(path: Path) -> Value:
    """Reads what `torch.save` wrote: containers, numbers and text as they are, tensors as `Tensor`.

    Raises:
      ValueError: The file is damaged, of another kind, or holds objects that only running code could read.
    """
    size = path.stat().st_size
    if not size:
        raise ValueError("it is empty; get it again")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return _read_zip(archive, size)
    with path.open("rb") as file:
        return _read_legacy(file, size)


def is_torch(path: Path) -> bool:
    """Whether a file begins as `torch.save` begins it."""
    with path.open("rb") as file:
        first = file.read(20)
    magic = pickle.dumps(_LEGACY_MAGIC, 2)[2:-1]
    return first.startswith(b"PK\x03\x04") or magic in first


def _read_zip(archive: zipfile.ZipFile, size: int) -> Value:
    names = set(archive.namelist())
    pickles = [name for name in names if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ValueError(f"it is a zip archive, and none that torch.save wrote; {DAMAGED}")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}constants.pkl" in names:
        raise ValueError("it is a program of TorchScript: save torch.jit.load(file).state_dict() by torch.save")
    entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or _sum_of_sizes(entries) > size:
        raise ValueError(f"its entries are compressed or overlap, as those of torch.save never do; {DAMAGED}")
    order = archive.read(f"{folder}byteorder").decode() if f"{folder}byteorder" in names else "little"
    stored: dict[str, np.ndarray] = {}  # one buffer a storage, however many tensors share it

    def storage(key: str, dtype: np.dtype, count: int) -> np.ndarray:
        if key not in stored:
            entry = f"{folder}data/{key}"
            if entry not in names:
                raise ValueError(f"its values {entry!r} are missing")
            stored[key] = np.frombuffer(bytearray(archive.read(entry)), np.uint8)
        return _typed(stored[key], dtype, count, order)

    return unpickle(io.BytesIO(archive.read(pickles[0])), storage)


def _sum_of_sizes(entries: list[zipfile.ZipInfo]) -> int:
    return sum(entry.file_size for entry in entries)


def _read_legacy(file: BinaryIO, size: int) -> Value:
    """The format before PyTorch 1.6: five pickles, then the storages in the order that the last one names."""
    arrays: dict[str, np.ndarray] = {}

    def storage(key: str, dtype: np.dtype, count: int) -> np.ndarray:
        # The values come after the pickles: a tensor gets its place now.
        if key not in arrays:
            if sum(array.nbytes for array in arrays.values()) + count * dtype.itemsize > size:
                raise ValueError(f"a storage of {count} {dtype} is longer than the file")
            arrays[key] = np.zeros(count, dtype)
        if (arrays[key].dtype, len(arrays[key])) != (dtype, count):
            raise ValueError(f"storage {key!r} is described twice, differently")
        return arrays[key]

    if (unpickle(file), unpickle(file)) != (_LEGACY_MAGIC, _LEGACY_VERSION):
        raise ValueError(f"it is of neither format that torch.save writes; {DAMAGED}")
    system, content, keys = unpickle(file), unpickle(file, storage), unpickle(file)
    order = "big" if isinstance(system, Mapping) and system.get("little_endian") is False else "little"
    if not isinstance(keys, list) or {str(key) for key in keys} != arrays.keys():
        raise ValueError(f"its list of storages does not fit its tensors; {DAMAGED}")
    for key, array in ((str(key), arrays[str(key)]) for key in keys):
        count = int.from_bytes(file.read(8), "big" if order == "big" else "little")
        raw = np.frombuffer(file.read(array.nbytes), np.uint8)
        if count != len(array) or raw.size != array.nbytes:
            raise ValueError(f"storage {key!r} is not whole; {DAMAGED}")
        array[:] = _typed(raw, array.dtype, count, order)
    return content


def _typed(raw: np.ndarray, dtype: np.dtype, count: int, order: str) -> np.ndarray:
    if raw.size != count * dtype.itemsize:
        raise ValueError(f"a storage of {count} {dtype} has {raw.size} bytes in place of {count * dtype.itemsize}")
    if order != sys.byteorder and dtype.itemsize > 1:
        part = dtype.itemsize // (2 if dtype.kind == "c" else 1)
        raw = raw.view(f"u{part}").byteswap().view(np.uint8)
    return raw.view(dtype)
