"""The effective receptive field: its definition, the disease and the cures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import analysis, models, ops
from tests.support import assert_close, build, random

_field = analysis.effective_receptive_field


@pytest.mark.parametrize("shape", [(3, 9, 2), (3, 7, 8, 2), (2, 5, 4, 5, 2)])
def test_it_is_the_papers_definition(shape):
    """Against a row of the Jacobian, image by image, for a block that depends on its input."""
    kernel = random(0, *(3,) * (len(shape) - 2), 2, 3)

    def block(x):
        return jnp.tanh(ops.dilated_conv(x, kernel, rate=2))

    x = random(1, *shape)
    centre = tuple(size // 2 for size in shape[1:-1])
    expected = np.zeros(shape[1:-1])
    for image in x:
        row = jax.jacobian(lambda image: block(image[None])[(0, *centre)].sum())(image)
        expected += np.abs(np.asarray(row, np.float64)).sum(-1) / len(x)
    for batch_size in (1, 2, 8):
        assert_close(analysis.effective_receptive_field(block, x, batch_size=batch_size), expected, 1e-5)


def test_batches_may_come_one_by_one(monkeypatch):
    """For features that do not fit into memory, with optional progress."""
    told = []

    def bar(batches, what, total, *, unit, shown):
        told.append((total, shown))
        return batches

    monkeypatch.setattr("smoothjax.analysis._receptive_field.track", bar)
    kernel, x = random(0, 3, 3, 2, 2), random(1, 5, 7, 8, 2)

    def block(x):
        return jnp.tanh(ops.dilated_conv(x, kernel, rate=2))

    whole = analysis.effective_receptive_field(block, x, batch_size=2)
    batches = [x[:3], x[3:]]
    for given in (batches, iter(batches)):
        assert_close(analysis.effective_receptive_field(block, given, progress=True), whole, 1e-6)
    assert told == [(3, False), (2, True), (None, True)]
    with pytest.raises(ValueError, match=r"inputs must be of one size, got \(7, 8\) and \(7, 7\)"):
        analysis.effective_receptive_field(block, [x, x[:, :, :7]])
    with pytest.raises(ValueError, match="inputs must hold something, got an empty iterable"):
        analysis.effective_receptive_field(block, [])


def test_small_products_are_not_zero():
    """Ten layers with weights of 1e-5: the ends of the field are below the smallest float32."""
    kernel = jnp.asarray([1e-5, 1.0, 1e-5]).reshape(3, 1, 1)

    def block(x):
        for _ in range(10):
            x = ops.dilated_conv(x, kernel)
        return x

    field = analysis.effective_receptive_field(block, jnp.ones((1, 23, 1)))
    assert field[1] == pytest.approx(1e-50, rel=1e-4)
    np.testing.assert_array_equal(field > 0, analysis.theoretical_receptive_field(block, jnp.ones((1, 23, 1))))


def test_a_field_out_of_range_is_refused():
    """float16 ends at 65504, far below the error behind a float32 result."""

    def half(x):
        narrow = x.astype(jnp.float16)
        return jnp.roll(narrow, 2, 1) + jnp.roll(narrow, -2, 1)

    maps = jnp.ones((1, 7, 1))
    for function, given in ((lambda x: half(x).astype(jnp.float32), maps), (lambda x: x * jnp.nan, maps)):
        with pytest.raises(ValueError, match="or return float16, behind which a smaller error is taken"):
            analysis.effective_receptive_field(function, given)
        with pytest.raises(ValueError, match="function must pass finite gradients back"):
            analysis.receptive_sets(function, given, [(3,)])
    assert analysis.effective_receptive_field(half, maps).tolist() == [0, 1, 0, 0, 0, 1, 0]


def _cascade(smoothing):
    """Two dilated convolutions of rate 2, and smoothing parameters away from the identity."""
    kernels = [jnp.abs(random(seed, 3, 3, 1, 1)) for seed in (0, 1)]
    weight = ops.identity_group_interaction(2, 2) + 0.2
    smoother = ops.identity_smoother(2, 2) + 0.2

    def block(x):
        for kernel in kernels:
            if smoothing == "group_interaction":
                x = ops.group_interaction_dilated_conv(x, kernel, weight, rate=2)
            elif smoothing == "ss_conv":
                x = ops.ss_dilated_conv(x, kernel, smoother, rate=2)
            else:
                x = ops.dilated_conv(x, kernel, rate=2)
        return x

    return analysis.effective_receptive_field(block, jnp.ones((1, 17, 17, 1)))


def test_gridding_is_one_phase_and_both_cures_end_it():
    plain, interaction, shared = (_cascade(name) for name in ("none", "group_interaction", "ss_conv"))
    assert analysis.phase_imbalance(plain, rate=2) == pytest.approx(1.0)
    assert analysis.phase_imbalance(interaction, rate=2) < 0.5
    assert analysis.phase_imbalance(shared, rate=2) < 0.5
    # Zero pixels inside the field only in the baseline, and both cures have a larger one (Fig. 8).
    inside = np.s_[4:13, 4:13]
    assert (plain[inside] == 0).mean() > 0.6
    for cured in (interaction, shared):
        assert (cured[inside] > 0).all()
        assert (cured > 0).sum() > (plain > 0).sum()
        assert analysis.contribution_area(cured, share=0.99) > analysis.contribution_area(plain, share=0.99)


def test_hybrid_rates_share_phases():
    """The remedy of other authors in Fig. 2: rates 1, 2, 3 see neighbours that 2, 2, 2 do not."""
    kernel = jnp.ones((3, 3, 1, 1))

    def cascade(rates):
        def block(x):
            for rate in rates:
                x = ops.dilated_conv(x, kernel, rate=rate)
            return x

        return analysis.effective_receptive_field(block, jnp.ones((1, 21, 21, 1)))

    assert analysis.phase_imbalance(cascade((2, 2, 2)), rate=2) == pytest.approx(1.0)
    assert analysis.phase_imbalance(cascade((1, 2, 3)), rate=2) < 0.3


def test_a_network():
    model = build(lambda rngs: models.ResNetEncoder(18, width=4, rngs=rngs))
    model.eval()
    field = analysis.effective_receptive_field(lambda x: nnx.merge(*nnx.split(model))(x), random(0, 2, 33, 41, 3))
    assert field.shape == (33, 41)
    assert field.max() > 0


def test_phases_are_counted_on_a_cropped_field():
    field = np.zeros((7, 5))
    field[1::2, 0::2] = 1.0
    assert analysis.phase_imbalance(field, rate=2) == pytest.approx(1.0)
    assert analysis.phase_imbalance(np.ones((7, 5)), rate=3) == pytest.approx(0.0)
    half = np.tile([1.0, 1.0, 0.0, 0.0], 4)
    assert analysis.phase_imbalance(half, rate=4) == pytest.approx((2 * 0.25**2 + 2 * 0.25**2) / 0.75)


def test_contribution_area():
    field = np.array([[5.0, 1.0], [3.0, 1.0]])
    assert [analysis.contribution_area(field, share=share) for share in (0.2, 0.5, 0.8, 0.9, 1.0)] == [1, 1, 2, 3, 4]


@pytest.mark.parametrize(("shape", "expected"), [((9,), [1, 3, 9]), ((9, 7), [1, 9, 63]), ((5, 5, 5), [1, 27, 125])])
def test_contribution_area_of_a_square(shape, expected):
    """All weight at the centre, in a ring around it, or in a corner; a square ends at the border of the field."""
    for reach, units in zip((0, 1, None), expected, strict=True):
        field = np.zeros(shape)
        field[tuple(size // 2 + reach if reach is not None else 0 for size in shape)] = 2.0
        assert analysis.contribution_area(field, share=0.99, square=True) == units
        assert analysis.contribution_area(field, share=0.99) == 1


def test_gridding_shows_between_the_two_areas():
    """Few cells, far apart."""
    field = np.zeros((9, 9))
    field[::4, ::4] = 1.0
    assert [analysis.contribution_area(field, share=0.99, square=square) for square in (False, True)] == [9, 81]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: analysis.effective_receptive_field(lambda x: x.sum((1, 2)), jnp.ones((1, 5, 5, 1))),
            "must return maps",
        ),
        (
            lambda: analysis.effective_receptive_field(lambda x: x, jnp.ones((1, 5, 1)), batch_size=0),
            "batch_size must be",
        ),
        (lambda: analysis.phase_imbalance(np.ones(5), rate=1), "rate must be an int >= 2, got 1"),
        (lambda: analysis.phase_imbalance(-np.ones(5), rate=2), "field must be finite and not negative"),
        (lambda: analysis.phase_imbalance(np.zeros(5), rate=2), "field must be above 0 somewhere"),
        (lambda: analysis.phase_imbalance(np.ones(3), rate=4), "field must be at least rate = 4 units"),
        (lambda: analysis.contribution_area(np.ones(3), share=0), r"share must be in \(0, 1\], got 0"),
        (lambda: analysis.contribution_area(np.ones((1, 1, 1, 1)), share=0.5), "field must have one to three axes"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()
