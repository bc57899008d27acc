"""Reader of the safetensors format: eight bytes of header length, a JSON header, the values."""

import json
import math
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

_LENGTH = 8
_DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype("<u1"),
    "I8": np.dtype("<i1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(jnp.bfloat16),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Reads all arrays of a file; raises ValueError where the file contradicts itself."""
    try:
        return _read(path)
    except ValueError as error:  # those of JSON and UTF-8, too
        raise ValueError(f"{error}; the file is damaged, get it again") from error


def _read(path: Path) -> dict[str, np.ndarray]:
    content = bytearray(path.read_bytes())
    start = _LENGTH + int.from_bytes(content[:_LENGTH], "little")
    if len(content) < _LENGTH or start > len(content):
        raise ValueError(f"its header ends at byte {start}, beyond its {len(content)} bytes")
    header = json.loads(content[_LENGTH:start].decode())
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    return {name: _array(content, start, name, entry) for name, entry in header.items() if name != "__metadata__"}


def _array(content: bytearray, start: int, name: str, entry: Any) -> np.ndarray:
    try:
        kind, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        values = [*shape, begin, end]
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{name!r} has no dtype, shape and two data_offsets in its header") from None
    if kind not in _DTYPES:
        raise ValueError(f"{name!r} has dtype {kind!r}, known are {', '.join(_DTYPES)}")
    if any(not isinstance(value, int) or value < 0 for value in values):
        raise ValueError(f"{name!r} has shape {shape} at bytes {begin} to {end}: all must be ints >= 0")
    dtype, count = _DTYPES[kind], math.prod(shape)
    if end - begin != count * dtype.itemsize or start + end > len(content):
        raise ValueError(
            f"{name!r}, {kind}{shape}, would take {count * dtype.itemsize} bytes, and its header places it at bytes "
            f"{begin} to {end} of {len(content) - start}"
        )
    return np.frombuffer(content, dtype, count, start + begin).reshape(shape)
