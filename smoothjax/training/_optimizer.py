"""Momentum SGD and AdamW, with a rate per parameter, exemptions from decay, and clipping."""

import math
from collections.abc import Callable, Sequence

import jax
import optax
from jax.tree_util import KeyPath

from ._state import Tree


def label_parameters(params: Tree, rule: Callable[[tuple[str | int, ...]], object]) -> Tree:
    """A tree like `params` whose leaves are the values of `rule` at their paths.

    Args:
      params: Nested dict of parameters.
      rule: Maps the path of a leaf, the tuple of its keys, to a value: a bool for a mask, a float for a multiplier.

    Returns:
      A nested dict of the same structure.

    Example:
      >>> params = {"encoder": {"kernel": 1.0}, "head": {"kernel": 1.0, "bias": 1.0}}
      >>> label_parameters(params, lambda path: path[-1] == "kernel")
      {'encoder': {'kernel': True}, 'head': {'bias': False, 'kernel': True}}
    """
    return jax.tree_util.tree_map_with_path(lambda path, _: rule(_plain(path)), params)


def sgd(
    schedule: optax.Schedule,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    decay_mask: Tree | None = None,
    multipliers: Tree | None = None,
    clip_norm: float | None = None,
) -> optax.GradientTransformation:
    """Momentum SGD of the paper: L2 coupled to the gradient, one "poly" rate, a multiplier per parameter.

    For a parameter `w` with gradient `g`, decay `d` (`weight_decay` where the mask is True, else 0) and multiplier `m`:

      v <- momentum * v + g + d * w
      w <- w - schedule(step) * m * v

    The decay passes through the momentum, as in Caffe, TensorFlow's MomentumOptimizer and PyTorch's SGD, unlike in
    AdamW. Caffe multiplies by the rate before the momentum; this differs only by the change of the rate over the memory
    of the momentum, some ten steps.

    Args:
      schedule: Maps the step, counted from 0, to the rate.
      momentum: In [0, 1).
      weight_decay: Factor of the L2 term in the gradient, non-negative; the paper has 0.0005.
      decay_mask: Tree of bools like the parameters, True where decay applies; None for everywhere.
      multipliers: Tree of floats like the parameters, factors of the rate; None for 1 everywhere. The paper has 1 for
        the encoder, 10 for the kernels and 20 for the biases of the head.
      clip_norm: The largest global norm of the gradient, before decay and momentum; None for no clipping.

    Returns:
      An Optax transformation, whose `init` raises ValueError if a tree does not match the parameters.

    Raises:
      ValueError: A number is out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> optimizer = sgd(optax.constant_schedule(0.1), weight_decay=0.5, multipliers={"w": 2.0})
      >>> params = {"w": jnp.ones(())}
      >>> updates, _ = optimizer.update({"w": jnp.ones(())}, optimizer.init(params), params)
      >>> round(float(updates["w"]), 4)  # -0.1 * 2 * (1 + 0.5)
      -0.3
    """
    if not 0 <= momentum < 1:
        raise ValueError(f"sgd: momentum must be in [0, 1), got {momentum}; the paper has 0.9")
    steps = [optax.add_decayed_weights(weight_decay, mask=decay_mask), optax.trace(decay=momentum)]
    return _assembled("sgd", steps, schedule, weight_decay, decay_mask, multipliers, clip_norm)


