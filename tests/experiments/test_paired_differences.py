"""Differences between runs of one seed, and their intervals."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import scipy.stats

from experiments.pixel_dcn.config import PRESETS as PIXEL
from experiments.pixel_dcn.study import STUDY as UPSAMPLING
from experiments.segmentation.config import PRESETS
from experiments.segmentation.study import STUDY as SMOOTHING
from experiments.tables.statistics import paired_difference
from smoothjax import data


def test_paired_differences_find_what_spreads_hide():
    """Seeds that are good or bad for all methods: means ± deviations overlap, pairs separate the methods."""
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
