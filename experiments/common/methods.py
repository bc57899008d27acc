"""The methods that studies compare, each defined once: label, initial rate and options; imports no JAX."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import tyro

from smoothjax.names import PhaseOrder

from .config import require

#: Names of the baseline and the paper's smoothings in tables and figures.
SMOOTHING_LABELS: Mapping[str, str] = {
    "none": "baseline",
    "group_interaction": "group interaction",
    "ss_conv": "SS convolution",
}

#: Names of the other smoothings.
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


#: Up-sampling layers with a choice of the order of phases.
IN_SEQUENCE = ("ipixel_dcl", "pixel_dcl")


def order_of(upsampling: str, order: PhaseOrder | None) -> PhaseOrder | None:
    """The order of phases for a layer; in a comparison, the option applies only to layers that have one."""
    return order if upsampling in IN_SEQUENCE else None


def check_order(upsampling: str, order: PhaseOrder | None) -> None:
    """Refuses an order of phases for a layer without one."""
    require(
        order is None or upsampling in IN_SEQUENCE,
        f"--model.order is an option of {' and '.join(IN_SEQUENCE)}, got {order} with --model.upsampling {upsampling}: "
        "leave it out, or take one of these layers",
    )


@dataclass(frozen=True)
class MethodSpec:
    """A row of a study's table of methods.

    Attributes:
      label: its name in tables and figures.
      rate: initial learning rate; None for the baseline's.
      options: options that the method sets besides `model.smoothing`.
    """

    label: str
    rate: float | None = None
    options: Mapping[str, object] = field(default_factory=dict)


class MethodRates:
    """Initial learning rate of each method, which the paper calls important to change; None for the baseline's rate."""

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
