"""Keys for initial weights, drawn together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import models, nn


@pytest.mark.parametrize("generator", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_keys_drawn_together_are_those_of_flax(generator):
    """Across two blocks of keys: other keys would change initial weights."""
    key = jax.random.key(3, impl=generator)

    def draw(rngs):
        return jax.random.key_data(jnp.stack([rngs.params() for _ in range(70)]))

    flax, ours = jax.jit(lambda: draw(nnx.Rngs(key)))(), jax.jit(lambda: draw(nn.traced_rngs(key)))()
    np.testing.assert_array_equal(ours, flax)


@pytest.mark.parametrize("rngs", [0, "key", None])
@pytest.mark.parametrize(
    "make",
    [
        lambda **options: nn.DilatedConv(3, 8, (3, 3), rate=2, **options),
        lambda **options: nn.CausalDilatedConv(3, 8, 2, rate=2, **options),
        lambda **options: nn.UpConv(3, 8, method="dcl", **options),
        lambda **options: nn.LargeKernelAttention(3, **options),
        lambda **options: nn.smooth(nnx.Sequential(), "ss_conv", **options),
        lambda **options: nn.replace_upsampling(nnx.Sequential(), "dcl", **options),
        lambda **options: models.DeepLab(num_classes=3, **options),
        lambda **options: models.UNet(num_classes=3, **options),
        lambda **options: models.GCANet(task="dehaze", **options),
        lambda **options: models.ConvVAE(**options),
        lambda **options: models.TemporalConvNet(3, vocabulary=3, **options),
        lambda **options: models.ResNetEncoder(18, **options),
        lambda **options: models.EfficientNetLiteEncoder("0", **options),
        lambda **options: models.DilatedStackEncoder(**options),
        lambda **options: models.DilatedDenoiser(**options),
    ],
)
def test_a_seed_or_a_key_is_no_source_of_randomness(make, rngs):
    """An attribute of it was missing somewhere inside."""
    with pytest.raises(ValueError, match=r"rngs must be flax.nnx.Rngs, got .*: write rngs=nnx.Rngs\(0\)"):
        make(rngs=jax.random.key(0) if rngs == "key" else rngs)
