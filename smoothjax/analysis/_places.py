"""The position, strength and uncertainty of a checkerboard in a picture."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from ._arguments import check_maps, check_pixels
from ._checkerboard import PERIODS, energy_inside

#: Bootstrap resamples of the tiles for an interval.
_RESAMPLES = 2000
#: The energy of a pattern: the added energy equals that of the surroundings.
_CLEAR = 1.0


class PeriodEnergy(NamedTuple):
    """The checkerboard of one period in some pictures.

    Attributes:
      factor: the up-sampling factor in pixels; its frequency and multiples are measured.
      energy: the mean over all tiles of all pictures, as `checkerboard_energy` defines it.
      low, high: 95 % bootstrap interval of that mean over the tiles; NaN for fewer than four tiles.
      tiles: number of tiles.
    """

    factor: int
    energy: float
    low: float
    high: float
    tiles: int


def checkerboard_map(maps: ArrayLike, *, factor: int = 2, tile: int | None = None) -> np.ndarray:
    """The checkerboard energy of each tile of maps, which locates the pattern.

    Args:
      maps: images or feature maps `[N, *S, C]`, as in `checkerboard_energy`; a tile's examples and channels are pooled.
      factor: the up-sampling factor r in pixels, an int >= 2.
      tile: side of a tile in pixels, at least `8 * factor`; when None the larger of 64 and that. Tiles are side by side
        in the middle; the rest at the borders is left out.

    Returns:
      float64 `[*T]`, an energy for each tile, without unit.

    Raises:
      AssertionError: maps has another rank or dtype.
      ValueError: factor or tile is out of range, or no tile fits.

    Example:
      >>> import numpy as np
      >>> from smoothjax import analysis
      >>> rows, columns = np.mgrid[:64, :128]
      >>> maps = np.random.default_rng(0).normal(size=(64, 128)) + 3 * (-1.0) ** (rows + columns) * (columns >= 64)
      >>> analysis.checkerboard_map(maps[None, ..., None], factor=2).round() > 10
      array([[False,  True]])
    """
    maps, factor = check_maps("maps", maps), check_pixels("factor", factor, minimum=2)
    least = PERIODS * factor
    tile = max(64, least) if tile is None else check_pixels("tile", tile, minimum=least)
    # Whole periods only.
    tile -= tile % factor
    sizes = maps.shape[1:-1]
    counts = [size // tile for size in sizes]
    if not min(counts):
        raise ValueError(
            f"maps must have at least one tile of {tile} pixels along every spatial axis, got "
            f"{'x'.join(map(str, sizes))}: give larger maps, or a smaller tile of at least 8 * factor = {least}"
        )
    starts = [(size - count * tile) // 2 for size, count in zip(sizes, counts, strict=True)]
    inner = maps[(slice(None), *(slice(start, start + n * tile) for start, n in zip(starts, counts, strict=True)))]
    split = inner.reshape(len(maps), *(part for count in counts for part in (count, tile)), maps.shape[-1])
    ndim = len(sizes)
    tiles = split.transpose(*range(1, 2 * ndim, 2), 0, *range(2, 2 * ndim + 1, 2), 2 * ndim + 1)
    flat = tiles.reshape(-1, len(maps), *(tile,) * ndim, maps.shape[-1])
    # One after another, which needs the memory of one tile.
    energies = jax.lax.map(lambda one: energy_inside(one, factor, 0, (tile,) * ndim), flat)
    return np.asarray(energies, np.float64).reshape(counts)


def checkerboard_periods(
    pictures: Iterable[ArrayLike], *, factors: Sequence[int] = (2, 4, 8, 16)
) -> tuple[PeriodEnergy, ...]:
    """The checkerboard energy of pictures by period, with an interval over their tiles, see `checkerboard_map`.

    Args:
      pictures: images or feature maps `[N, *S, C]`, of any sizes, iterated once, so an iterator needs memory for only
        one at a time.
      factors: up-sampling factors; one for which no picture has a tile is left out.

    Returns:
      One entry per factor. A checkerboard of period r also shows at multiples of r.

    Raises:
      AssertionError: a picture has another rank or dtype.
      ValueError: a factor is not an int >= 2, or no picture is large enough for any factor.

    Example:
      >>> import numpy as np
      >>> from smoothjax import analysis
      >>> rows, columns = np.mgrid[:256, :256]
      >>> noise = np.random.default_rng(0).normal(size=(256, 256))
      >>> board = noise + 2 * (columns % 4 == 0)
      >>> for found in analysis.checkerboard_periods([board[None, ..., None]], factors=(2, 3, 4)):
      ...     print(found.factor, found.tiles, found.low > 1)
      2 16 True
      3 16 False
      4 16 True
    """
    tiles = {factor: max(64, PERIODS * check_pixels("factors", factor, minimum=2)) for factor in factors}
    if not tiles:
        raise ValueError("factors must name at least one up-sampling factor, got none: try (2, 4)")
    energies: dict[int, list[np.ndarray]] = {factor: [] for factor in tiles}
    sizes: list[str] = []
    for picture in pictures:
        maps = check_maps("pictures", picture)
        if not np.isfinite(np.asarray(maps)).all():
            raise ValueError("pictures must hold finite numbers, got NaN or infinity: leave that picture out")
        sizes.append("x".join(map(str, maps.shape[1:-1])))
        for factor, tile in tiles.items():
            if min(maps.shape[1:-1]) >= tile:
                energies[factor].append(checkerboard_map(maps, factor=factor).ravel())
    found = [_with_interval(factor, np.concatenate(some)) for factor, some in energies.items() if some]
    if not found:
        raise ValueError(
            f"pictures must hold one of at least {min(tiles.values())} pixels along every axis, got {sizes}: give "
            "larger ones, or smaller factors"
        )
    return tuple(found)


def _with_interval(factor: int, energies: np.ndarray) -> PeriodEnergy:
    low = high = float("nan")
    if len(energies) >= 4:
        generator = np.random.default_rng(0)
        # One resample after another, which needs only the memory of the tiles.
        means = [energies[generator.integers(len(energies), size=len(energies))].mean() for _ in range(_RESAMPLES)]
        low, high = np.quantile(means, (0.025, 0.975)).tolist()
    return PeriodEnergy(factor, float(energies.mean()), low, high, len(energies))


def describe_checkerboard(found: Sequence[PeriodEnergy]) -> str:
    """A verdict of one sentence with its uncertainty; at 1 the pattern has twice the energy of its surroundings.

    Args:
      found: see `checkerboard_periods`.

    Returns:
      The sentence.

    Example:
      >>> from smoothjax import analysis
      >>> print(analysis.describe_checkerboard([analysis.PeriodEnergy(2, 3.0, 2.5, 3.6, 16)]))
      A checkerboard of period 2: 3.0 times the energy around it is added (95 % interval 2.5 to 3.6, 16 tiles).
    """
    first = first_checkerboard(found)
    widest = max(found, key=lambda one: -np.inf if np.isnan(one.high) else one.high)
    if first.high <= _CLEAR < widest.high:
        # Less energy, or less certain.
        first = widest
    if first.low > _CLEAR:
        return (
            f"A checkerboard of period {first.factor}: {first.energy:.1f} times the energy around it is added "
            f"(95 % interval {first.low:.1f} to {first.high:.1f}, {first.tiles} tiles)."
        )
    numbers = f"{first.energy:.2f} times the energy around it at period {first.factor}"
    if np.isnan(first.low):
        return f"Too small to be sure: {numbers}, from {first.tiles} tiles; four or more give an interval."
    interval = f"95 % interval {first.low:.2f} to {first.high:.2f}, {first.tiles} tiles"
    return f"{'Unclear:' if first.high > _CLEAR else 'No checkerboard: at most'} {numbers} ({interval})."


def first_checkerboard(found: Sequence[PeriodEnergy]) -> PeriodEnergy:
    """The smallest period whose interval lies above 1, or else the period with the most energy.

    Args:
      found: see `checkerboard_periods`.

    Returns:
      Its entry.

    Example:
      >>> from smoothjax import analysis
      >>> found = [analysis.PeriodEnergy(2, 0.1, 0.0, 0.3, 16), analysis.PeriodEnergy(4, 0.2, 0.0, 0.4, 16)]
      >>> analysis.first_checkerboard(found).factor
      4
    """
    return next((one for one in found if one.low > _CLEAR), max(found, key=lambda one: one.energy))


def power_spectrum(maps: ArrayLike) -> np.ndarray:
    """The power of maps by frequency, over examples and channels, under a Hann window: 0 in the middle.

    Args:
      maps: `[N, *S, C]`, as in `checkerboard_energy`.

    Returns:
      float64 `[*S]`; index k along an axis of S pixels stands for `k / S - 1 / 2` cycles a pixel, if S is even.

    Raises:
      AssertionError: maps has another rank or dtype.

    Example:
      >>> import numpy as np
      >>> from smoothjax import analysis
      >>> wave = np.cos(np.pi * np.arange(8.0)).reshape(1, 8, 1)
      >>> int(analysis.power_spectrum(wave).argmax())
      0
    """
    maps = check_maps("maps", maps)
    values = np.asarray(maps.astype(jnp.float32), np.float64)
    axes = tuple(range(1, values.ndim - 1))
    values = values - values.mean(axes, keepdims=True)
    for axis in axes:
        size = values.shape[axis]
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
        values = values * hann.reshape(-1, *(1,) * (values.ndim - 1 - axis))
    power = np.abs(np.fft.fftn(values, axes=axes)) ** 2
    return np.fft.fftshift(power.mean((0, -1)))
