"""Weights trained with the authors' published code, mapped to the operations of the paper."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def group_interaction_weight_from_official(fix_w: ArrayLike) -> jax.Array:
    r"""Maps a group interaction weight trained with the authors' code to the weight of Eq. 3.

    The published code deviates from the paper: it starts the sum of output group i from $f_i$ where Eq. 3 has $f_0$,

    $$\hat f_i = F_{0i}\,f_i + \sum_{j \ge 1} F_{ji}\,f_j ,$$

    so that group 0 reaches no other group. `smoothjax.ops.group_interaction` implements the paper; with the
    weight returned here it computes exactly what the published code does.

    Args:
      fix_w: the variable `fix_w` of a checkpoint, `[rate**d, rate**d]`.

    Returns:
      The weight `[rate**d, rate**d]` for `smoothjax.ops.group_interaction` and its relatives.

    Raises:
      ValueError: fix_w is not a square matrix.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import weights
      >>> weights.group_interaction_weight_from_official(jnp.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
      [[1.0, 3.0], [0.0, 6.0]]

    References:
      Wang & Ji, KDD 2018, Eq. 3; the authors' repository, divelab/dilated.
    """
    fix_w = jnp.asarray(fix_w)
    if fix_w.ndim != 2 or fix_w.shape[0] != fix_w.shape[1] or not fix_w.size:
        raise ValueError(
            f"fix_w must be a square matrix [rate**d, rate**d], got shape {fix_w.shape}: pass the variable 'fix_w' of "
            "a group interaction layer (that of an SS convolution has its filter's shape)"
        )
    own = fix_w[0].at[0].set(0)  # what the deviating term adds to f_i, i >= 1
    paper = fix_w.T.at[1:, 0].set(0)
    return paper + jnp.diag(own)
