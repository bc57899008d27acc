"""DeepLabv2 as its TensorFlow checkpoints hold it."""

import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from .. import nn
from .._checks import check_choice
from ..models import DEGRIDDINGS, HEAD_RATES, DeepLab
from ..names import BatchNormMode, EncoderDegridding
from ._assign import Entry, convert, shapes_of, with_values
from ._encoder import check_smoothing, encoder_entries, initial_smoothers, smoother_entries, width_of
from ._names import Names, Variables, recognise
from ._sources import SOURCES

_BRANCHES = len(HEAD_RATES["aspp"])


def deeplab_from_tf(
    variables: Variables,
    *,
    smoothing: EncoderDegridding = "none",
    batch_norm: BatchNormMode = "trained",
    dtype: DTypeLike | None = None,
) -> DeepLab:
    """Builds DeepLabv2 from a TensorFlow checkpoint, with exactly the outputs of the network that wrote it.

    Two namings are known: that of `deeplab_resnet.ckpt` and its relatives, converted from Caffe (`res4b1_branch2a`,
    `fc1_voc12_c0`), and that of the smoothed networks' authors for encoders of TF-slim (`resnet_v1_101/block1/...`,
    `decoder/aspp/conv1`). Depth, number of classes and width follow from the variables. TensorFlow's SAME padding and
    epsilon 1e-3 are kept: by size, cell i of the logits sits up to 3 pixels beyond pixel 8i, where `models.DeepLab` has
    it by default, see the `padding` of `models.ResNetEncoder`. Slots of an optimiser are dropped.

    Args:
      variables: variables of the checkpoint by name, as `read` gives them.
      smoothing: degridding of the network, see `models.DeepLab`. A checkpoint trained with one (its variables `fix_w`)
        is loaded only with the same one; any other starts from it at its initial value, multigrid with its own rates.
        The layers of `"drn"` and `"lfe"` are in no checkpoint: see `initialize_encoder`.
      batch_norm, dtype: see `models.DeepLab`.

    Returns:
      The model, in evaluation mode. Its images are prepared by `CAFFE_PREPROCESSING`, with either naming.

    Raises:
      ValueError: the variables are of another network, incomplete, trained with another smoothing, or hold what is not
        known.

    Example:
      >>> from smoothjax import weights
      >>> weights.deeplab_from_tf({"conv1/weights": 0})
      Traceback (most recent call last):
      ...
      ValueError: the names of the variables must be of the family 'caffe' or 'slim', got none that is known ...

    References:
      Chen et al., DeepLab, 2017; Wang & Ji, KDD 2018, and the authors' repository, divelab/dilated.
    """
    check_choice("smoothing", smoothing, DEGRIDDINGS)
    source = SOURCES["deeplab"]
    names = recognise(variables, source.families)
    trained = check_smoothing(smoothing, variables)
    width, num_classes = width_of(names, variables), _num_classes(names, variables)
    model = nnx.eval_shape(
        lambda: DeepLab(
            encoder=f"resnet{names.depth}",  # pyright: ignore[reportArgumentType]
            num_classes=num_classes,
            smoothing=smoothing,
            batch_norm=batch_norm,
            width=width,
            dtype=dtype,
            rngs=nn.traced_rngs(0),
            **source.architecture,
        )
    )
    shapes = shapes_of(model)
    entries = encoder_entries(names, ("encoder",)) + _head_entries(names)
    if trained:
        entries += smoother_entries(names, model, ("encoder",))
    values, _ = convert(entries, variables, shapes, known=source.other)
    return with_values(model, initial_smoothers(model) | values)


def _branch(names: Names, index: int) -> str:
    return f"fc1_voc12_c{index}" if names.family == "caffe" else f"decoder/aspp/conv{index + 1}"


def _head_entries(names: Names) -> list[Entry]:
    return [
        Entry(("head", "branches", index, leaf), f"{_branch(names, index)}/{variable}")
        for index in range(_BRANCHES)
        for leaf, variable in (("kernel", "weights"), ("bias", "biases"))
    ]


def _num_classes(names: Names, variables: Variables) -> int:
    name = f"{_branch(names, 0)}/weights"
    if name not in variables:
        raise ValueError(
            f"the checkpoint has no output layer ({name!r}): it is of a classification network, or not whole: load "
            "only its encoder, by resnet_from_slim or initialize_encoder"
        )
    return np.shape(variables[name])[-1]
