"""The methods that studies compare, each said once: its label, initial rate and options; imports no JAX."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import tyro

from smoothjax.names import PhaseOrder

from .config import require

#: What tables and figures call the smoothings of the paper, and the baseline.
SMOOTHING_LABELS: Mapping[str, str] = {
    "none": "baseline",
    "group_interaction": "group interaction",
    "ss_conv": "SS convolution",
}

#: What they call the other smoothings of a layer.
RELATIVE_LABELS: Mapping[str, str] = {
    "circulant_group_interaction": "circulant group interaction",
    "average_filter": "average filter",
    "gaussian_filter": "Gaussian filter",
    "aggregated_filters": "aggregated filters",
}

UPSAMPLING_LABELS: Mapping[str, str] = {
    "dcl": "DCL",
    "ipixel_dcl": "iPixelDCL",
    "fast_pixel_dcl": "PixelDCL (fast, Fig. 6)",
    "pixel_dcl": "PixelDCL (general)",
    "resize_conv": "resize convolution",
    "sub_pixel": "sub-pixel convolution",
    "sub_pixel_blur": "sub-pixel convolution, blurred",
    "carafe": "CARAFE",
    "dysample": "DySample",
}


#: Up-sampling layers that make their phases in a sequence of choice.
IN_SEQUENCE = ("ipixel_dcl", "pixel_dcl")


def order_of(upsampling: str, order: PhaseOrder | None) -> PhaseOrder | None:
    """The sequence of phases that a layer is given: in a comparison, the option is of those that have one."""
    return order if upsampling in IN_SEQUENCE else None


def check_order(upsampling: str, order: PhaseOrder | None) -> None:
    """Refuses a sequence of phases for a layer without one."""
    require(
        order is None or upsampling in IN_SEQUENCE,
        f"--model.order is an option of {' and '.join(IN_SEQUENCE)}, got {order} with --model.upsampling {upsampling}: "
        "leave it out, or take one of these layers",
    )


@dataclass(frozen=True)
class MethodSpec:
    """What the study knows of a method.

    Attributes:
      label: what tables and figures call it.
      rate: initial learning rate; None is the baseline's.
      options: further options that the method sets, besides `model.smoothing`.
    """

    label: str
    rate: float | None = None
    options: Mapping[str, object] = field(default_factory=dict)


class MethodRates:
    """Initial learning rate of each method; the paper calls its change an important step. None is the baseline's."""

    none: float

    def __init__(self, **rates: float | None): ...


def rates_dataclass(methods: Mapping[str, MethodSpec], module: str) -> type:
    """The class behind `MethodRates`: frozen, with a field, an option and a line of help for each method."""

    def option(spec: MethodSpec) -> object:
        kind = float | None if spec.rate is None else float
        return Annotated[kind, tyro.conf.arg(help=f"{spec.label[0].upper()}{spec.label[1:]}.")]

    return dataclasses.make_dataclass(
        "Rates",
        [(name, option(spec), spec.rate) for name, spec in methods.items()],
        frozen=True,
        namespace={"__doc__": MethodRates.__doc__, "__module__": module},
    )
