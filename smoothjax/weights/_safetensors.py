"""Reader of the safetensors format."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import safetensors

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
    "F8_E4M3": np.dtype(jnp.float8_e4m3fn),
    "F8_E5M2": np.dtype(jnp.float8_e5m2),
    "F8_E8M0": np.dtype(jnp.float8_e8m0fnu),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(jnp.bfloat16),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "C64": np.dtype("<c8"),
}


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Reads all arrays of a file; raises ValueError if the file contradicts itself."""
    try:
        # Not safetensors.numpy, which lacks types that JAX has.
        entries = safetensors.deserialize(path.read_bytes())
    except safetensors.SafetensorError as error:
        raise ValueError(f"{error}; the file is damaged, get it again") from error
    # The library returns them in no fixed order.
    return {
        name: _array(name, entry["dtype"], entry["shape"], entry["data"])
        for name, entry in sorted(entries, key=lambda pair: pair[0])
    }


def _array(name: str, kind: str, shape: list[int], data: bytes | bytearray) -> np.ndarray:
    if kind not in _DTYPES:
        raise ValueError(f"{name!r} has dtype {kind!r}, known are {', '.join(_DTYPES)}")
    return np.frombuffer(bytearray(data), _DTYPES[kind]).reshape(shape)
