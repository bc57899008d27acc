"""Checkerboards by place and by period: found where they were added, and not elsewhere."""

import jax.numpy as jnp
import numpy as np
import pytest

from smoothjax import analysis


def _noise(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_the_map_shows_where_a_pattern_was_put():
    """One of six tiles has it; the tiles are centred in the map."""
    maps = _noise(1, 140, 200, 2)
    rows, columns = np.mgrid[:64, :64]
    maps[:, 70:134, 68:132] += 4 * ((-1.0) ** (rows + columns))[None, ..., None]
    energies = analysis.checkerboard_map(maps, factor=2)
    assert energies.shape == (2, 3)
    assert np.argwhere(energies > 10).tolist() == [[1, 1]]


def test_one_tile_is_the_measure_of_the_whole():
    maps = _noise(2, 64, 64, 1)
    whole = analysis.checkerboard_energy(maps, factor=4, border=0)
    np.testing.assert_allclose(analysis.checkerboard_map(maps, factor=4), [[float(whole)]], rtol=1e-4)


@pytest.mark.parametrize(("period", "first"), [(0, None), (2, 2), (4, 4), (8, 8)])
def test_the_period_that_was_put_is_found(period, first):
    """A pattern of period 4 that alternates in sign has peaks only at 1/4 and 3/4, none of period 2."""
    maps = _noise(1, 256, 256, 1)
    if period:
        maps += 2 * np.cos(2 * np.pi * np.arange(256) / period)[None, :, None, None]
    found = analysis.checkerboard_periods([maps])
    verdict = analysis.describe_checkerboard(found)
    assert verdict.startswith(f"A checkerboard of period {first}:" if first else "No checkerboard")
    assert [one.tiles for one in found] == [16, 16, 16, 4]
    assert all(one.low <= one.energy <= one.high for one in found)


def test_few_tiles_give_no_interval():
    found = analysis.checkerboard_periods([_noise(1, 64, 128, 1)])
    assert [one.factor for one in found] == [2, 4, 8]
    assert np.isnan(found[0].low)
    assert analysis.describe_checkerboard(found).startswith("Too small to be sure")


def test_no_checkerboard_is_said_where_no_period_may_have_one():
    sure, unsure = analysis.PeriodEnergy(2, 0.8, 0.7, 0.9, 16), analysis.PeriodEnergy(16, 0.6, 0.1, 1.4, 4)
    assert analysis.describe_checkerboard([sure]).startswith("No checkerboard")
    assert analysis.describe_checkerboard([sure, unsure]).startswith("Unclear: 0.60 times the energy around it at")


def test_the_spectrum_has_its_peak_where_the_pattern_is():
    wave = np.cos(2 * np.pi * np.arange(32) / 4)[None, :, None, None] * np.ones((1, 1, 16, 1))
    power = analysis.power_spectrum(wave + 0 * _noise(1, 32, 16, 1))
    assert power.shape == (32, 16)
    places = np.argwhere(power > power.max() / 2)[:, 0]
    assert set(places.tolist()) == {8, 24}


def test_the_axes_of_the_spectrum_point_right_and_up():
    """A wave whose crests fall by two pixels for each pixel to the right: right and up have opposite signs."""
    rows, columns = np.mgrid[:64, :64]
    wave = np.cos(2 * np.pi * (columns / 4 + rows / 8))
    figure = analysis.draw_checkerboard(wave[None, ..., None], factor=2)
    axes = figure.axes[1]
    left, right, bottom, top = axes.images[0].get_extent()
    assert axes.get_ylim() == (bottom, top)
    assert top > bottom
    row, column = np.unravel_index(np.argmax(np.asarray(axes.images[0].get_array())), (64, 64))
    across, up = left + (column + 0.5) * (right - left) / 64, top - (row + 0.5) * (top - bottom) / 64
    assert sorted([(across, up), (-across, -up)])[1] == pytest.approx((1 / 4, -1 / 8))
    circles = np.asarray(axes.collections[0].get_offsets())
    assert sorted(map(tuple, circles)) == [(-0.5, 0.0), (-0.5, 0.5), (0.0, 0.5)]


def test_pictures_are_gone_through_once():
    """A generator is enough, so that one picture at a time is in memory."""
    maps = [_noise(1, 64, 128, 1), _noise(1, 64, 192, 1)]
    assert analysis.checkerboard_periods(iter(maps)) == analysis.checkerboard_periods(maps)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: analysis.checkerboard_map(jnp.ones((1, 32, 80, 1))), "maps must have at least one tile of 64 pixels"),
        (lambda: analysis.checkerboard_map(jnp.ones((1, 32, 80, 1)), factor=4, tile=16), "tile must be an int >= 32"),
        (lambda: analysis.checkerboard_periods([jnp.ones((1, 32, 32, 1))]), "pictures must hold one of at least 64"),
        (
            lambda: analysis.checkerboard_periods([jnp.ones((1, 64, 64, 1))], factors=(16,)),
            "pictures must hold one of at least 128",
        ),
        (lambda: analysis.checkerboard_periods([], factors=()), "factors must name at least one up-sampling factor"),
        (
            lambda: analysis.checkerboard_periods([jnp.full((1, 64, 64, 1), jnp.nan)]),
            "pictures must hold finite numbers, got NaN or infinity",
        ),
        (lambda: analysis.draw_checkerboard(jnp.ones((1, 64, 1))), r"maps must be images \[N, H, W, C\]"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()
