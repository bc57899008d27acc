"""Differences between runs of one seed, and their intervals."""

import numpy as np
import scipy.stats

from experiments.tables.statistics import paired_difference


def test_paired_differences_find_what_spreads_hide():
    """Seeds that are good or bad for all methods: means ± deviations overlap, pairs tell the methods apart."""
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


def test_pairs_are_of_one_seed():
    found = paired_difference({0: 1.0, 1: 5.0, 2: 4.0}, {1: 4.0, 2: 2.0, 3: 9.0})
    assert found is not None
    assert (found.mean, found.pairs) == (1.5, 2)
    assert paired_difference({0: 1.0}, {1: 1.0}) is None
    single = paired_difference({0: 1.0}, {0: 0.5})
    assert single is not None
    assert single.text() == "+0.5 (one pair)"
