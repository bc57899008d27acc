"""Readers of PyTorch files and TensorFlow checkpoints, by PyTorch and TensorFlow themselves."""

import importlib
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

_TABLE_MAGIC = bytes.fromhex("57fb808b247547db")  # ends a checkpoint of version 1 and the index of one of version 2
_PART = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")


def read_torch(path: Path) -> dict[str, np.ndarray]:
    """Reads a state dict, or the one under `state_dict` or `model` of a training checkpoint, executing nothing."""
    torch = _require("torch", path)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            "it holds other objects than tensors, which are not executed, or it is damaged: save model.state_dict() "
            "alone, or get it again"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise ValueError(f"PyTorch says: {str(error).splitlines()[0]}; the file is damaged, get it again") from error
    for key in ("state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping):
        raise ValueError(f"it holds a {type(loaded).__name__}, where a dict from names to tensors belongs")
    for name, value in loaded.items():
        if not isinstance(value, torch.Tensor):
            raise ValueError(f"{name!r} is a {type(value).__name__}, no tensor: save model.state_dict() alone")
    return {str(name): _to_numpy(torch, value.detach()) for name, value in loaded.items()}


def _to_numpy(torch: Any, tensor: Any) -> np.ndarray:
    if tensor.dtype == torch.bfloat16:  # unknown to NumPy, and to PyTorch's conversion
        return tensor.contiguous().view(torch.int16).numpy().view(jnp.bfloat16)
    return tensor.numpy()


def checkpoint_prefix(path: Path) -> Path | None:
    """The prefix by which TensorFlow knows a checkpoint, from any of its files or itself; None if it is none."""
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
    tensorflow = _require("tensorflow", prefix)
    try:
        reader = tensorflow.train.load_checkpoint(str(prefix))
        names = sorted(reader.get_variable_to_shape_map())
        arrays = {name: np.asarray(reader.get_tensor(name)) for name in names}
    except (tensorflow.errors.OpError, ValueError, RuntimeError, IndexError) as error:
        raise ValueError(f"TensorFlow says: {str(error).splitlines()[0]}; it is damaged, get it again") from error
    # Saved by tf.train.Checkpoint, a description of its objects lies beside the variables.
    return {name: array for name, array in arrays.items() if array.dtype != object}


def _require(module: str, path: Path) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ModuleNotFoundError(
            f'{path} is read by {module}, which is not installed ({error}): pip install ".[convert]" in the checkout '
            "of smoothjax"
        ) from error
