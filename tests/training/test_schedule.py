import numpy as np
import pytest

from smoothjax.training import poly_schedule


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
