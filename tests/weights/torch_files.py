"""Writes files like `torch.save`, in both formats, without PyTorch."""

import io
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

_STORAGES = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
    "complex64": "ComplexFloatStorage",
    "complex128": "ComplexDoubleStorage",
}


class Named:
    """Pickled as a name in a module that need not exist, called with arguments if there are any."""

    def __init__(self, module: str, name: str, *arguments: object):
        self.module, self.name, self.arguments = module, name, arguments


class Global(Named):
    """Pickled as the name itself."""

    def __init__(self, module: str, name: str):
        super().__init__(module, name)
        self.__module__ = module  # where pickle looks for it

    def __call__(self) -> None:
        """Makes pickle accept it as a function."""


class Storage:
    """Values that tensors share."""

    def __init__(self, values: np.ndarray, count: int | None = None):
        self.values, self.count = values, values.size if count is None else count


def tensor(array: np.ndarray, **changes: object) -> Named:
    """A tensor; `changes` replace storage, offset, shape or strides in its pickle."""
    strides = tuple(stride // array.itemsize for stride in np.array(array, order="C").strides)
    said = {"storage": Storage(array.reshape(-1)), "offset": 0, "shape": array.shape, "strides": strides} | changes
    return Named("torch._utils", "_rebuild_tensor_v2", *said.values(), False, OrderedDict())


def save(content: object, path: Path, *, zipped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes a file, with the modules that it names in `sys.modules` meanwhile."""
    storages: dict[str, Storage] = {}
    with monkeypatch.context() as patch:

        def named(module: str, name: str) -> object:
            parts = module.split(".")
            for package in (".".join(parts[: count + 1]) for count in range(len(parts))):
                if package not in sys.modules:
                    patch.setitem(sys.modules, package, types.ModuleType(package))
            if not hasattr(sys.modules[module], name):
                stand_in = type(name, (), {"__module__": module, "__qualname__": name})
                patch.setattr(sys.modules[module], name, stand_in, raising=False)
            return getattr(sys.modules[module], name)

        class Pickler(pickle.Pickler):
            def persistent_id(self, obj: object) -> object:
                if not isinstance(obj, Storage):
                    return None
                key = next((key for key, known in storages.items() if known is obj), str(len(storages)))
                storages[key] = obj
                reference = ("storage", named("torch", _STORAGES[str(obj.values.dtype)]), key, "cpu", obj.count)
                return reference if zipped else (*reference, None)

            def reducer_override(self, obj: object) -> Any:
                if not isinstance(obj, Named):
                    return NotImplemented
                if isinstance(obj, Global):
                    named(obj.module, obj.name)
                    patch.setattr(sys.modules[obj.module], obj.name, obj)
                    return obj.name
                return named(obj.module, obj.name), obj.arguments

        def dump(value: object) -> bytes:
            stream = io.BytesIO()
            Pickler(stream, 2).dump(value)
            return stream.getvalue()

        body = dump(content)
        if zipped:
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("archive/data.pkl", body)
                archive.writestr("archive/byteorder", "little")
                for key, storage in storages.items():
                    archive.writestr(f"archive/data/{key}", storage.values.tobytes())
            return
        system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
        head = [dump(value) for value in (0x1950A86A20F9469CFC6C, 1001, system)]
        tail = [struct.pack("<q", storage.count) + storage.values.tobytes() for storage in storages.values()]
        path.write_bytes(b"".join([*head, body, dump(list(storages)), *tail]))
