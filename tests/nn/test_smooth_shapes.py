"""Blocks of published networks in Flax NNX, rewritten: smoothed, and with other up-sampling, as a whole."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from smoothjax import nn
from tests.support import assert_close, build, random


class WideDepthwise(nnx.Module):
    """As in ConvNeXt: a 7x7 filter per channel with explicit padding, layer normalisation, a scaled residual."""

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
    """As in DenseNet: layers that see all earlier ones; functions among the attributes."""

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
    """As in U-Net: a transposed convolution without overlap, and a skip connection."""

    def __init__(self, c_in: int, c_out: int, *, rngs: nnx.Rngs):
        self.up = nnx.ConvTranspose(c_in, c_out, (2, 2), strides=(2, 2), padding="VALID", rngs=rngs)
        self.conv = nnx.Conv(4 + c_out, c_out, (3, 3), rngs=rngs)

    def __call__(self, x: jax.Array, kept: jax.Array) -> jax.Array:
        return self.conv(jnp.concatenate([kept, self.up(x)], -1))


class Network(nnx.Module):
    """A network with one block of each kind."""

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
    """Outputs stay, every smoother learns, and the up-sampling is exchanged, whatever surrounds the layers."""
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


class Bottleneck(nnx.Module):
    """As in ResNet: padding and strides as single numbers, fixed statistics, a shortcut that may be None."""

    def __init__(self, c_in: int, features: int, stride: int, *, rngs: nnx.Rngs):
        self.narrow = nnx.Conv(c_in, features, (1, 1), strides=1, padding=0, use_bias=False, rngs=rngs)
        self.conv = nnx.Conv(
            features, features, (3, 3), strides=stride, padding=2, kernel_dilation=2, use_bias=False, rngs=rngs
        )
        self.norm = nnx.BatchNorm(features, use_running_average=True, rngs=rngs)
        self.widen = nnx.Conv(features, 4 * features, (1, 1), strides=1, padding=0, use_bias=False, rngs=rngs)
        changes = stride != 1 or c_in != 4 * features
        self.shortcut: Any = nnx.data(
            nnx.Conv(c_in, 4 * features, (1, 1), strides=stride, rngs=rngs) if changes else None
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        y = self.widen(nnx.relu(self.norm(self.conv(nnx.relu(self.narrow(x))))))
        return nnx.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class Inverted(nnx.Module):
    """As in EfficientNet: a strided filter per channel between 1x1 convolutions, channels weighted by their means."""

    def __init__(self, features: int, stride: int, padding: Any, *, rngs: nnx.Rngs):
        self.depthwise = nnx.Conv(
            features, features, (5, 5), strides=(stride, stride), padding=padding, kernel_dilation=2,
            feature_group_count=features, use_bias=False, rngs=rngs,
        )  # fmt: skip
        self.norm = nnx.BatchNorm(features, momentum=0.1, epsilon=1e-3, use_running_average=True, rngs=rngs)
        self.excite = nnx.Conv(features, features, kernel_size=(1, 1), padding="VALID", rngs=rngs)
        self.dropout = nnx.Dropout(0.2, deterministic=False)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.silu(self.norm(self.depthwise(x), use_running_average=True))
        return self.dropout(x * nnx.sigmoid(self.excite(x.mean((1, 2), keepdims=True))), deterministic=True)


class Middle(nnx.Module):
    """As in the autoencoder of latent diffusion: attention over all positions, nearest neighbours, then a filter."""

    def __init__(self, features: int, *, rngs: nnx.Rngs):
        self.norm = nnx.GroupNorm(features, 2, rngs=rngs)
        self.query, self.value = (nnx.Linear(features, features, rngs=rngs) for _ in range(2))
        self.conv = nnx.Conv(features, features, (3, 3), kernel_dilation=2, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        y = self.norm(x.reshape(len(x), -1, x.shape[-1]))
        y = jax.nn.softmax(jnp.einsum("nic,njc->nij", self.query(y), y)) @ self.value(y)
        x = x + y.reshape(x.shape)
        return self.conv(jax.image.resize(x, (len(x), 2 * x.shape[1], 2 * x.shape[2], x.shape[3]), "nearest"))


class Classifier(nnx.Module):
    """One block of each kind, after patches as in ConvNeXt; normalisation and convolution in one list."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.patches = nnx.List([nnx.Conv(3, 4, (2, 2), (2, 2), rngs=rngs), nnx.LayerNorm(4, rngs=rngs)])
        self.blocks = nnx.List([Bottleneck(4, 2, 2, rngs=rngs), Bottleneck(8, 2, 1, rngs=rngs)])
        self.mobile = nnx.List([Inverted(8, 2, 4, rngs=rngs), Inverted(8, 1, "SAME", rngs=rngs)])
        self.middle = Middle(8, rngs=rngs)
        self.head = nnx.Linear(8, 5, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in [*self.patches, *self.blocks, *self.mobile]:
            x = layer(x)
        return self.head(self.middle(x).mean((1, 2)))


def test_a_published_classifier_is_smoothed_learns_and_is_saved(tmp_path):
    """Strided, depthwise and plain: a smoother that shifted the grid, or that a checkpoint lost, would show."""
    model, x = build(lambda rngs: Classifier(rngs=rngs)), random(0, 2, 32, 32, 3)
    run = nnx.jit(lambda model, x: model(x))
    before = run(model, x)
    model, paths = nn.smooth(model, "ss_conv", rngs=nnx.Rngs(0))
    smoothed = ["blocks.0.conv", "blocks.1.conv", "middle.conv", "mobile.0.depthwise", "mobile.1.depthwise"]
    assert sorted(".".join(map(str, path)) for path in paths) == smoothed
    assert_close(run(model, x), before)
    optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        optimizer.update(model, nnx.grad(lambda model: (model(x) ** 2).mean())(model))

    step(model, optimizer)
    values: dict[Any, Any] = dict(nnx.to_flat_state(nnx.state(model)))
    assert all(np.abs(values[path][...] - one.initial).max() > 0 for path, one in nn.smoothers(model).items())
    kept = nnx.state(model, nnx.Param, nnx.BatchStat)
    np.savez(tmp_path / "kept.npz", **{str(i): leaf for i, leaf in enumerate(jax.tree.leaves(kept))})
    fresh, _ = nn.smooth(build(lambda rngs: Classifier(rngs=rngs)), "ss_conv", rngs=nnx.Rngs(1))
    structures = [jax.tree.structure(state) for state in nnx.state(fresh, nnx.Param, nnx.BatchStat)]
    with np.load(tmp_path / "kept.npz") as arrays:
        leaves = iter([arrays[name] for name in arrays.files])
        nnx.update(fresh, *(each.unflatten([next(leaves) for _ in range(each.num_leaves)]) for each in structures))
    np.testing.assert_array_equal(run(fresh, x), run(model, x))


def test_group_interaction_leaves_the_strided_layers_of_a_classifier():
    model = nnx.eval_shape(lambda: Classifier(rngs=nnx.Rngs(0)))
    model, paths = nn.smooth(model, "group_interaction", strict=False, rngs=nnx.Rngs(0))
    assert len(paths) == 3
    assert sorted(".".join(map(str, path)) for path in paths.refused) == ["blocks.0.conv", "mobile.0.depthwise"]
