"""The choices that layers, networks and command lines offer by name, each spelt only here; imports no JAX.

`typing.get_args` lists the values of one. What each value means stands with the layer that takes it.
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
"""The sequence in which `ops.pixel_order` makes the phases: as Fig. 6 draws it, or one after another."""

Interpolation = Literal["nearest", "bilinear"]
"""How the resize convolution of `nn.UpConv` enlarges the map."""

EfficientNetLiteVariant = Literal["0", "1", "2", "3", "4"]
"""The variants of `models.EfficientNetLiteEncoder`, from the smallest."""

EfficientNetLite = Literal[
    "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2", "efficientnet_lite3", "efficientnet_lite4"
]
"""The same as encoders of `models.DeepLab`, and as kinds of published weights."""

Encoder = Literal[
    "resnet10", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", EfficientNetLite, "dilated_stack"
]
"""The encoders of `models.DeepLab`."""

Head = Literal["aspp", "large_fov", "duc"]
"""The output layers of `models.DeepLab`."""

EncoderDegridding = Literal["none", "multigrid", Smoothing]
"""What an encoder does against gridding: a smoothing, or other rates."""

DegriddingLayersName = Literal["drn", "lfe"]
"""The remedies that `models.DegriddingLayers` adds after an encoder."""

Degridding = Literal[EncoderDegridding, DegriddingLayersName]
"""What `models.DeepLab` does against gridding."""

StrideIn = Literal["1x1", "3x3"]
"""The convolution of a bottleneck that holds the stride of its stage."""

StrideUnit = Literal["first", "last"]
"""The block that holds a stride: the first of the stage that follows, or the last of the stage before."""

EncoderPadding = Literal["symmetric", "same", "same_pool"]
"""How an encoder pads what is strided: its first convolution, and pooling or further convolutions."""

Alignment = Literal["cells", "authors"]
"""Where `models.upsample_logits` and `models.downsample_labels` put the cells of a coarse grid."""

BatchNormMode = Literal["trained", "frozen"]
"""Whether `models.BatchNorm` learns, or keeps its statistics, scale and bias."""

Likelihood = Literal["gaussian", "discretized_logistic"]
"""The likelihoods of `models.ConvVAE`."""

LossName = Literal["cross_entropy", "ohem", "focal", "dice", "lovasz_softmax", "bce"]
"""The losses of `training` for label maps, which `loss_terms.parse_loss` adds up."""

ClassWeighting = Literal["auto", "enet", "median_frequency"]
"""Rules for class weights, from how often each class occurs: those of `datasets.class_weights`."""

OptimizerName = Literal["sgd", "adamw"]
"""The optimisers of `training`."""

ScheduleName = Literal["poly", "one_cycle", "cosine", "constant"]
"""The learning rates of `training` over the steps."""

RestorationTask = Literal["dehaze", "derain"]
"""What `models.GCANet` removes from an image."""

SourceName = Literal["deeplab", "slim", "slim-as-authors", "torchvision", EfficientNetLite]
"""The kinds of published networks, see `weights.SOURCES`."""
