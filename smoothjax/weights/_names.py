"""The names of a residual network's layers in published checkpoints."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, NamedTuple, get_args

from numpy.typing import ArrayLike

from ..models import RESNET_BLOCKS

Family = Literal["caffe", "slim", "torchvision"]
Variables = Mapping[str, ArrayLike]
BASIC_DEPTHS = (10, 18, 34)


class Layer(NamedTuple):
    """A convolution of a residual network and its batch normalisation; `stage` is -1 for the first layer."""

    stage: int
    unit: int
    role: str

    @property
    def conv(self) -> tuple[str | int, ...]:
        """Path of the convolution in `models.ResNetEncoder`."""
        if self.stage < 0:
            return ("conv1",)
        return ("stages", self.stage, self.unit, *(("shortcut", 0) if self.role == "shortcut" else (self.role,)))

    @property
    def norm(self) -> tuple[str | int, ...]:
        """Path of the batch normalisation."""
        if self.role == "shortcut":
            return (*self.conv[:-1], 1)
        return (*self.conv[:-1], self.role.replace("conv", "bn"))


STEM = Layer(-1, 0, "conv1")


class Names(NamedTuple):
    """The naming of one checkpoint.

    Attributes:
      family: the family of names.
      depth: depth of the network that the names belong to.
      prefix: common beginning of all names of the encoder.
      scopes: the scopes of a layer's convolution and batch normalisation.
    """

    family: Family
    depth: int
    prefix: str
    scopes: Callable[[Layer], tuple[str, str]]

    def variables(self, layer: Layer) -> dict[tuple[str | int, ...], str]:
        """The variable of every parameter and statistic of a layer, by its path in `models.ResNetEncoder`."""
        conv, norm = self.scopes(layer)
        if self.family == "torchvision":
            kernel, leaves = f"{conv}.weight", {"scale": "weight", "mean": "running_mean", "var": "running_var"}
            norm += "."
        else:
            kernel, leaves = f"{conv}/weights", {"scale": "gamma", "mean": "moving_mean", "var": "moving_variance"}
            norm += "/"
        leaves["bias"] = "bias" if self.family == "torchvision" else "beta"
        return {(*layer.conv, "kernel"): kernel} | {(*layer.norm, k): norm + name for k, name in leaves.items()}


def layers(depth: int) -> Iterator[Layer]:
    """The layers of a network, in sequence."""
    yield STEM
    convolutions = ("conv1", "conv2") if depth in BASIC_DEPTHS else ("conv1", "conv2", "conv3")
    for stage, units in enumerate(RESNET_BLOCKS[depth]):
        for unit in range(units):
            # The first stage of a shallow network keeps the number of channels.
            if unit == 0 and (stage > 0 or depth not in BASIC_DEPTHS):
                yield Layer(stage, unit, "shortcut")
            for role in convolutions:
                yield Layer(stage, unit, role)


def recognise(variables: Variables, families: tuple[Family, ...] = get_args(Family)) -> Names:
    """Finds the naming and the depth of a checkpoint.

    Raises:
      ValueError: the variables belong to none of the families, or to no known depth.
    """
    found = [names for names in (_caffe(variables), _slim(variables), _torchvision(variables)) if names is not None]
    if not found or found[0].family not in families:
        kind = f"those of the family {found[0].family!r}" if found else "none that is known"
        first = ", ".join(sorted(variables)[:3]) or "no variable at all"
        raise ValueError(
            f"the names of the variables must be of the family {' or '.join(map(repr, families))}, got {kind} "
            f"(first {first}): choose the function or source of these weights"
        )
    return found[0]


def _depth(units: list[int], *, shallow: bool) -> int:
    for depth, blocks in RESNET_BLOCKS.items():
        if blocks == tuple(units) and (depth in BASIC_DEPTHS) is shallow:
            return depth
    raise ValueError(
        f"the variables are of a residual network with {units} blocks in its stages, of no known depth "
        f"({', '.join(map(str, RESNET_BLOCKS))}): variables may be missing"
    )


def _caffe(variables: Variables) -> Names | None:
    blocks: list[list[str]] = [[], [], [], []]
    for name in variables:
        if match := re.fullmatch(r"res([2-5])([a-z]\d*)_branch2a/weights", name):
            blocks[int(match[1]) - 2].append(match[2])
    if not any(blocks):
        return None
    # a, b, c in short stages; a, b1, b2, ... in long ones.
    suffixes = [sorted(stage, key=lambda suffix: (suffix[0], int(suffix[1:] or 0))) for stage in blocks]
    roles = {"shortcut": "1", "conv1": "2a", "conv2": "2b", "conv3": "2c"}

    def scopes(layer: Layer) -> tuple[str, str]:
        if layer == STEM:
            return "conv1", "bn_conv1"
        block = f"{layer.stage + 2}{suffixes[layer.stage][layer.unit]}_branch{roles[layer.role]}"
        return f"res{block}", f"bn{block}"

    return Names("caffe", _depth([len(stage) for stage in suffixes], shallow=False), "", scopes)


def _slim(variables: Variables) -> Names | None:
    pattern = r"(.*resnet_v1[^/]*/)block([1-4])/unit_(\d+)/bottleneck_v1/conv1/weights"
    matches = [match for match in (re.fullmatch(pattern, name) for name in variables) if match]
    if not matches:
        return None
    prefix = matches[0][1]
    units = [sum(match[2] == str(block) for match in matches) for block in range(1, 5)]

    def scopes(layer: Layer) -> tuple[str, str]:
        unit = "" if layer == STEM else f"block{layer.stage + 1}/unit_{layer.unit + 1}/bottleneck_v1/"
        scope = f"{prefix}{unit}{layer.role}"
        return scope, f"{scope}/BatchNorm"

    return Names("slim", _depth(units, shallow=False), prefix, scopes)


def _torchvision(variables: Variables) -> Names | None:
    matches = [re.fullmatch(r"layer([1-4])\.(\d+)\.conv1\.weight", name) for name in variables]
    units = [sum(bool(match) and match[1] == str(stage) for match in matches if match) for stage in range(1, 5)]
    if not any(units):
        return None

    def scopes(layer: Layer) -> tuple[str, str]:
        if layer == STEM:
            return "conv1", "bn1"
        unit = f"layer{layer.stage + 1}.{layer.unit}."
        if layer.role == "shortcut":
            return f"{unit}downsample.0", f"{unit}downsample.1"
        return unit + layer.role, unit + layer.role.replace("conv", "bn")

    return Names("torchvision", _depth(units, shallow="layer1.0.conv3.weight" not in variables), "", scopes)
