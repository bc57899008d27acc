"""DeepLabv2 from TensorFlow checkpoints."""

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

    It supports two naming schemes: that of `deeplab_resnet.ckpt` and related files, converted from Caffe
    (`res4b1_branch2a`, `fc1_voc12_c0`), and that of the authors of smoothed networks for encoders of TF-slim
    (`resnet_v1_101/block1/...`, `decoder/aspp/conv1`). The variables determine depth, number of classes and width.
    TensorFlow's SAME padding and epsilon 1e-3 are kept: depending on the size, cell i of the logits sits up to 3
    pixels beyond pixel 8i, its position in `models.DeepLab` by default, see the `padding` of `models.ResNetEncoder`.
    Slots of an optimiser are dropped.

    Args:
      variables: variables of the checkpoint by name, as from `read`.
      smoothing: degridding of the network, see `models.DeepLab`. A checkpoint trained with a smoothing (variables
        `fix_w`) must be loaded with the same; for other checkpoints, smoothing starts from its initial value, and
        multigrid uses its own rates. No checkpoint has the layers of `"drn"` and `"lfe"`: see `initialize_encoder`.
      batch_norm, dtype: see `models.DeepLab`.

    Returns:
      The model, in evaluation mode. With either naming its images need `CAFFE_PREPROCESSING`.

    Raises:
      ValueError: the variables are of another network, incomplete, trained with another smoothing, or include unknown
        ones.

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
    architecture = {"width": width_of(names, variables), **source.architecture}
    num_classes = _num_classes(names, variables)
    model = nnx.eval_shape(
        lambda: DeepLab(
            encoder=f"resnet{names.depth}",  # pyright: ignore[reportArgumentType]
            num_classes=num_classes,
            smoothing=smoothing,
            batch_norm=batch_norm,
            dtype=dtype,
            rngs=nn.traced_rngs(0),
            **architecture,
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
