"""The choices that layers, networks and command lines offer by name, each spelt only here; imports no JAX.

`typing.get_args` lists the values of a choice. The layer that takes a value documents its meaning.
"""

from typing import Literal

DilatedMethod = Literal["direct", "decomposed"]
"""The two views of `ops.dilated_conv`."""

TransposedMethod = Literal["decomposed", "direct"]
"""The two views of `ops.transposed_conv`."""

Smoothing = Literal[
    "none",
    "group_interaction",
    "ss_conv",
    "circulant_group_interaction",
    "average_filter",
    "gaussian_filter",
    "aggregated_filters",
]
"""How `nn.DilatedConv` is smoothed."""

CausalSmoothing = Literal["none", "group_interaction", "ss_conv"]
"""How `nn.CausalDilatedConv` is smoothed."""

Upsampling = Literal[
    "dcl",
    "ipixel_dcl",
    "pixel_dcl",
    "fast_pixel_dcl",
    "resize_conv",
    "sub_pixel",
    "sub_pixel_blur",
    "carafe",
    "dysample",
]
"""How `nn.UpConv` up-samples."""

PhaseOrder = Literal["figure", "equations"]
"""The orders of the phases in `ops.pixel_order`: as in Fig. 6, or one after another."""

Interpolation = Literal["nearest", "bilinear"]
"""How the resize convolution of `nn.UpConv` enlarges the map."""

EfficientNetLiteVariant = Literal["0", "1", "2", "3", "4"]
"""The variants of `models.EfficientNetLiteEncoder`, from the smallest."""

EfficientNetLite = Literal[
    "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2", "efficientnet_lite3", "efficientnet_lite4"
]
"""The same variants as encoders of `models.DeepLab`, and as kinds of published weights."""

Encoder = Literal[
    "resnet10", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", EfficientNetLite, "dilated_stack"
]
"""The encoders of `models.DeepLab`."""

Head = Literal["aspp", "large_fov", "duc"]
"""The output layers of `models.DeepLab`."""

EncoderDegridding = Literal["none", "multigrid", Smoothing]
"""Degridding of an encoder: a smoothing, or other rates."""

DegriddingLayersName = Literal["drn", "lfe"]
"""The remedies that `models.DegriddingLayers` adds after an encoder."""

Degridding = Literal[EncoderDegridding, DegriddingLayersName]
"""Degridding of `models.DeepLab`."""

StrideIn = Literal["1x1", "3x3"]
"""The convolution of a bottleneck that holds the stride of its stage."""

StrideUnit = Literal["first", "last"]
"""The block that holds a stride: the first of the stage that follows, or the last of the stage before."""

EncoderPadding = Literal["symmetric", "same", "same_pool"]
"""Padding of an encoder's strided layers: its first convolution, and pooling or other strided convolutions."""

Alignment = Literal["cells", "authors"]
"""Where `models.upsample_logits` and `models.downsample_labels` put the cells of a coarse grid."""

BatchNormMode = Literal["trained", "frozen"]
"""Whether `models.BatchNorm` learns, or keeps its statistics, scale and bias."""

Likelihood = Literal["gaussian", "discretized_logistic"]
"""The likelihoods of `models.ConvVAE`."""

LossName = Literal["cross_entropy", "ohem", "focal", "dice", "lovasz_softmax", "bce"]
"""The losses of `training` for label maps, which `training.parse_loss` accepts in sums."""

ClassWeighting = Literal["auto", "enet", "median_frequency"]
"""The rules of `datasets.class_weights`, from the frequency of each class."""

OptimizerName = Literal["sgd", "adamw"]
"""The optimisers of `training`."""

ScheduleName = Literal["poly", "one_cycle", "cosine", "constant"]
"""The learning rate schedules of `training`."""

RestorationTask = Literal["dehaze", "derain"]
"""The tasks of `models.GCANet`: removing haze or rain."""

SourceName = Literal["deeplab", "slim", "slim-as-authors", "torchvision", EfficientNetLite]
"""The kinds of published networks, see `weights.SOURCES`."""
