"""Schedules of the learning rate."""

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
    _check("poly_schedule", max_steps, initial_rate=initial_rate, power=power)
    return optax.polynomial_schedule(initial_rate, 0.0, power, transition_steps=max_steps)


def one_cycle_schedule(peak_rate: float, max_steps: int, *, warmup: float = 0.3) -> optax.Schedule:
    """A rate that rises from 1/25 of its peak and falls to 1/250,000 of it, both along half a cosine.

    The numbers follow PyTorch's `OneCycleLR`, which reaches the peak and the end one step earlier.

    Args:
      peak_rate: The largest rate, positive.
      max_steps: The number of steps of the whole run.
      warmup: Share of the steps in which the rate rises, in [0, 1), at least one step.

    Returns:
      A function from the step, counted from 0, to the rate.

    Raises:
      ValueError: An argument is out of range.

    Example:
      >>> rate = one_cycle_schedule(0.1, max_steps=100)
      >>> [round(float(rate(step)), 6) for step in (0, 15, 30, 65, 100)]
      [0.004, 0.052, 0.1, 0.05, 0.0]

    References:
      Smith and Topin, "Super-Convergence", 2018.
    """
    _check("one_cycle_schedule", max_steps, peak_rate=peak_rate)
    steps = max(1, _share("one_cycle_schedule", warmup, max_steps))
    # A "decay" to 25 times the rate is a rise.
    rise = optax.cosine_decay_schedule(peak_rate / 25, steps, alpha=25)
    fall = optax.cosine_decay_schedule(peak_rate, max(1, max_steps - steps), alpha=1 / 250_000)
    return optax.join_schedules([rise, fall], [steps])


def cosine_schedule(peak_rate: float, max_steps: int, *, warmup: float = 0.05) -> optax.Schedule:
    """A rate that rises linearly and falls to 0 along half a cosine.

    With `w` steps of warm-up, the rate of step 0 is `peak_rate / (w + 1)`, and that of step `w` the peak.

    Args:
      peak_rate: The largest rate, positive.
      max_steps: The number of steps of the whole run; the rate is 0 from there on.
      warmup: Share of the steps in which the rate rises, in [0, 1); 0 for no warm-up.

    Returns:
      A function from the step, counted from 0, to the rate.

    Raises:
      ValueError: An argument is out of range.

    Example:
      >>> rate = cosine_schedule(0.1, max_steps=100, warmup=0.04)
      >>> [round(float(rate(step)), 3) for step in (0, 2, 4, 52, 100)]
      [0.02, 0.06, 0.1, 0.05, 0.0]

    References:
      Loshchilov and Hutter, "SGDR", ICLR 2017, without restarts.
    """
    _check("cosine_schedule", max_steps, peak_rate=peak_rate)
    steps = _share("cosine_schedule", warmup, max_steps)
    fall = optax.cosine_decay_schedule(peak_rate, max(1, max_steps - steps))
    if steps == 0:
        return fall
    return optax.join_schedules([optax.linear_schedule(peak_rate / (steps + 1), peak_rate, steps), fall], [steps])


def _share(function: str, warmup: float, max_steps: int) -> int:
    """Number of warm-up steps."""
    if not 0 <= warmup < 1:
        raise ValueError(f"{function}: warmup must be a share of the run in [0, 1), got {warmup}; try 0.1")
    return round(warmup * max_steps)


def _check(function: str, max_steps: int, **positive: float) -> None:
    for name, value in positive.items():
        if not (math.isfinite(value) and value > 0):
            remedy = "; the paper has 0.9 as power" if function == "poly_schedule" else "; try 0.001"
            raise ValueError(f"{function}: {name} must be positive and finite, got {value}{remedy}")
    if max_steps < 1:
        raise ValueError(f"{function}: max_steps must be at least 1, got {max_steps}; give the length of the run")
