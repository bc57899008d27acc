"""Which numbers of a run its tables show."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .checked import is_number
from .runs import Run


@dataclass(frozen=True)
class Score:
    """A column.

    Attributes:
      title: its heading.
      path: where an evaluation holds it.
      factor: by which it is multiplied.
      digits: after the decimal point.
      lower: whether a lower value is better, where values choose an initial rate.
    """

    title: str
    path: tuple[str, ...]
    factor: float = 1.0
    digits: int = 1
    lower: bool = False


_DENSE = (
    Score("mean IoU", ("mean_iou",), 100),
    Score("pixel accuracy", ("pixel_accuracy",), 100),
    Score("boundary IoU", ("boundary", "mean_boundary_iou"), 100),
    Score("trimap IoU", ("boundary", "trimap_mean_iou"), 100),
)
_VAE = (
    Score("ELBO, nats", ("elbo",)),
    Score("bits / dim", ("bits_per_dimension",), digits=3, lower=True),
    Score("PSNR dB", ("psnr",), digits=2),
    Score("SSIM", ("ssim",), digits=3),
    Score("checkerboard of samples", ("checkerboard",), digits=2, lower=True),
)
_SEQUENCE = (
    Score("bits or squared error", ("score",), digits=4, lower=True),
    Score("accuracy %", ("accuracy",), 100),
)
_RESTORATION = (Score("PSNR dB", ("psnr",), digits=2), Score("SSIM", ("ssim",), digits=3))

#: By study, its columns; the first one is compared and chooses rates.
SCORES: Mapping[str, tuple[Score, ...]] = {
    "segmentation": _DENSE,
    "pixel_dcn": _DENSE,
    "vae": _VAE,
    "restoration": _RESTORATION,
    "sequence": _SEQUENCE,
}
#: By study, an entry of `result.json` about the size of what is compared, and its heading.
PARAMETERS = {
    "segmentation": ("extra_parameters", "extra parameters"),
    "pixel_dcn": ("upsampling_parameters", "up-sampling parameters"),
    "vae": ("upsampling_parameters", "up-sampling parameters"),
    "restoration": ("extra_parameters", "extra parameters"),
    "sequence": ("smoothing_parameters", "smoothing parameters"),
}


def evaluation(run: Run, split: str) -> Mapping[str, Any] | None:
    """What is known of a run on a split; on val at least what training ended with."""
    ended = {**run.result["val"], "checkerboard": run.result.get("checkerboard")} if split == "val" else None
    return run.evaluations.get(split, ended)


def value(run: Run, split: str, score: Score) -> float | None:
    """A score of a run, None where it is not known."""
    found: Any = evaluation(run, split)
    for key in score.path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return score.factor * found if is_number(found) else None


def by_class(run: Run, split: str) -> dict[str, float]:
    """IoU of each class in percent; empty where it is not known. A class that does not occur is left out."""
    found = (evaluation(run, split) or {}).get("iou")
    return {name: 100 * iou for name, iou in found.items() if is_number(iou)} if isinstance(found, Mapping) else {}
