"""A small MobileNet-like DeepLab in ordinary Flax: smoothed, trained for a step, saved and restored."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
import orbax.checkpoint as ocp
import pytest
from flax import nnx

from smoothjax import nn
from tests.support import assert_close, build, random


class InvertedResidual(nnx.Module):
    """Expands, filters each channel, and projects back."""

    def __init__(self, c_in: int, c_out: int, *, stride: int = 1, rate: int = 1, rngs: nnx.Rngs):
        wide = 2 * c_in
        self.expand = nnx.Conv(c_in, wide, (1, 1), use_bias=False, rngs=rngs)
        self.depthwise = nnx.Conv(
            wide,
            wide,
            (3, 3),
            strides=stride,
            kernel_dilation=rate,
            feature_group_count=wide,
            use_bias=False,
            rngs=rngs,
        )
        self.project = nnx.Conv(wide, c_out, (1, 1), use_bias=False, rngs=rngs)
        self.norms = nnx.List([nnx.BatchNorm(width, rngs=rngs) for width in (wide, wide, c_out)])
        self.residual = stride == 1 and c_in == c_out

    def __call__(self, x: jax.Array) -> jax.Array:
        y = nnx.relu6(self.norms[0](self.expand(x)))
        y = nnx.relu6(self.norms[1](self.depthwise(y)))
        y = self.norms[2](self.project(y))
        return x + y if self.residual else y


class SeparableASPP(nnx.Module):
    """Branches of several rates, each a depthwise convolution and one over the channels."""

    def __init__(self, features: int, classes: int, rates: tuple[int, ...], *, rngs: nnx.Rngs):
        self.branches = nnx.List(
            [
                nnx.Sequential(
                    nnx.Conv(features, features, (3, 3), kernel_dilation=r, feature_group_count=features, rngs=rngs),
                    nnx.relu,
                    nnx.Conv(features, classes, (1, 1), rngs=rngs),
                )
                for r in rates
            ]
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        return sum((branch(x) for branch in self.branches), jnp.zeros((), x.dtype))


class MobileDeepLab(nnx.Module):
    """Output stride 4; the strides after that are rates."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.stem = nnx.Conv(3, 4, (3, 3), strides=2, use_bias=False, rngs=rngs)
        self.blocks = nnx.List(
            [
                InvertedResidual(4, 6, stride=2, rngs=rngs),
                InvertedResidual(6, 6, rate=2, rngs=rngs),
                InvertedResidual(6, 8, rate=2, rngs=rngs),
            ]
        )
        self.head = SeparableASPP(8, 3, (1, 2, 3), rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        x = nnx.relu6(self.stem(images))
        for block in self.blocks:
            x = block(x)
        logits = self.head(x)
        return jax.image.resize(logits, (*images.shape[:3], logits.shape[-1]), "bilinear")


PATHS = [
    ("blocks", 1, "depthwise"),
    ("blocks", 2, "depthwise"),
    ("head", "branches", 1, "layers", 0),
    ("head", "branches", 2, "layers", 0),
]


def _step(model: nnx.Module, x: jax.Array) -> None:
    """A training step of all parameters."""
    optimizer = nnx.Optimizer(model, optax.adam(1e-2), wrt=nnx.Param)

    @nnx.jit
    def step(model: Any, optimizer: Any) -> None:
        optimizer.update(model, nnx.grad(lambda model: jnp.mean((model(x) - 1.0) ** 2))(model))

    step(model, optimizer)


@pytest.mark.parametrize("smoothing", ["ss_conv", "group_interaction"])
def test_a_mobile_network_is_smoothed_trained_saved_and_restored(smoothing: nn.Smoothing, tmp_path: Path):
    """Outputs would change if a smoothed depthwise layer were another map, or lost its parameters on the way."""
    model, x = build(lambda rngs: MobileDeepLab(rngs=rngs)), random(0, 2, 24, 20, 3)
    run = nnx.jit(lambda model, x: model(x))
    model.eval()
    before = run(model, x)
    model, paths = nn.smooth(model, smoothing, rngs=nnx.Rngs(0))
    assert paths == PATHS
    assert_close(run(model, x), before)

    model.train()
    _step(model, x)
    model.eval()
    for path, smoother in nn.smoothers(model).items():
        assert float(jnp.abs(smoother.parameter[...] - smoother.initial).max()) > 0, path
    trained = run(model, x)
    assert float(jnp.abs(trained - before).max()) > 1e-3

    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "model", nnx.to_pure_dict(nnx.state(model)))
    other, _ = nn.smooth(build(lambda rngs: MobileDeepLab(rngs=rngs)), smoothing, rngs=nnx.Rngs(1))
    other.eval()
    graph, state = nnx.split(other)
    with ocp.StandardCheckpointer() as checkpointer:
        restored = checkpointer.restore(tmp_path / "model", nnx.to_pure_dict(state))
    nnx.replace_by_pure_dict(state, restored)
    assert_close(run(nnx.merge(graph, state), x), trained)
