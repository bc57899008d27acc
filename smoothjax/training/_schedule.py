"""The learning rate over the steps."""

import math

import optax


def poly_schedule(initial_rate: float, max_steps: int, power: float = 0.9) -> optax.Schedule:
    """The "poly" learning rate, Eq. 5: `rate(step) = (1 - step / max_steps)^power * initial_rate`.

    Args:
      initial_rate: The rate of step 0, positive.
      max_steps: The number of steps of the whole run; the rate is 0 from there on.
      power: The exponent, positive; 1 is a straight line.

    Returns:
      A function from the step, counted from 0, to the rate.

    Raises:
      ValueError: An argument is not positive or not finite.

    Example:
      >>> rate = poly_schedule(0.1, max_steps=100)
      >>> [round(float(rate(step)), 4) for step in (0, 50, 100, 101)]
      [0.1, 0.0536, 0.0, 0.0]

    References:
      Wang and Ji, KDD 2018, Eq. 5; Liu, Rabinovich and Berg, "ParseNet", 2015.
    """
    for name, value in (("initial_rate", initial_rate), ("power", power)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(
                f"poly_schedule: {name} must be positive and finite, got {value}; the paper has 0.9 as power"
            )
    if max_steps < 1:
        raise ValueError(f"poly_schedule: max_steps must be at least 1, got {max_steps}; give the length of the run")
    return optax.polynomial_schedule(initial_rate, 0.0, power, transition_steps=max_steps)
