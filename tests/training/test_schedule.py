import math
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from smoothjax.training import cosine_schedule, one_cycle_schedule, poly_schedule


@pytest.mark.parametrize(("initial", "steps", "power"), [(0.00025, 20_000, 0.9), (0.1, 7, 0.5), (1.0, 1, 1.0)])
def test_is_equation_5_at_every_step(initial: float, steps: int, power: float) -> None:
    rate = poly_schedule(initial, steps, power)
    for step in np.unique(np.linspace(0, steps, 11).astype(int)):
        expected = (1 - step / steps) ** power * initial
        np.testing.assert_allclose(rate(step), expected, rtol=1e-4, atol=1e-7 * initial)


def test_stays_zero_after_the_end() -> None:
    assert poly_schedule(0.1, 10)(1000) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 10), r"initial_rate must be positive and finite, got 0\.0"),
        ((float("nan"), 10), "initial_rate must be positive and finite, got nan"),
        ((0.1, 0), "max_steps must be at least 1, got 0; give the length"),
        ((0.1, 10, -1.0), r"power must be positive and finite, got -1\.0; the paper has 0\.9"),
    ],
)
def test_bad_arguments(arguments: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        poly_schedule(*arguments)  # type: ignore[arg-type]


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def test_one_cycle() -> None:
    """The formula of PyTorch's OneCycleLR, with its peak at step 30 and its end at step 100."""
    rate = one_cycle_schedule(0.1, 100)
    for step in (0, 7, 30, 31, 77, 100, 120):
        rising, falling = _cosine(0.004, 0.1, step / 30), _cosine(0.1, 4e-7, min(1.0, (step - 30) / 70))
        np.testing.assert_allclose(rate(step), rising if step <= 30 else falling, rtol=1e-4, atol=1e-8)


def test_cosine_with_warm_up() -> None:
    rate = cosine_schedule(0.1, 100, warmup=0.09)
    for step in (0, 4, 9, 10, 55, 100, 120):
        falling = _cosine(0.1, 0, min(1.0, (step - 9) / 91))
        np.testing.assert_allclose(rate(step), 0.01 * (step + 1) if step <= 9 else falling, rtol=1e-4, atol=1e-8)
    assert cosine_schedule(0.1, 100, warmup=0)(0) == np.float32(0.1)


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("make", [one_cycle_schedule, cosine_schedule])
def test_the_shortest_runs_have_rates(make: Callable[..., optax.Schedule], steps: int) -> None:
    """A warm-up of zero steps once divided by its length."""
    for warmup in (0.0, 0.3, 0.9):
        rates = [float(jnp.asarray(make(0.1, steps, warmup=warmup)(step))) for step in range(steps)]
        assert all(0 < rate <= 0.1001 for rate in rates)


def test_bad_warm_up() -> None:
    with pytest.raises(ValueError, match=r"one_cycle_schedule: warmup must be a share of the run in \[0, 1\), got 1"):
        one_cycle_schedule(0.1, 10, warmup=1)
    with pytest.raises(ValueError, match=r"cosine_schedule: peak_rate must be positive and finite, got 0; try 0\.001"):
        cosine_schedule(0, 10)
