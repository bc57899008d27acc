"""The convolution layer of all networks."""

from functools import partial

from flax import nnx

from .. import ops

#: `nnx.Conv` with the convolution of `smoothjax.ops`, which is fast on CPU, too.
Conv = partial(nnx.Conv, conv_general_dilated=ops.conv_general_dilated)
