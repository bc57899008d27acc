"""Blocks as the published networks in Flax NNX have them, written anew: smoothed and up-sampled otherwise, whole."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from smoothjax import nn
from tests.support import assert_close, build, random


class WideDepthwise(nnx.Module):
    """As in ConvNeXt: 7x7 filters of each channel under explicit padding, layer normalisation, a scaled residual."""

    def __init__(self, features: int, *, rngs: nnx.Rngs):
        self.filter = nnx.Conv(
            features, features, (7, 7), padding=(6, 6), kernel_dilation=2, feature_group_count=features, rngs=rngs
        )
        self.norm = nnx.LayerNorm(features, rngs=rngs)
        self.widen = nnx.Linear(features, 4 * features, rngs=rngs)
        self.narrow = nnx.Linear(4 * features, features, rngs=rngs)
        self.gamma = nnx.Param(jnp.full((features,), 0.5))

    def __call__(self, x: jax.Array) -> jax.Array:
        y = self.narrow(nnx.gelu(self.widen(self.norm(self.filter(x)))))
        return x + self.gamma[...].reshape(1, 1, 1, -1) * y


class Dense(nnx.Module):
    """As in DenseNet: layers that see all before them; functions among the attributes."""

    def __init__(self, features: int, growth: int, layers: int, *, rngs: nnx.Rngs):
        self.convs = nnx.List(
            nnx.Conv(features + i * growth, growth, (3, 3), kernel_dilation=(2, 1), use_bias=False, rngs=rngs)
            for i in range(layers)
        )
        self.pool = partial(nnx.avg_pool, window_shape=(2, 2), strides=(2, 2))

    def __call__(self, x: jax.Array) -> jax.Array:
        for conv in self.convs:
            x = jnp.concatenate([x, conv(nnx.relu(x))], -1)
        return self.pool(x)


class Residual(nnx.Module):
    """As in the autoencoder of latent diffusion: group normalisation, and a shortcut only where channels change."""

    def __init__(self, c_in: int, c_out: int, *, rngs: nnx.Rngs):
        self.shortcut: Any = nnx.data(nnx.Conv(c_in, c_out, (1, 1), rngs=rngs) if c_in != c_out else None)
        self.norm = nnx.GroupNorm(c_in, 2, rngs=rngs)
        self.conv = nnx.Conv(c_in, c_out, (3, 3), strides=(1, 1), kernel_dilation=(2, 2), padding=2, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        y = self.conv(nnx.silu(self.norm(x)))
        return y + (x if self.shortcut is None else self.shortcut(x))


class Up(nnx.Module):
    """As in U-Net: a transposed convolution that overlaps nowhere, and what was kept."""

    def __init__(self, c_in: int, c_out: int, *, rngs: nnx.Rngs):
        self.up = nnx.ConvTranspose(c_in, c_out, (2, 2), strides=(2, 2), padding="VALID", rngs=rngs)
        self.conv = nnx.Conv(4 + c_out, c_out, (3, 3), rngs=rngs)

    def __call__(self, x: jax.Array, kept: jax.Array) -> jax.Array:
        return self.conv(jnp.concatenate([kept, self.up(x)], -1))


class Network(nnx.Module):
    """One of each."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.stem = nnx.Sequential(nnx.Conv(3, 4, (2, 2), strides=(2, 2), rngs=rngs), WideDepthwise(4, rngs=rngs))
        self.dense = Dense(4, 2, 2, rngs=rngs)
        self.middle = nnx.List([Residual(8, 8, rngs=rngs), Residual(8, 4, rngs=rngs)])
        self.up = Up(4, 2, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        kept = self.stem(x)
        x = self.dense(kept)
        for block in self.middle:
            x = block(x)
        return self.up(x, kept)


def test_blocks_of_published_networks():
    """Outputs stay, every smoother learns, and the up-sampling is exchanged, whatever lies around the layers."""
    model, x = build(lambda rngs: Network(rngs=rngs)), random(0, 1, 16, 16, 3)
    run = nnx.jit(lambda model, x: model(x))
    before = run(model, x)
    model, paths = nn.smooth(model, "ss_conv", rngs=nnx.Rngs(0))
    assert {tuple(map(str, path)) for path in paths} == {
        ("stem", "layers", "1", "filter"),
        ("dense", "convs", "0"),
        ("dense", "convs", "1"),
        ("middle", "0", "conv"),
        ("middle", "1", "conv"),
    }
    assert_close(run(model, x), before)
    slopes: Any = nnx.jit(nnx.grad(lambda model: (model(x) ** 2).mean()))(model)
    flat: dict[Any, Any] = dict(nnx.to_flat_state(slopes))
    assert all(np.abs(flat[path][...]).max() > 0 for path in nn.smoothers(model))
    model, ups = nn.replace_upsampling(model, "fast_pixel_dcl", rngs=nnx.Rngs(1))
    assert ups == [("up", "up")]
    assert nnx.eval_shape(lambda model, x: model(x), model, x).shape == before.shape
