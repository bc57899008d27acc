"""The unpickler of PyTorch's files: it knows tensors and containers, and runs nothing."""

import collections
import io
import pickle
import pickletools
from collections.abc import Callable, Mapping
from typing import BinaryIO, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np

Value: TypeAlias = object
"""Whatever containers, numbers, text and tensors a file may hold."""

Storage: TypeAlias = Callable[[str, np.dtype, int], np.ndarray]
"""Gives the values of a storage, from its name, type and number of values."""

DAMAGED = "the file is damaged, get it again"

# Tensors that repeat a smaller storage, by strides of 0, are expanded no further than this: a few bytes could ask for
# all memory there is.
_MOST_REPEATED = 1 << 24

_DTYPES = {
    **{name: np.dtype(name) for name in ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8")},
    **{name: np.dtype(name) for name in ("uint16", "uint32", "uint64", "bool", "complex64", "complex128")},
    "bfloat16": np.dtype(jnp.bfloat16),
    "float8_e4m3fn": np.dtype(jnp.float8_e4m3fn),
    "float8_e4m3fnuz": np.dtype(jnp.float8_e4m3fnuz),
    "float8_e5m2": np.dtype(jnp.float8_e5m2),
    "float8_e5m2fnuz": np.dtype(jnp.float8_e5m2fnuz),
    "float8_e8m0fnu": np.dtype(jnp.float8_e8m0fnu),
}
_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "UntypedStorage": "uint8",
}
_CONTAINERS: dict[tuple[str, str], Callable[..., Value]] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("collections", "defaultdict"): lambda *_: {},  # what it makes of a missing key is dropped
    ("collections", "Counter"): dict,
    **{("builtins", name): lambda *_: None for name in ("dict", "list", "int", "float")},  # what defaultdict makes
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("builtins", "complex"): complex,
    ("torch", "Size"): tuple,
    ("torch", "device"): lambda *arguments: ":".join(map(str, arguments)),
}
# Lightning saves the options of a module as this type; it is read as a dict.
_ATTRIBUTE_DICTS = (
    "lightning.fabric.utilities.data",
    "lightning_fabric.utilities.data",
    "pytorch_lightning.utilities.parsing",
)
_REFUSED = {
    "_rebuild_sparse_tensor": "is sparse: call .to_dense() on it",
    "_rebuild_sparse_csr_tensor": "is sparse: call .to_dense() on it",
    "_rebuild_qtensor": "is quantized: call .dequantize() on it",
    "_rebuild_nested_tensor": "is nested: pad it to one shape",
    "_rebuild_meta_tensor_no_storage": "has a shape and no values: it was saved from the device 'meta'",
}


class Tensor(NamedTuple):
    """A tensor of a file; its values may differ from the stored ones, as those of a conjugate do."""

    stored: np.ndarray
    conjugated: bool = False
    negated: bool = False

    @property
    def array(self) -> np.ndarray:
        """Its values."""
        array = np.conj(self.stored) if self.conjugated else self.stored
        return np.negative(array) if self.negated else array


def unpickle(stream: BinaryIO, storage: Storage | None = None) -> Value:
    """Reads the pickle at which the stream stands, and leaves the stream behind its end.

    Args:
      stream: A file or buffer.
      storage: Finds the values of tensors; None if there are none.

    Returns:
      Containers, numbers and text as they are, tensors as `Tensor`.

    Raises:
      ValueError: The pickle is damaged, or holds objects that only running code could read.
    """
    start = stream.tell()
    try:
        # Look at every instruction before following the first: a number that a short file cannot reach would make the
        # interpreter allocate that many places.
        for instruction, argument, position in pickletools.genops(stream):
            if "PUT" in instruction.name and isinstance(argument, int) and argument > (position or 0):
                raise ValueError(f"place {argument} of its memory, at byte {position}, is out of reach")
        size = stream.tell() - start
        stream.seek(start)
        return _Reader(io.BytesIO(stream.read(size)), storage).load()
    except _RefusedError as error:
        raise ValueError(str(error)) from error
    except Exception as error:  # a damaged pickle can fail in any way
        raise ValueError(f"its description cannot be followed ({error}); {DAMAGED}") from error


class _RefusedError(Exception):
    """The content is well formed, but this reader does not support it."""


class _Call:
    """Replaces a function of PyTorch. A file cannot change it, as it could change an ordinary function."""

    __slots__ = ("__function",)

    def __init__(self, function: Callable[..., Value]):
        object.__setattr__(self, "_Call__function", function)

    def __call__(self, *arguments: Value) -> Value:
        return self.__function(*arguments)

    def __setattr__(self, name: str, value: Value) -> None:
        raise AttributeError(f"{name} cannot be set")


class _StorageType(NamedTuple):
    dtype: np.dtype


class _Stored(NamedTuple):
    values: np.ndarray


