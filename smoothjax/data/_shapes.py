"""The embedded data set: procedural pictures of textured shapes."""

import numpy as np

from ._classes import Classes
from ._drawn import SPLITS, check_drawn
from ._presets import SHAPES
from ._source import Record, checked_index
from ._texture import background_texture, object_texture

# The radius of each class relative to the drawn radius, so that all cover about the same area.
_RELATIVE_RADIUS = {"disk": 0.88, "square": 1.0, "triangle": 1.25, "ring": 1.15, "cross": 1.15, "star": 1.3}


class ShapesSource:
    """Drawn pictures of overlapping textured shapes with labels; needs no files and no download.

    Eight classes: background, disk, square, triangle, ring, cross, star, and wire, one to three thin curves side by
    side. A picture has three to six objects, turned and placed at random, later ones covering earlier ones; a line of
    one to two pixels around each object is labelled 255. Every object has two colours, a pattern (stripes, checks,
    circles or blotches) of random direction and frequency, and noise. Each class prefers one hue but overlaps with its
    neighbours, so colour helps without deciding: that takes the outline, and hence context.

    A picture is a function of `(seed, split, index)` only; the splits never share one.

    Args:
      length: number of pictures.
      size: height and width in pixels, each at least 32; shapes grow with the smaller one, wires do not.
      seed: 0 .. 2^32 - 1.
      split: "train", "val" or "test".

    Raises:
      ValueError: an argument is out of range.

    Example:
      >>> source = ShapesSource(length=2, size=(64, 80), seed=1, split="val")
      >>> source[0]["image"].shape, source[0]["label"].shape, source.name(0)
      ((64, 80, 3), (64, 80), 'shapes-val-1-00000')
    """

    def __init__(self, *, length: int, size: tuple[int, int] = (97, 97), seed: int = 0, split: str = "train"):
        check_drawn(length=length, size=size, seed=seed, split=split, least=" to show the shapes", usual=97)
        self._length, self._size, self._seed, self._split = length, (int(size[0]), int(size[1])), seed, split

    @property
    def classes(self) -> Classes:
        """The eight classes, `SHAPES`."""
        return SHAPES

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"ShapesSource(length={self._length}, size={self._size}, seed={self._seed}, split={self._split!r})"

    def __getitem__(self, index: int) -> Record:
        index = checked_index(index, self._length)
        # Always three words: SeedSequence takes (a, b) and (a, b, 0) for the same.
        return _draw(np.random.default_rng((self._seed, SPLITS.index(self._split), index)), self._size)

    def name(self, index: int) -> str:
        """Split, seed and index."""
        return f"shapes-{self._split}-{self._seed}-{index:05d}"

    def size(self, index: int) -> tuple[int, int]:
        """Height and width in pixels, the same for every index."""
        del index
        return self._size


def _draw(rng: np.random.Generator, size: tuple[int, int]) -> Record:
    """Paints background and objects, from back to front.

    Colours come first, `[3, H, W]`, until the end: NumPy broadcasts a map over them three times faster than over the
    last axis.
    """
    image = background_texture(rng, size)
    label = np.zeros(size, np.uint8)
    count = int(rng.integers(3, 7))
    # Classes are drawn without repetition, so that each is equally frequent in every run of pictures.
    kinds = rng.permutation(np.arange(1, len(SHAPES)))[:count]
    for kind in kinds:
        name = SHAPES.names[kind]
        window, distance = _wire(rng, size) if name == "wire" else _solid(rng, size, name)
        # A pixel's area covers half a pixel of distance either way.
        coverage = np.clip(0.5 - distance, 0, 1)
        shade = np.clip(0.8 - 0.05 * distance, 0.8, 1)
        texture = object_texture(rng, distance.shape, kind - 1, len(SHAPES) - 1) * shade
        canvas = image[:, *window]
        canvas += coverage * (texture - canvas)
        region = label[window]
        region[distance < 1.25] = 255
        region[distance < 0] = kind
    image += (rng.random(image.shape, np.float32) - 0.5) * float(rng.uniform(0.05, 0.2))
    pixels = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    return {"image": np.ascontiguousarray(pixels.transpose(1, 2, 0)), "label": label}