def adamw(
    schedule: optax.Schedule,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decay_mask: Tree | None = None,
    multipliers: Tree | None = None,
    clip_norm: float | None = None,
) -> optax.GradientTransformation:
    """AdamW: Adam with a decay that does not pass through the moments; without decay it is Adam.

    For a parameter `w` with decay `d`, multiplier `m` and Adam's direction `a`:

      w <- w - schedule(step) * m * (a + d * w)

    As in PyTorch's AdamW with a separate rate for a group of parameters, the multiplier also applies to the decay.

    Args:
      schedule: From the step, counted from 0, to the rate.
      b1: Decay of the first moment, in [0, 1).
      b2: Decay of the second moment, in [0, 1).
      eps: Added to the root of the second moment, positive.
      weight_decay: Factor of the decay, non-negative.
      decay_mask: As for `sgd`.
      multipliers: As for `sgd`.
      clip_norm: The largest global norm of the gradient, before the moments; None for no clipping.

    Returns:
      An Optax transformation, whose `init` raises ValueError if a tree does not match the parameters.

    Raises:
      ValueError: A number is out of range.

    Example:
      >>> optimizer = adamw(optax.constant_schedule(0.1), weight_decay=0.5)
      >>> params, gradient = {"w": 1.0}, {"w": 100.0}
      >>> updates, _ = optimizer.update(gradient, optimizer.init(params), params)
      >>> round(float(updates["w"]), 4)  # -0.1 * (1 + 0.5): the first direction is 1 for any positive gradient
      -0.15

    References:
      Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.
    """
    for name, value in (("b1", b1), ("b2", b2)):
        if not 0 <= value < 1:
            raise ValueError(f"adamw: {name} must be in [0, 1), got {value}; leave it out for the usual one")
    if not (math.isfinite(eps) and eps > 0):
        raise ValueError(f"adamw: eps must be positive and finite, got {eps}; leave it out for the usual one")
    steps = [optax.scale_by_adam(b1, b2, eps), optax.add_decayed_weights(weight_decay, mask=decay_mask)]
    return _assembled("adamw", steps, schedule, weight_decay, decay_mask, multipliers, clip_norm)


def _assembled(
    function: str,
    steps: Sequence[optax.GradientTransformation],
    schedule: optax.Schedule,
    weight_decay: float,
    decay_mask: Tree | None,
    multipliers: Tree | None,
    clip_norm: float | None,
) -> optax.GradientTransformation:
    """The parts that all optimisers share around their own steps."""
    if not (math.isfinite(weight_decay) and weight_decay >= 0):
        raise ValueError(
            f"{function}: weight_decay must be finite and not negative, got {weight_decay}; 0 turns it off"
        )
    if clip_norm is not None and not (math.isfinite(clip_norm) and clip_norm > 0):
        raise ValueError(f"{function}: clip_norm must be positive and finite, got {clip_norm}; None turns it off")
    for path, value in jax.tree_util.tree_leaves_with_path(multipliers):
        if not (math.isfinite(value) and value >= 0):
            where = jax.tree_util.keystr(path)
            raise ValueError(f"{function}: multipliers{where} must be finite and not negative, got {value}; 0 freezes")
    chain = optax.chain(
        *([] if clip_norm is None else [optax.clip_by_global_norm(clip_norm)]),
        *steps,
        optax.scale_by_learning_rate(schedule),
        optax.identity() if multipliers is None else _scale_leaves(multipliers),
    )

    def init(params: optax.Params) -> optax.OptState:
        for name, tree in (("decay_mask", decay_mask), ("multipliers", multipliers)):
            if tree is not None:
                _check_structure(f"{function}: {name}", tree, params)
        return chain.init(params)

    return optax.GradientTransformation(init, chain.update)


def _scale_leaves(multipliers: Tree) -> optax.GradientTransformation:
    return optax.stateless(lambda updates, _: jax.tree.map(lambda u, m: u * m, updates, multipliers))


def _check_structure(name: str, tree: Tree, params: optax.Params) -> None:
    given, wanted = _paths(tree), _paths(params)
    if given != wanted:
        missing, extra = sorted(wanted - given), sorted(given - wanted)
        raise ValueError(
            f"{name} must have one leaf for every parameter; missing {missing[:3]}, unknown {extra[:3]}; "
            "build it with label_parameters(params, rule)"
        )


def _paths(tree: Tree) -> set[str]:
    return {jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)}


def _plain(path: KeyPath) -> tuple[str | int, ...]:
    """The dict keys, indices and attribute names in a path of JAX."""
    return tuple(getattr(entry, "key", getattr(entry, "idx", getattr(entry, "name", str(entry)))) for entry in path)
