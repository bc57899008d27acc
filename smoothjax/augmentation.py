"""Strengths of augmentation: plain numbers, so that command lines and pipelines share them."""

from dataclasses import dataclass, field, fields

__all__ = ["BEST_JPEG", "Strengths"]

BEST_JPEG: int = 95
"""The highest useful quality of a JPEG in Pillow's units: above it files only grow."""


@dataclass(frozen=True)
class Strengths:
    """Strengths of augmentation besides scale, mirror and crop; 0, the default, turns one off.

    `smoothjax.data.Augmentation` applies them.

    Example:
      >>> Strengths(brightness=0.4, rotate=10.0).rotate
      10.0
    """

    brightness: float = field(default=0.0, metadata={"largest": 1.0})
    """Brightness: a factor drawn from 1 - b to 1 + b."""
    contrast: float = field(default=0.0, metadata={"largest": 1.0})
    """Contrast: the distance from the mean grey of the crop is multiplied by a factor from 1 - c to 1 + c."""
    saturation: float = field(default=0.0, metadata={"largest": 1.0})
    """Saturation: the distance from grey is multiplied by a factor from 1 - s to 1 + s."""
    hue: float = field(default=0.0, metadata={"largest": 0.5})
    """Hue: colours turn about the grey axis by up to this part of a full turn, either way; 0.5 reaches every colour."""
    gamma: float = field(default=0.0, metadata={"largest": 4.0})
    """Gamma: an exponent between 1 / (1 + g) and 1 + g."""
    blur: float = field(default=0.0, metadata={"largest": 16.0})
    """Blur: largest standard deviation of a Gaussian, in pixels."""
    jpeg: int | None = None
    """JPEG: lowest quality at which crops are compressed, 1 to 95; the quality is drawn from it to 95."""
    rotate: float = field(default=0.0, metadata={"largest": 180.0})
    """Rotation: largest angle in degrees, either way; the loss ignores pixels from outside the image."""
    balanced: float = field(default=0.0, metadata={"largest": 1.0})
    """Share of the crops drawn around a pixel of a class, rare classes more often; not for training on whole images."""

    def check(self, prefix: str = "") -> None:
        """Raises ValueError if a strength is out of range; `prefix` precedes its name in the message.

        Example:
          >>> Strengths(hue=0.6).check("--data.augment.")
          Traceback (most recent call last):
          ValueError: --data.augment.hue must be from 0 to 0.5, got 0.6: 0 turns it off
        """
        for strength in fields(self):
            name, value, largest = strength.name, getattr(self, strength.name), strength.metadata.get("largest")
            if largest is not None and not 0 <= value <= largest:
                raise ValueError(f"{prefix}{name} must be from 0 to {largest:g}, got {value}: 0 turns it off")
        if self.jpeg is not None and not 1 <= self.jpeg <= BEST_JPEG:
            raise ValueError(
                f"{prefix}jpeg must be a quality from 1 to {BEST_JPEG}, got {self.jpeg}: leave it out to turn it off"
            )

    def check_channels(self, channels: int, prefix: str = "") -> None:
        """Raises ValueError if a strength is of colours or JPEG and the images are neither RGB nor grey."""
        named = [prefix + name for name in ("saturation", "hue", "jpeg") if getattr(self, name)]
        if named and channels not in (1, 3):
            raise ValueError(
                f"images of {channels} channels have no colours and cannot be JPEGs: leave out {' and '.join(named)}; "
                "brightness, contrast, gamma, blur and rotation take any channels"
            )
