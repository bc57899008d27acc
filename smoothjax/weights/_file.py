"""Our own files of weights: a whole network in the safetensors format."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from flax import nnx

from .. import __version__
from ..files import parse_json, write_whole
from ._assign import dotted, shapes_of, with_values
from ._networks import Arguments, build, network_of
from ._preprocessing import Preprocessing
from ._safetensors import read_safetensors

_KEY, _SUFFIX = "smoothjax", ".safetensors"
_MAX_BYTES = 2**20  # of the metadata
_MOST_CLASSES = 65_536


@dataclass(frozen=True)
class Description:
    """The description of a network in a file of `save`.

    Attributes:
      network: the name of its class in `smoothjax.models`.
      arguments: arguments of its constructor, except the source of randomness; a dtype by its name.
      classes: names of the classes, in the order of the logits; None if none were given.
      preprocessing: preprocessing of the images; None if none was given.
      version: version of smoothjax that wrote the file.
    """

    network: str
    arguments: Mapping[str, object]
    classes: tuple[str, ...] | None
    preprocessing: Preprocessing | None
    version: str


def save(
    model: nnx.Module,
    path: str | os.PathLike[str],
    *,
    classes: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
) -> None:
    """Writes one of our networks to a safetensors file, from which `load` builds the same network.

    Besides the arrays, the file's metadata hold the name of the network, the arguments of its constructor, classes,
    preprocessing and the version of smoothjax. Any reader of safetensors can open it.

    Args:
      model: a network of `smoothjax.models`, as made by its constructor or a loader of this package.
      path: the file, `NAME.safetensors`, in an existing folder; it is written atomically.
      classes: names of the classes, in the order of the logits.
      preprocessing: the preprocessing of images for the network.

    Raises:
      ValueError: the model is not one of our networks, or was changed since it was made, such as by `nn.smooth` or
        `nn.fold`; the file has another suffix; class names are not distinct, or do not match the network in number.

    Example:
      >>> import pathlib, tempfile
      >>> from flax import nnx
      >>> from smoothjax import models, weights
      >>> model = models.TemporalConvNet(5, vocabulary=5, width=4, depth=2, smoothing="ss_conv", rngs=nnx.Rngs(0))
      >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.safetensors"
      >>> weights.save(model, path)
      >>> weights.load(path).rates, weights.describe(path).network
      ((1, 2), 'TemporalConvNet')
    """
    path = Path(path)
    if path.suffix != _SUFFIX:
        raise ValueError(f"path must end in {_SUFFIX}, got {path}: name it e.g. {path.with_suffix(_SUFFIX)}")
    name, arguments = network_of(model)
    names = None if classes is None else _checked_classes(list(classes), arguments)
    content = {
        "version": __version__,
        "network": name,
        "arguments": arguments,
        "classes": names,
        "preprocessing": None if preprocessing is None else asdict(preprocessing),
    }
    arrays = {
        dotted(leaf_path): _array(dotted(leaf_path), leaf.get_value())
        for leaf_path, leaf in nnx.to_flat_state(nnx.state(model))
    }
    write_whole(path, safetensors.numpy.save(arrays, {"format": "flax", _KEY: json.dumps(content)}))


def _array(name: str, value: object) -> np.ndarray:
    """The values of a parameter or a statistic, which `load` takes in floating point only."""
    if not isinstance(value, jax.Array | np.ndarray):
        raise ValueError(
            f"model must have values, got {type(value).__name__} as {name}: make it without nnx.eval_shape"
        )
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise ValueError(f"model must have floating-point arrays, got {value.dtype} as {name}: convert it")
    return np.asarray(jax.device_get(value))


def load(path: str | os.PathLike[str]) -> nnx.Module:
    """Builds the network of a file of `save`, in evaluation mode.

    The file names one of our networks and the arguments of its constructor; no code in it is run.

    Args:
      path: the file.

    Returns:
      The network, with the arrays of the file in their dtypes. `describe` has its classes and preprocessing.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is damaged, not of `save`, or its arrays are not those of the network that it names; the
        message names it.

    Example:
      See `save`.
    """
    path = Path(path)
    description = describe(path)
    try:
        model = build(description.network, description.arguments)
        arrays = read_safetensors(path)
        shapes = {dotted(leaf_path): (leaf_path, shape) for leaf_path, shape in shapes_of(model).items()}
        for name in [*shapes, *arrays]:
            _check_array(name, arrays.get(name), shapes[name][1] if name in shapes else None, description.network)
        return with_values(model, {leaf_path: arrays[name] for name, (leaf_path, _) in shapes.items()})
    except ValueError as error:
        raise ValueError(f"{path} cannot be loaded: {error}") from error


def describe(path: str | os.PathLike[str]) -> Description:
    """Reads the description of a network from a file of `save`, without the arrays.

    Args:
      path: the file.

    Returns:
      Network, arguments, classes, preprocessing and version.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is damaged, or not of `save`; the message names it.

    Example:
      See `save`.
    """
    path = Path(path)
    if not path.is_file():
        where = "is a folder: name the file in it" if path.is_dir() else "does not exist: check the path"
        raise FileNotFoundError(f"{path} {where}")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except Exception as error:  # the type of the error depends on the fault of the file
        raise ValueError(f"{path} cannot be loaded: it is not a safetensors file, or damaged ({error})") from error
    if _KEY not in metadata:
        raise ValueError(
            f"{path} cannot be loaded: it is a safetensors file that weights.save has not written, so it does not "
            "name its network; weights.read returns its arrays"
        )
    try:
        return _description(parse_json(metadata[_KEY], "its metadata", max_bytes=_MAX_BYTES))
    except ValueError as error:
        raise ValueError(f"{path} cannot be loaded: {error}") from error


def _description(content: object) -> Description:
    """A description from untrusted JSON."""
    if not isinstance(content, dict):
        raise ValueError("its metadata hold no description of a network")
    network, arguments, version = (content.get(name) for name in ("network", "arguments", "version"))
    if not isinstance(network, str) or not isinstance(arguments, dict) or not isinstance(version, str):
        raise ValueError("its metadata must hold network, arguments and version")
    classes, preprocessing = content.get("classes"), content.get("preprocessing")
    return Description(
        network,
        arguments,
        None if classes is None else tuple(_checked_classes(classes, arguments)),
        None if preprocessing is None else _preprocessing(preprocessing),
        version,
    )


def _checked_classes(classes: object, arguments: Arguments) -> list[str]:
    if not isinstance(classes, list) or not all(isinstance(name, str) and name for name in classes):
        raise ValueError(f"classes must be names, got {str(classes)[:60]}: give one text a class")
    names = [name for name in classes if isinstance(name, str)]
    count = arguments.get("num_classes", len(names))
    if len(names) != count or len(set(names)) != len(names) or len(names) > _MOST_CLASSES:
        raise ValueError(
            f"classes must be {count} different names, one a channel of the logits, got {len(names)}, "
            f"{len(set(names))} of them different"
        )
    return names


def _preprocessing(value: object) -> Preprocessing:
    fields = set(Preprocessing.__dataclass_fields__)
    if not isinstance(value, dict) or set(value) != fields:
        raise ValueError(f"its preprocessing must hold {', '.join(sorted(fields))}, got {str(value)[:60]}")
    mean, std = (
        tuple(float(number) for number in numbers if isinstance(number, int | float) and np.isfinite(number))
        if isinstance(numbers := value[name], list)
        else ()
        for name in ("mean", "std")
    )
    if not 1 <= len(mean) == len(std) or len(mean) != len(value["mean"]) or len(std) != len(value["std"]):
        raise ValueError(
            f"its preprocessing must hold as many finite numbers as mean and as std, got {str(value)[:90]}"
        )
    return Preprocessing(mean, std, value["channel_order"])


def _check_array(name: str, array: np.ndarray | None, shape: tuple[int, ...] | None, network: str) -> None:
    if array is None or shape is None:
        what = f"the array {name[:60]!r}, which a {network} of its arguments"
        raise ValueError(f"it lacks {what} has" if array is None else f"it holds {what} does not have")
    if array.shape != shape:
        raise ValueError(
            f"its array {name!r} has shape {list(array.shape)}, and a {network} of its arguments takes {list(shape)}"
        )
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(f"its array {name!r} is of {array.dtype}, and a {network} takes floating-point numbers")
