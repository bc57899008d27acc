"""The largest values of options: larger numbers would overflow, or take all memory, long after the start.

An option without an entry here takes numbers up to a million.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_USUAL = 1_000_000
_COUNTS = 10**9  # steps and intervals are counted in 32 bits
_PIXELS = 16_384
_CELLS = 2**31 - 1  # arrays are indexed in 32 bits

#: By the last part of an option's name.
LIMITS: dict[str, float] = {
    "steps": _COUNTS,
    "log_every": _COUNTS,
    "evaluate_every": _COUNTS,
    "checkpoint_every": _COUNTS,
    "evaluate_images": _COUNTS,
    "seed": 2**32 - 1,
    "batch_size": 16_384,
    "eval_batch_size": 16_384,
    "accumulate": 16_384,
    "train_images": 10_000_000,
    "width": 8_192,
    "latent_features": 65_536,
    "depth": 64,
    "head_rates": 4_096,
    "rates": 64,
    "crop_size": _PIXELS,
    "size": _PIXELS,
    "image_size": _PIXELS,
    "tile": _PIXELS,
    "scale": 16,
    "scale_range": 16,
    "scales": 16,
    "symbols": 65_536,
    "alphabet": 65_536,
    "delay": 65_536,
    "length": 65_536,
    "count": 100_000,
}
# Options that count cells in each example of a batch.
_EXTENTS = ("crop_size", "size", "image_size", "length", "delay")


def check_limits(options: "DataclassInstance") -> None:
    """Refuses numbers that no run can take, in an option or a section of options.

    Raises:
      ValueError: a number is too large, or infinite; the message names the option.
    """
    numbers = list(_numbers(options))
    for option, name, value in numbers:
        limit = LIMITS.get(name, _USUAL)
        # NaN breaks the rules of its option.
        if not math.isnan(value) and value > limit:
            shown = value if isinstance(value, float) else f"{value:,}"
            raise ValueError(f"--{option} must be at most {limit:,}, got {shown}: take a smaller number")
    batch = getattr(options, "batch_size", None)
    if not isinstance(batch, int):
        return
    for option in dict.fromkeys(option for option, name, _ in numbers if name in _EXTENTS):
        cells = batch * math.prod(int(value) for other, _, value in numbers if other == option)
        if cells > _CELLS:
            raise ValueError(
                f"--batch-size {batch:,} times --{option} must be at most {_CELLS:,}, got {cells:,}: take a smaller "
                "batch, or less of each example"
            )


def _numbers(options: "DataclassInstance", prefix: str = "") -> Iterator[tuple[str, str, float]]:
    """Every number of a dataclass with the name of its option and of its field, sections included."""
    for field in dataclasses.fields(options):
        value, option = getattr(options, field.name), prefix + field.name.replace("_", "-")
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            yield from _numbers(value, f"{option}.")
            continue
        for item in value if isinstance(value, tuple | list) else (value,):
            if isinstance(item, int | float) and not isinstance(item, bool):
                yield option, field.name, item