class _Reader(pickle.Unpickler):
    """An unpickler that knows tensors and containers. It refuses every other name, so nothing is ever run."""

    def __init__(self, stream: io.BytesIO, storage: Storage | None):
        super().__init__(stream, encoding="utf-8")
        self._storage = storage

    def find_class(self, module: str, name: str) -> Value:
        """The replacement for a Python name."""
        module = {"__builtin__": "builtins", "torch.nn.parameter": "torch"}.get(module, module)
        if (module, name) in _CONTAINERS:
            return _Call(_CONTAINERS[module, name])
        if module in ("torch", "torch.storage") and name in _STORAGES:
            return _StorageType(_DTYPES[_STORAGES[name]])
        if module == "torch" and name in _DTYPES:
            return _StorageType(_DTYPES[name])
        if name == "AttributeDict" and module in _ATTRIBUTE_DICTS:
            return type(name, (dict,), {})
        if module == "torch._utils" and name in _REBUILD:
            return _Call(_REBUILD[name])
        if module == "torch._utils" and name in _REFUSED:
            raise _RefusedError(f"a tensor {_REFUSED[name]} before saving")
        if module == "torch" and (name.startswith(("float", "Q", "q", "complex", "bits")) or name.endswith("Storage")):
            raise _RefusedError(f"it holds tensors of {name}, which NumPy lacks: convert them before saving")
        if (module, name) in (("torch", "Tensor"), ("torch", "Parameter")):
            return name
        if (module, name) == ("torch._tensor", "_rebuild_from_type_v2"):
            return _Call(_rebuild_subclass)
        raise _RefusedError(
            f"it holds an object of {module}.{name}, and more than tensors and containers is not read, since reading "
            "would run code: if you trust the file, load it where that class is installed by torch.load(file, "
            "weights_only=False), and save model.state_dict() by torch.save"
        )

    def persistent_load(self, reference: Value) -> _Stored:
        """The values of a storage."""
        kind, storage_type, key, _, count = reference[:5] if isinstance(reference, tuple) else (None,) * 5
        view = reference[5] if isinstance(reference, tuple) and len(reference) > 5 else None
        if self._storage is None or kind != "storage" or not isinstance(storage_type, _StorageType):
            raise ValueError(f"a reference {str(reference)[:60]} to no storage")
        if not isinstance(count, int) or count < 0 or not isinstance(key, str | int):
            raise ValueError(f"a storage {key!r} of {count} values")
        values = self._storage(str(key), storage_type.dtype, count)
        if view is not None:  # of the older format: a part of another storage
            _, offset, length = view
            _check_ints("view of a storage", (offset, length))
            if offset + length > count:
                raise ValueError(f"a view of {length} values at {offset} in a storage of {count}")
            values = values[offset : offset + length]
        return _Stored(values)


def _rebuild(stored: Value, offset: Value, shape: Value, strides: Value, *rest: Value) -> Tensor:
    """A tensor on a storage; its gradient and hooks (`rest`) are dropped, its conjugation is not."""
    if not isinstance(stored, _Stored):
        raise ValueError("a tensor without a storage")
    metadata = rest[2] if len(rest) > 2 and isinstance(rest[2], Mapping) else {}
    array = _strided(stored.values, offset, shape, strides)
    return Tensor(array, bool(metadata.get("conj")), bool(metadata.get("neg")))


def _rebuild_typed(
    stored: Value,
    offset: Value,
    shape: Value,
    strides: Value,
    gradient: Value,
    hooks: Value,
    dtype: Value,
    *rest: Value,
) -> Tensor:
    """A tensor of a type without a storage class: the types added after PyTorch 2.1."""
    if not isinstance(stored, _Stored) or not isinstance(dtype, _StorageType):
        raise ValueError("a tensor without a storage or a type")
    return _rebuild(_Stored(stored.values.view(dtype.dtype)), offset, shape, strides, gradient, hooks, *rest)


def _rebuild_parameter(tensor: Value, *_: Value) -> Value:
    return tensor


def _rebuild_subclass(function: Value, kind: Value, arguments: Value, state: Value) -> Value:
    del kind, state
    if not isinstance(function, _Call) or not isinstance(arguments, tuple):
        raise ValueError("a tensor that nothing rebuilds")
    return function(*arguments)


_REBUILD: dict[str, Callable[..., Value]] = {
    "_rebuild_tensor": _rebuild,
    "_rebuild_tensor_v2": _rebuild,
    "_rebuild_tensor_v3": _rebuild_typed,
    "_rebuild_parameter": _rebuild_parameter,
    "_rebuild_parameter_with_state": _rebuild_parameter,
}


def _strided(values: np.ndarray, offset: Value, shape: Value, strides: Value) -> np.ndarray:
    """The part of a storage that a tensor covers. Checks its range, because NumPy would read beyond the end."""
    if not isinstance(shape, tuple) or not isinstance(strides, tuple) or len(shape) != len(strides):
        raise ValueError(f"a tensor of shape {shape} and strides {strides}")
    sizes, steps = _check_ints("shape", shape), _check_ints("strides", strides)
    (first,) = _check_ints("offset", (offset,))
    count = 1
    for size in sizes:
        count *= size
    if not count:
        return np.zeros(sizes, values.dtype)
    last = first + sum((size - 1) * step for size, step in zip(sizes, steps, strict=True))
    if last >= len(values):
        raise ValueError(f"a tensor of shape {list(sizes)} ends at value {last} of {len(values)}")
    if count > max(len(values), _MOST_REPEATED):
        raise ValueError(f"a tensor of shape {list(sizes)} on {len(values)} values")
    # Not `as_strided`, which does not know the types that NumPy lacks.
    places = tuple(step * values.itemsize for step in steps)
    return np.ndarray(sizes, values.dtype, values.view(np.uint8).data, first * values.itemsize, places)


def _check_ints(what: str, values: tuple[Value, ...]) -> tuple[int, ...]:
    checked = tuple(value for value in values if isinstance(value, int) and 0 <= value < 1 << 62)
    if len(checked) != len(values):
        raise ValueError(f"{what} {values} must be ints of at least 0")
    return checked
