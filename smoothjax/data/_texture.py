"""Colours and patterns of the shapes data set."""

import colorsys
import functools

import numpy as np

_F = np.float32


def background_texture(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Clouds between two muted colours, float32 `[3, H, W]`, values about 0 .. 1."""
    first, second = (_color(rng.random(), 0.3 * rng.random(), rng.uniform(0.2, 0.8)) for _ in range(2))
    clouds = 0.65 * _blotches(rng, size, 4) + 0.35 * _blotches(rng, size, int(rng.integers(9, 17)))
    return _mix(first, second, clouds)


def object_texture(rng: np.random.Generator, size: tuple[int, int], kind: int, kinds: int) -> np.ndarray:
    """A pattern of two colours near the hue of its class, float32 `[3, H, W]`.

    Args:
      rng: source of every choice.
      size: height and width in pixels.
      kind: number of the class, 0 .. kinds - 1.
      kinds: number of classes.
    """
    # The nearest class hue is the right one in 63 % of the cases: colour helps, the outline decides.
    hue = (kind + 0.5) / kinds + 0.08 * rng.standard_normal()
    first = _color(hue, rng.uniform(0.45, 0.95), rng.uniform(0.55, 0.95))
    second = _color(hue + 0.04 * rng.standard_normal(), rng.uniform(0.2, 0.9), rng.uniform(0.25, 0.95))
    return _mix(first, second, _PATTERNS[int(rng.integers(len(_PATTERNS)))](rng, size))


def _mix(first: np.ndarray, second: np.ndarray, amount: np.ndarray) -> np.ndarray:
    return first[:, None, None] + amount * (second - first)[:, None, None]


def _color(hue: float, saturation: float, value: float) -> np.ndarray:
    """HSV to RGB, all in 0 .. 1; the hue wraps around."""
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, saturation, value), _F)


def _wave(rng: np.random.Generator, size: tuple[int, int], angle: float) -> np.ndarray:
    """A sine of 5 to 16 pixels' length, in -1 .. 1."""
    frequency = 2 * np.pi / rng.uniform(5, 16)
    y = np.arange(size[0], dtype=_F)[:, None] * _F(frequency * np.sin(angle))
    x = np.arange(size[1], dtype=_F)[None, :] * _F(frequency * np.cos(angle))
    return np.sin(y + (x + _F(rng.uniform(0, 2 * np.pi))))


def _stripes(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    return _contrast(rng, _wave(rng, size, rng.uniform(0, np.pi)))


def _checks(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    angle = rng.uniform(0, np.pi)
    return _contrast(rng, _wave(rng, size, angle) * _wave(rng, size, angle + np.pi / 2))


def _circles(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    y = np.arange(size[0], dtype=_F)[:, None] - _F(rng.uniform(0, size[0]))
    x = np.arange(size[1], dtype=_F)[None, :] - _F(rng.uniform(0, size[1]))
    return _contrast(rng, np.sin(np.hypot(x, y) * _F(2 * np.pi / rng.uniform(6, 16))))


def _clouds(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    return _blotches(rng, size, int(rng.integers(4, 10)))


_PATTERNS = (_stripes, _checks, _circles, _clouds)


def _contrast(rng: np.random.Generator, wave: np.ndarray) -> np.ndarray:
    """Maps -1 .. 1 to 0 .. 1, with soft or hard edges."""
    return np.clip(wave * _F(rng.uniform(0.5, 2.0)) + _F(0.5), 0, 1)


def _blotches(rng: np.random.Generator, size: tuple[int, int], cells: int) -> np.ndarray:
    """Smooth noise: random values on a grid of `cells` x `cells`, linear in between, in 0 .. 1."""
    grid = rng.random((cells, cells), _F)
    return _interpolation(size[0], cells) @ grid @ _interpolation(size[1], cells).T


@functools.lru_cache(maxsize=512)
def _interpolation(pixels: int, cells: int) -> np.ndarray:
    """`[pixels, cells]`, each row the linear weights of the two cells around a pixel."""
    position = np.linspace(0, cells - 1, pixels)[:, None]
    return np.clip(1 - np.abs(position - np.arange(cells)), 0, 1).astype(_F)
