"""Published weights in the encoder of an existing network."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx

from .. import nn
from .._checks import check_choice
from ..models import DenseEncoder, DilatedStackEncoder, EfficientNetLiteEncoder, ResNetEncoder
from ..names import EncoderDegridding, SourceName
from ._assign import Entry, Path, convert, dotted, shapes_of
from ._efficientnet_lite import efficientnet_lite_entries
from ._encoder import check_smoothing, encoder_entries, fit_first_kernel, smoother_entries
from ._names import BASIC_DEPTHS, STEM, Variables, recognise
from ._sources import SOURCES, Source


@dataclass(frozen=True)
class LoadReport:
    """The use of a checkpoint's variables and the origin of a network's parameters; prints as a few lines.

    Attributes:
      source: the kind of weights.
      loaded: parameters and statistics with values from the checkpoint, as dotted paths.
      initial: parameters and statistics left unchanged.
      dropped: known variables that the encoder does not take, such as those of a classifier.
      deviations: options of the encoder that differ from those of the published network.
      adapted: the change of the first kernel for images that are not RGB; empty for RGB.
    """

    source: SourceName
    loaded: tuple[str, ...]
    initial: tuple[str, ...]
    dropped: tuple[str, ...]
    deviations: tuple[str, ...]
    adapted: str = ""

    def __str__(self) -> str:
        lines = [f"loaded from {self.source}: {len(self.loaded)} of {len(self.loaded) + len(self.initial)} arrays"]
        lines += [self.adapted] * bool(self.adapted)
        for title, names in (("left at initialisation", self.initial), ("not used", self.dropped)):
            lines += [f"{title}: {grouped_names(names)}"] * bool(names)
        lines += [f"other than in the published network: {'; '.join(self.deviations)}"] * bool(self.deviations)
        return "\n".join(lines)


class Initialization(NamedTuple):
    """Complete trees of a network, and the report on them.

    Attributes:
      params: parameters as a pure dict.
      model_state: everything else, batch statistics, as a pure dict.
      report: what was loaded.
    """

    params: Any
    model_state: Any
    report: LoadReport


def initialize_encoder(model: nnx.Module, variables: Variables, *, source: SourceName) -> Initialization:
    """Puts published weights into the encoder of a network, beside its other parameters.

    The model itself is not changed: `nnx.update(model, result.params, result.model_state)` does that, and the trees are
    those of `nnx.split(model, nnx.Param, ...)` as pure dicts. Output layers are never taken from a checkpoint.
    Smoothing parameters are taken if the checkpoint has them; otherwise they stay unchanged, the identity in a new
    model. The report lists options in which the encoder differs from the published network: they are legitimate, but
    its features then differ from the published ones (`SOURCES[source].architecture` has the options).

    If the encoder's images are not RGB, its first kernel is the sum over the colours (1 channel), or that of red,
    green, blue, red, ... scaled by 3 over their number; the report says so.

    Args:
      model: a network with one `models.ResNetEncoder` or `models.EfficientNetLiteEncoder`, such as `models.DeepLab`, or
        the encoder itself.
      variables: variables of the checkpoint by name, as from `read`.
      source: the kind of the checkpoint, a key of `SOURCES`.

    Returns:
      The trees, with loaded values in float32, and the report.

    Raises:
      ValueError: source is unknown, the model has no or several encoders, or the variables are of another
        family, depth, width or smoothing than the encoder, incomplete, or include unknown ones.

    Example:
      >>> import numpy as np
      >>> from flax import nnx
      >>> from smoothjax import models, weights
      >>> model = nnx.eval_shape(lambda: models.DeepLab(encoder="resnet18", num_classes=5, rngs=nnx.Rngs(0)))
      >>> weights.initialize_encoder(model, {"fc.weight": np.zeros((1000, 512))}, source="torchvision")
      Traceback (most recent call last):
      ...
      ValueError: the names of the variables must be of the family 'torchvision', got none that is known ...
    """
    check_choice("source", source, tuple(SOURCES))
    kind, (prefix, encoder) = SOURCES[source], _find_encoder(model)
    shapes, entries = shapes_of(model), _entries(model, variables, source)
    entries, adapted = _fit_stem(entries, prefix, encoder.in_features, kind)
    values, dropped = convert(entries, variables, shapes, known=f"{kind.classifier}|{kind.other}")
    params, model_state = ({}, {})
    for path, leaf in nnx.to_flat_state(nnx.state(model)):
        tree = params if isinstance(leaf, nnx.Param) else model_state
        for key in path[:-1]:
            tree = tree.setdefault(key, {})
        tree[path[-1]] = jnp.asarray(values[path]) if path in values else leaf.get_value()
    report = LoadReport(
        source=source,
        loaded=tuple(dotted(path) for path in shapes if path in values),
        initial=tuple(dotted(path) for path in shapes if path not in values),
        dropped=tuple(dropped),
        deviations=_deviations(encoder, kind),
        adapted=adapted,
    )
    return Initialization(params, model_state, report)


def _fit_stem(entries: list[Entry], prefix: Path, channels: int, kind: Source) -> tuple[list[Entry], str]:
    """The entries with the first kernel adapted to the channels of the images, and a line about the change."""
    place, order = (*prefix, *STEM.conv, "kernel"), kind.preprocessing.channel_order
    if channels == 3:
        return entries, ""

    def fit(entry: Entry) -> Entry:
        def converted(value: np.ndarray) -> np.ndarray:
            kernel = np.asarray(value if entry.convert is None else entry.convert(value))
            return fit_first_kernel(kernel, channels, order=order)

        return entry._replace(convert=converted) if entry.path == place else entry

    what = (
        "averaged over red, green and blue and times 3, so that grey gives the same as in RGB"
        if channels == 1
        else f"red, green, blue, red, ... repeated and scaled by 3/{channels}"
    )
    return [fit(entry) for entry in entries], f"first kernel for {channels} channel{'s' * (channels > 1)}: {what}"


def _entries(model: nnx.Module, variables: Variables, source: SourceName) -> list[Entry]:
    """The entries of the encoder; refuses variables of another encoder."""
    kind, (prefix, encoder) = SOURCES[source], _find_encoder(model)
    if isinstance(encoder, EfficientNetLiteEncoder) or not kind.families:
        if not isinstance(encoder, EfficientNetLiteEncoder) or source != encoder.name:
            raise ValueError(
                f"source {source!r} does not fit the encoder of the network, {encoder.name}: build the network with "
                "the encoder of its weights"
            )
        return efficientnet_lite_entries(encoder, variables, prefix)
    if isinstance(encoder, DilatedStackEncoder):
        raise ValueError("no published weights fit an encoder dilated_stack: build the network with a residual encoder")
    names = recognise(variables, kind.families)
    if names.depth != encoder.depth:
        raise ValueError(
            f"the variables are of a resnet{names.depth}, the encoder of the network is a {encoder.name}: build "
            "the network with the depth of its weights"
        )
    entries = encoder_entries(names, prefix)
    if check_smoothing(_smoothing(encoder), variables):
        entries += smoother_entries(names, model, prefix)
    return entries


def _find_encoder(model: nnx.Module) -> tuple[Path, DenseEncoder]:
    found = [(path, module) for path, module in nnx.iter_modules(model) if isinstance(module, DenseEncoder)]
    if len(found) != 1:
        raise ValueError(
            f"model must have one encoder of smoothjax.models, {type(model).__name__} has {len(found)}: pass a "
            "DeepLab, or the encoder itself"
        )
    return found[0]


def _smoothing(encoder: DenseEncoder) -> EncoderDegridding:
    """The smoothing of an encoder's layers, which `nn.smooth` may have changed, or else of its option."""
    for _, layer in nnx.iter_modules(encoder):
        if isinstance(layer, nn.DilatedConv) and layer.smoothing != "none":
            return layer.smoothing
    return encoder.smoothing


def _deviations(encoder: DenseEncoder, source: Source) -> tuple[str, ...]:
    # Basic blocks have no 1x1 convolution that could hold a stride.
    basic = isinstance(encoder, ResNetEncoder) and encoder.depth in BASIC_DEPTHS

    def differs(name: str, published: object) -> bool:
        return getattr(encoder, name) != published and (name != "stride_in" or not basic)

    return tuple(
        f"{name} {getattr(encoder, name)!r}, published {published!r}"
        for name, published in source.architecture.items()
        if differs(name, published)
    )


def grouped_names(names: Iterable[str]) -> str:
    """Names of parameters for messages: names that differ only in numbers are merged, with their count.

    Args:
      names: dotted paths.

    Returns:
      One line.

    Example:
      >>> from smoothjax import weights
      >>> weights.grouped_names(["head.bias", "stages.0.kernel", "stages.1.kernel"])
      'head.bias, stages.*.kernel (2)'
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(re.sub(r"\d+", "*", name), []).append(name)
    return ", ".join(same[0] if len(same) == 1 else f"{pattern} ({len(same)})" for pattern, same in groups.items())
