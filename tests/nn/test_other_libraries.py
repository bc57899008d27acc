"""The guides' recipes for Linen and Equinox compute the same as the NNX layers, also with trained filters."""

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import linen, nnx

from smoothjax import nn
from tests.support import assert_close, random

_GUIDES = Path(__file__).resolve().parents[2] / "docs" / "pages" / "guides"


def _names_of(page: str) -> dict[str, Any]:
    """The names that the examples of a guide define."""
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", (_GUIDES / f"{page}.md").read_text(), re.DOTALL):
        exec(compile(code, page, "exec"), names)
    return names


def _smoothed_layer(kernel: jax.Array, bias: jax.Array, smoother: jax.Array, rate: int, smoothing: Any) -> Any:
    layer: Any = nn.DilatedConv(
        kernel.shape[-2], kernel.shape[-1], (3, 3), rate=rate, smoothing=smoothing, rngs=nnx.Rngs(0)
    )
    layer.kernel[...], layer.bias[...], layer.smoother[...] = kernel, bias, smoother
    return layer


def test_linen():
    """The interceptor finds only dilated layers, and its filters learn; so does the layer of the second recipe."""
    page = _names_of("linen")
    model, smooth, x = page["model"], page["smooth"], random(0, 1, 12, 12, 3)
    with linen.intercept_methods(smooth):
        variables = model.init(jax.random.key(0), x)
    params = jax.tree.map(lambda leaf: leaf + 0.1 * random(1, *leaf.shape), variables["params"])
    layers = [
        _smoothed_layer(one["kernel"], one["bias"], one["smoother"], rate, "ss_conv")
        for one, rate in ((params["Conv_0"], 2), (params["Conv_1"], 4))
    ]

    def apply(params):
        with linen.intercept_methods(smooth):
            return model.apply({"params": params}, x)

    assert_close(apply(params), layers[1](nnx.relu(layers[0](x))))
    slopes = jax.grad(lambda params: (apply(params) ** 2).sum())(params)
    assert all(float(abs(slopes[name]["smoother"]).max()) > 0 for name in ("Conv_0", "Conv_1"))
    with linen.intercept_methods(smooth):
        plain = linen.Conv(4, (3, 3)).init(jax.random.key(0), x)
    assert set(plain["params"]) == {"kernel", "bias"}
    group = page["GroupInteractionConv"](4, rate=2)
    params = jax.tree.map(lambda leaf: leaf + 0.1 * random(2, *leaf.shape), group.init(jax.random.key(0), x)["params"])
    expected = _smoothed_layer(params["kernel"], jnp.zeros(4), params["smoother"], 2, "group_interaction")(x)
    assert_close(group.apply({"params": params}, x), expected)


def test_equinox():
    """Channels first, no batch: the same numbers with trained filters, and gradients that reach them."""
    eqx = pytest.importorskip("equinox", reason="the recipe for Equinox needs it: pip install -e '.[test]'")
    page = _names_of("equinox")
    conv = eqx.nn.Conv2d(3, 4, 3, padding=2, dilation=2, key=jax.random.key(0))
    kernel, bias, x = conv.weight.transpose(2, 3, 1, 0), conv.bias.ravel(), random(0, 2, 9, 12, 3)
    images = x.transpose(0, 3, 1, 2)
    made = {"ss_conv": page["smooth"](conv), "group_interaction": page["GroupInteractionConv"](conv)}
    for smoothing, model in made.items():
        first = page["SSConv"] if smoothing == "ss_conv" else page["GroupInteractionConv"]

        def smoother(model, first=first):
            return model.smoother if isinstance(model, first) else model.layers[0].smoother

        value = smoother(model) + 0.1 * random(1, *smoother(model).shape)
        trained = eqx.tree_at(smoother, model, value)
        expected = _smoothed_layer(kernel, bias, value, 2, smoothing)(x)
        assert_close(jax.vmap(trained)(images).transpose(0, 2, 3, 1), expected)
        slopes = eqx.filter_grad(lambda model: (jax.vmap(model)(images) ** 2).sum())(trained)
        assert float(abs(smoother(slopes)).max()) > 0
    plain = eqx.nn.Conv2d(3, 4, 3, key=jax.random.key(0))
    assert page["smooth"](plain) is plain
