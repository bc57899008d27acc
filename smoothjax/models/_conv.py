"""The convolution layer of all networks."""

from functools import partial

from flax import nnx

from .. import ops

#: `nnx.Conv` with the convolution of `smoothjax.ops`, which is also fast on CPU.
Conv = partial(nnx.Conv, conv_general_dilated=ops.conv_general_dilated)