def _solid(rng: np.random.Generator, size: tuple[int, int], name: str) -> tuple[tuple[slice, slice], np.ndarray]:
    """A window of the picture, with the signed distance to the outline in pixels, negative inside."""
    radius = float(rng.uniform(0.15, 0.27)) * min(size) * _RELATIVE_RADIUS[name]
    centre = rng.uniform(0.08, 0.92, 2) * size
    angle = float(rng.uniform(0, 2 * np.pi))
    reach = 1.15 * radius + 3  # to the corners of a square, and the ignored line around them
    window, u, v = _coordinates(size, centre, angle, (reach, reach))
    return window, _OUTLINES[name](u, v, radius)


def _wire(rng: np.random.Generator, size: tuple[int, int]) -> tuple[tuple[slice, slice], np.ndarray]:
    """Like `_solid`, for one to three parallel waves of 2 to 4 pixels."""
    side = min(size)
    half_length = float(rng.uniform(0.35, 0.55)) * side
    amplitude, phase = float(rng.uniform(0, 0.06)) * side, float(rng.uniform(0, 2 * np.pi))
    frequency = 2 * np.pi / (float(rng.uniform(0.35, 0.8)) * side)
    strands, half_width = int(rng.integers(1, 4)), float(rng.uniform(1.2, 2.4))
    spacing = 2 * half_width + float(rng.uniform(4, 8))
    centre, angle = rng.uniform(0.25, 0.75, 2) * size, float(rng.uniform(0, 2 * np.pi))
    across = amplitude + (strands - 1) / 2 * spacing + 1.5 * half_width + 3
    cos, sin = abs(float(np.cos(angle))), abs(float(np.sin(angle)))
    reach = (cos * across + sin * (half_length + 2), sin * across + cos * (half_length + 2))
    window, u, v = _coordinates(size, centre, angle, reach)

    offset = v - amplitude * np.sin(frequency * u + phase)
    nearest = np.clip(np.rint(offset / spacing + (strands - 1) / 2), 0, strands - 1) - (strands - 1) / 2
    # Dividing by the slope makes the width the same along the wave.
    slope = np.sqrt(1 + (amplitude * frequency * np.cos(frequency * u + phase)) ** 2)
    return window, np.maximum(np.abs(offset - nearest * spacing) / slope - half_width, np.abs(u) - half_length)


def _coordinates(size, centre, angle, reach) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """The window around `centre`, with its coordinates in pixels along axes turned by `angle`."""
    low = [max(0, int(c - r)) for c, r in zip(centre, reach, strict=True)]
    high = [min(s, int(c + r) + 2) for s, c, r in zip(size, centre, reach, strict=True)]
    y = np.arange(low[0], high[0], dtype=np.float32)[:, None] - np.float32(centre[0])
    x = np.arange(low[1], high[1], dtype=np.float32)[None, :] - np.float32(centre[1])
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return (slice(low[0], high[0]), slice(low[1], high[1])), cos * x + sin * y, cos * y - sin * x


def _disk(u, v, radius):
    return np.hypot(u, v) - radius


def _square(u, v, radius):
    return np.maximum(np.abs(u), np.abs(v)) - 0.8 * radius


def _triangle(u, v, radius):
    leaning = 0.8660254 * np.abs(u) - 0.5 * v
    return np.maximum(leaning, v) - 0.5 * radius


def _ring(u, v, radius):
    return np.abs(np.hypot(u, v) - 0.78 * radius) - 0.2 * radius


def _cross(u, v, radius):
    u, v = np.abs(u), np.abs(v)
    long, short = np.maximum(u, v), np.minimum(u, v)
    return np.maximum(long - radius, short - 0.3 * radius)


def _star(u, v, radius):
    """Five points, folded into half a point; the edge runs from the tip to the inner corner."""
    sector = 2 * np.pi / 5
    turn = np.arctan2(u, v)
    turn = np.abs(turn - sector * np.rint(turn / sector))
    distance = np.hypot(u, v)
    inner = 0.5 * radius
    edge = np.array([inner * np.cos(sector / 2) - radius, inner * np.sin(sector / 2)])
    normal = (np.array([edge[1], -edge[0]]) / np.hypot(*edge)).astype(np.float32)
    return normal[0] * (distance * np.cos(turn) - radius) + normal[1] * (distance * np.sin(turn))


_OUTLINES = {
    "disk": _disk,
    "square": _square,
    "triangle": _triangle,
    "ring": _ring,
    "cross": _cross,
    "star": _star,
}
