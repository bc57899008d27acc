"""Parameters of a network: their number, the smoothing ones among them, and how far those have moved."""

import math

import jax
import numpy as np

from smoothjax import nn, training

from .network import Tree


def count(params: Tree) -> int:
    """Number of parameters."""
    return int(sum(leaf.size for leaf in jax.tree.leaves(params)))


def smoothing_parameters(params: Tree) -> dict[str, jax.Array]:
    """The smoothing parameters by the path that leads to them."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    flags = jax.tree.leaves(training.label_parameters(params, nn.is_smoother))
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf
        for (path, leaf), smooths in zip(leaves, flags, strict=True)
        if smooths
    }


def largest_move(params: Tree, initial: Tree) -> float:
    """The largest change of a smoothing parameter in training; 0 without smoothing parameters."""
    before = smoothing_parameters(initial)
    moves = [np.abs(np.asarray(now) - np.asarray(before[path])) for path, now in smoothing_parameters(params).items()]
    return float(max((move.max() for move in moves), default=0.0))


def masked_taps(layers: Tree) -> int:
    """Number of weights that layers of Fig. 6 (Gao et al.) never use: taps of the cross kernel at an even distance."""
    total = 0
    for layer in layers.values():
        cross = layer["kernels"][2]
        taps = math.prod(cross.shape[:2])
        total += cross.size * (taps - taps // 2) // taps
    return total
