"""Differences between runs of one seed: intervals, tests, power, and the definition of a pair."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import scipy.stats

from experiments.common import statistics
from experiments.common.statistics import paired_difference
from experiments.pixel_dcn.config import PRESETS as PIXEL
from experiments.pixel_dcn.study import STUDY as UPSAMPLING
from experiments.segmentation.presets import PRESETS
from experiments.segmentation.study import STUDY as SMOOTHING
from smoothjax import data


def test_paired_differences_find_what_spreads_hide():
    """If seeds are good or bad for all methods, means ± deviations overlap, but pairs separate the methods."""
    rng = np.random.default_rng(0)
    luck = 3 * rng.standard_normal(5)
    baseline = dict(enumerate(60 + luck))
    method = dict(enumerate(60.5 + luck + 0.1 * rng.standard_normal(5)))
    found = paired_difference(method, baseline)
    assert found is not None
    assert found.half_width is not None
    unpaired = scipy.stats.ttest_ind(list(method.values()), list(baseline.values())).confidence_interval()
    assert unpaired.low < 0 < found.mean - found.half_width
    paired = scipy.stats.ttest_rel(list(method.values()), list(baseline.values())).confidence_interval()
    np.testing.assert_allclose([found.mean - found.half_width, found.mean + found.half_width], paired, rtol=1e-9)


@pytest.mark.parametrize(
    ("study", "preset", "small", "methods"),
    [
        (SMOOTHING, PRESETS["demo"], {"width": 2, "head_rates": (1,)}, ("none", "ss_conv")),
        (UPSAMPLING, PIXEL["demo"], {"width": 2, "depth": 2}, ("dcl", "ipixel_dcl")),
    ],
)
def test_initial_weights_within_a_pair_are_the_same(study, preset, small, methods):
    """A method with keys of its own would shift the random numbers of all layers after it."""
    config = replace(preset.config, model=replace(preset.config.model, **small))
    baseline, method = (_weights(study.build_network(config.with_method(name), data.SHAPES)) for name in methods)
    common = {name for name in baseline if name in method and baseline[name].shape == method[name].shape}
    assert len(common) >= len(baseline) - 2  # an up-sampling layer has kernels of its own
    assert all(np.array_equal(baseline[name], method[name]) for name in common)


def _weights(network):
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(network.params)}


def test_pairs_are_of_one_seed():
    found = paired_difference({0: 1.0, 1: 5.0, 2: 4.0}, {1: 4.0, 2: 2.0, 3: 9.0})
    assert found is not None
    assert (found.mean, found.pairs) == (1.5, 2)
    assert paired_difference({0: 1.0}, {1: 1.0}) is None
    single = paired_difference({0: 1.0}, {0: 0.5})
    assert single is not None
    assert single.text() == "+0.5 (one pair)"


def test_p_values_are_those_of_scipy():
    rng = np.random.default_rng(1)
    method, baseline = rng.standard_normal((2, 7))
    found = paired_difference(dict(enumerate(method)), dict(enumerate(baseline)))
    assert found is not None
    _, expected = scipy.stats.ttest_rel(method, baseline)
    assert found.p_value == pytest.approx(expected, rel=1e-9)
    assert statistics.Difference(1.0, None, 1).p_value == 1  # one pair tests nothing
    same = paired_difference({0: 1.0, 1: 2.0}, {0: 1.0, 1: 2.0})
    assert same is not None
    assert same.p_value == 1


def test_forks_of_one_network_are_one_pair():
    """Six forks of two networks are two pairs: counted as six, they would give far too narrow an interval."""
    values = {0: 1.0, 1: 1.1, 2: 1.2, 3: 3.0, 4: 3.1, 5: 3.2}
    baseline = dict.fromkeys(values, 0.0)
    found = paired_difference(values, baseline, clusters={seed: seed // 3 for seed in values})
    expected = paired_difference({0: 1.1, 1: 3.1}, {0: 0.0, 1: 0.0})
    alone = paired_difference(values, baseline)
    assert found is not None
    assert expected is not None
    assert alone is not None
    assert (found.pairs, found.mean) == (2, pytest.approx(2.1))
    assert found.half_width == pytest.approx(expected.half_width)
    assert found.half_width is not None
    assert alone.half_width is not None
    assert found.half_width > 5 * alone.half_width


def test_holm_by_hand_and_its_order():
    # Sorted: 0.01 * 4, 0.02 * 3, 0.03 * 2 (not below the one before), 0.5.
    assert statistics.holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert statistics.holm([0.9, 0.8]) == [1.0, 1.0]
    assert statistics.holm([0.04]) == [0.04]
    assert statistics.holm([]) == []


def test_holm_errs_in_one_family_of_twenty():
    """Ten true hypotheses: without correction four families of ten have a false discovery."""
    rng = np.random.default_rng(2)
    p_values = rng.random((2000, 10))
    errors = np.mean([min(statistics.holm(list(family))) < 0.05 for family in p_values])
    assert 0.035 < errors < 0.065
    assert np.mean(p_values.min(1) < 0.05) > 0.35


@pytest.mark.parametrize(("effect", "pairs"), [(0.5, 3), (1.0, 6), (2.0, 12)])
def test_power_is_how_often_the_test_finds_an_effect(effect, pairs):
    rng = np.random.default_rng(3)
    draws = effect + rng.standard_normal((20000, pairs))
    _, p_values = scipy.stats.ttest_1samp(draws, 0, axis=1)
    assert statistics.power(effect, 1.0, pairs) == pytest.approx(np.mean(np.asarray(p_values) < 0.05), abs=0.012)


def test_power_detectable_effect_and_number_of_pairs_agree():
    assert statistics.power(0.0, 1.0, 5) == pytest.approx(0.05)
    assert statistics.power(0.5, 0.99, 3) == pytest.approx(0.08, abs=0.005)
    effect = statistics.detectable(0.7, 6)
    assert statistics.power(effect, 0.7, 6) == pytest.approx(0.8)
    pairs = statistics.pairs_needed(0.5, 0.99)
    assert statistics.power(0.5, 0.99, pairs - 1) < 0.8 <= statistics.power(0.5, 0.99, pairs)
    assert statistics.pairs_needed(0.001, 1.0) == pytest.approx(((1.96 + 0.8416) / 0.001) ** 2, rel=1e-3)
    # Beyond where the far tail is NaN in SciPy, and where nothing varies.
    assert statistics.power(100.0, 0.5, 6) == pytest.approx(1)
    assert statistics.power(0.1, 0.0, 3) == 1
    assert statistics.power(1.0, 1.0, 1) == 0
    assert np.isinf(statistics.detectable(1.0, 1))
    assert statistics.detectable(0.0, 3) == 0
    with pytest.raises(ValueError, match="effect must not be 0"):
        statistics.pairs_needed(0.0, 1.0)


def test_the_line_under_a_table_says_what_it_could_have_found():
    found = [statistics.Difference(mean, 1.0, 6, deviation) for mean, deviation in ((0.1, 0.4), (2.0, 0.7), (1.0, 3.0))]
    text = statistics.power_text(found, "mean IoU", 1, effect=0.5)
    assert text.startswith("The median deviation of a difference of mean IoU between seeds is 0.70: with 6 pairs")
    assert f"finds {statistics.detectable(0.7, 6):.1f} with" in text
    assert f"for 0.5 it takes {statistics.pairs_needed(0.5, 0.7)} pairs." in text
    assert statistics.power_text(found, "nats", 1, effect=None).endswith("with a probability of 80 %.")
    single = statistics.Difference(1.0, None, 1)
    assert "A single pair has no interval" in statistics.power_text([single], "mean IoU", 1, effect=0.5)


def test_the_bootstrap_draws_images_not_seeds():
    """Its width is that of the mean over images; it is 0 for a method that adds the same to every image."""
    rng = np.random.default_rng(4)
    baseline = [rng.standard_normal((50, 1)) for _ in range(3)]
    extra = [rng.standard_normal((50, 1)) for _ in range(3)]

    def mean(total):
        return float(total[0]) / 50

    low, high = statistics.bootstrap_interval(
        [(b + e, b) for b, e in zip(baseline, extra, strict=True)], mean, draws=4000
    )
    error = np.sqrt(sum(e.var() / 50 for e in extra)) / 3
    centre = np.mean([e.mean() for e in extra])
    np.testing.assert_allclose([low, high], centre + 1.96 * error * np.array([-1, 1]), atol=0.1 * error)
    low, high = statistics.bootstrap_interval([(b + 1, b) for b in baseline], mean)
    np.testing.assert_allclose([low, high], 1, atol=1e-9)
