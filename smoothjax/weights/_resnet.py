"""Residual networks for classification as encoders."""

from typing import TypedDict

from flax import nnx
from jax.typing import DTypeLike

from .. import nn
from ..models import ResNetEncoder
from ..names import BatchNormMode, EncoderDegridding
from ._assign import convert, shapes_of, with_values
from ._encoder import encoder_entries, initial_smoothers, width_of
from ._names import Variables, recognise
from ._sources import SOURCES, Source


def resnet_from_slim(
    variables: Variables,
    depth: int,
    *,
    output_stride: int = 8,
    smoothing: EncoderDegridding = "none",
    batch_norm: BatchNormMode = "trained",
    dtype: DTypeLike | None = None,
) -> ResNetEncoder:
    """Builds the encoder of a TF-slim `resnet_v1` checkpoint.

    At output stride 32 it computes the features of the published classification network, before the mean over the
    image. At 8 and 16 the removed strides are dilation rates, as in DeepLab; at every cell of the coarse grid these
    features are the same. The classifier (`logits`) and the slots of an optimiser are dropped.

    Args:
      variables: variables of the checkpoint by name, as `read` gives them.
      depth: 50, 101 or 152.
      output_stride, smoothing, batch_norm, dtype: see `models.ResNetEncoder`.

    Returns:
      The encoder, in evaluation mode. Its images are prepared by `SLIM_PREPROCESSING`.

    Raises:
      ValueError: the variables are of another family, depth or shape, incomplete, or have unknown names.

    Example:
      >>> from smoothjax import weights
      >>> weights.resnet_from_slim({}, 50)
      Traceback (most recent call last):
      ...
      ValueError: the names of the variables must be of the family 'slim', got none that is known ...

    References:
      He et al., Deep Residual Learning for Image Recognition, 2016; TF-slim, `resnet_v1`.
    """
    chosen = _Chosen(output_stride=output_stride, smoothing=smoothing, batch_norm=batch_norm, dtype=dtype)
    return _resnet(SOURCES["slim"], variables, depth, chosen)


def resnet_from_torchvision(
    state_dict: Variables,
    depth: int,
    *,
    output_stride: int = 8,
    smoothing: EncoderDegridding = "none",
    batch_norm: BatchNormMode = "trained",
    dtype: DTypeLike | None = None,
) -> ResNetEncoder:
    """Builds the encoder of a torchvision `resnet` state dict (v1.5, the stride in the 3x3).

    At output stride 32 it computes the features of the published classification network, before the mean over the
    image. At 8 and 16 all 3x3 convolutions of the stages that lose their stride are dilated, as in DeepLab, the first
    of a stage included; torchvision's `replace_stride_with_dilation` leaves that one at the rate of the stage before.
    The classifier (`fc`) and `num_batches_tracked` are dropped.

    Args:
      state_dict: tensors of the state dict by name, as `read` gives them.
      depth: 18, 34, 50, 101 or 152.
      output_stride, smoothing, batch_norm, dtype: see `models.ResNetEncoder`.

    Returns:
      The encoder, in evaluation mode. Its images are prepared by `TORCHVISION_PREPROCESSING`.

    Raises:
      ValueError: the tensors are of another family, depth or shape, incomplete, or have unknown names.

    Example:
      >>> from smoothjax import weights
      >>> weights.resnet_from_torchvision({}, 18)
      Traceback (most recent call last):
      ...
      ValueError: the names of the variables must be of the family 'torchvision', got none that is known ...

    References:
      He et al., Deep Residual Learning for Image Recognition, 2016; torchvision, `resnet`.
    """
    chosen = _Chosen(output_stride=output_stride, smoothing=smoothing, batch_norm=batch_norm, dtype=dtype)
    return _resnet(SOURCES["torchvision"], state_dict, depth, chosen)


class _Chosen(TypedDict):
    """The options that the caller chooses, not the checkpoint."""

    output_stride: int
    smoothing: EncoderDegridding
    batch_norm: BatchNormMode
    dtype: DTypeLike | None


def _resnet(source: Source, variables: Variables, depth: int, chosen: _Chosen) -> ResNetEncoder:
    names = recognise(variables, source.families)
    if names.depth != depth:
        raise ValueError(f"depth is {depth}, but the variables are of a resnet{names.depth}: pass depth={names.depth}")
    architecture = {"width": width_of(names, variables), **source.architecture}
    model = nnx.eval_shape(lambda: ResNetEncoder(depth, rngs=nn.traced_rngs(0), **chosen, **architecture))
    shapes = shapes_of(model)
    values, _ = convert(encoder_entries(names), variables, shapes, known=f"{source.classifier}|{source.other}")
    return with_values(model, initial_smoothers(model) | values)
