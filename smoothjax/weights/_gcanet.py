"""GCANet from PyTorch checkpoints."""

import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from .. import nn
from .._checks import check_choice
from ..models import TASKS, GCANet
from ..names import RestorationTask
from ._assign import Entry, Path, convert, kernel_from_torch, shapes_of, with_values
from ._names import Variables


def gcanet_from_torch(state_dict: Variables, *, task: RestorationTask, dtype: DTypeLike | None = None) -> GCANet:
    """Builds GCANet from the state dict of the published network, with exactly its outputs.

    Args:
      state_dict: tensors of the state dict by name, as from `read`.
      task: `"dehaze"` or `"derain"`, the task that the weights were trained for; the tensors do not show it.
      dtype: see `models.GCANet`.

    Returns:
      The model with SS convolutions. `models.gcanet_input` makes its input.

    Raises:
      ValueError: task is unknown, or the tensors are of another network or shape, incomplete, or include unknown ones.

    Example:
      >>> from smoothjax import weights
      >>> weights.gcanet_from_torch({}, task="dehaze")
      Traceback (most recent call last):
      ...
      ValueError: the state dict has no kernel 'conv1.weight' ...

    References:
      Chen et al., Gated Context Aggregation Network for Image Dehazing and Deraining, WACV 2019; the authors'
      repository, cddlyf/GCANet.
    """
    check_choice("task", task, TASKS)
    first = "conv1.weight"
    if first not in state_dict or np.ndim(state_dict[first]) != 4:
        raise ValueError(f"the state dict has no kernel {first!r} of four axes: is it of GCANet, and whole?")
    width = np.shape(state_dict[first])[0]
    model = nnx.eval_shape(lambda: GCANet(task=task, width=width, dtype=dtype, rngs=nn.traced_rngs(0)))
    shapes = shapes_of(model)
    smoothers = nn.smoothers(model)
    values, _ = convert([_entry(path, path in smoothers) for path in shapes], state_dict, shapes, known=r"(?!)")
    return with_values(model, values)


def _entry(path: Path, smoother: bool) -> Entry:
    """The network has the published names, except for the blocks (`res1` ...) and their smoothing (`pre_conv1` ...)."""
    *modules, leaf = map(str, path)
    if modules[0] == "blocks":
        modules = [f"res{int(modules[1]) + 1}", *modules[2:]]
    if smoother:
        modules[-1] = f"pre_{modules[-1]}"
        return Entry(path, ".".join([*modules, "weight"]), _smoother_from_torch)
    if leaf != "kernel":
        return Entry(path, ".".join([*modules, "bias" if leaf == "bias" else "weight"]))
    transposed = modules == ["deconv3"]
    return Entry(path, ".".join([*modules, "weight"]), _transposed_from_torch if transposed else kernel_from_torch)


def _smoother_from_torch(weight: np.ndarray) -> np.ndarray:
    return weight[0, 0] if weight.shape[:2] == (1, 1) else weight


def _transposed_from_torch(weight: np.ndarray) -> np.ndarray:
    """PyTorch's `[C_in, C_out, *K]` is the kernel of the adjoint convolution; ours is not flipped."""
    return weight.transpose(*range(2, weight.ndim), 0, 1)[::-1, ::-1]
