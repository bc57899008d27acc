"""DeepLab with each degridding: the paper's counts, equal starts, and networks that differ."""

import math
from functools import cache, partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import models, nn
from tests.support import assert_close, build, random

#: Networks that differ at their start, or in what they learn.
STARTS = ("none", "multigrid", "group_interaction", "ss_conv", "aggregated_filters")


@cache
def _count(make, **options):
    """The number of trainable parameters, without computing any."""
    model = nnx.eval_shape(lambda: make(rngs=nn.traced_rngs(0), **options))
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))


@cache
def _built(smoothing, **options):
    options = {"encoder": "resnet18", "num_classes": 5, "width": 8} | options
    return build(lambda rngs: models.DeepLab(smoothing=smoothing, rngs=rngs, **options))


def _small(smoothing: Any = "none", **options) -> Any:
    """A copy of a network that is initialised once for all tests."""
    return nnx.clone(_built(smoothing, **options))


@partial(jax.jit, static_argnums=0)
def _apply(graph, state, x):
    return nnx.merge(graph, state)(x)


def _run(model, x):
    return _apply(*nnx.split(model), x)


#: In the paper, over the baseline.
_PUBLISHED = {"none": 0, "multigrid": 0, "group_interaction": 1136, "ss_conv": 354}
#: Of 26 dilated layers, 23 have rate 2 and 3 have rate 4; aggregation adds an SS filter and four weights to each.
_FILTERS = {
    "circulant_group_interaction": 23 * 4 + 3 * 16,
    "average_filter": 0,
    "gaussian_filter": 0,
    "aggregated_filters": 354 + 26 * 4,
}


@pytest.mark.parametrize("head", models.HEAD_RATES)
def test_the_papers_counts(head):
    counts = {s: _count(models.DeepLab, num_classes=21, head=head, smoothing=s) for s in models.DEGRIDDINGS}
    assert {smoothing: count - counts["none"] for smoothing, count in counts.items()} == _PUBLISHED | _FILTERS


@pytest.mark.parametrize(
    ("depth", "parameters"),
    # The published networks without their classifiers; of 10 layers, added by hand.
    [(10, 4905792), (18, 11176512), (34, 21284672), (50, 23508032), (101, 42500160), (152, 58143808)],
)
def test_encoders_have_the_published_size(depth, parameters):
    assert _count(models.ResNetEncoder, depth=depth) == parameters


@pytest.mark.parametrize("head", models.HEAD_RATES)
def test_logits_at_one_eighth(head):
    model = _small(head=head)
    chex.assert_shape(jax.eval_shape(lambda x: model(x), jnp.zeros((2, 65, 80, 3))), (2, 9, 10, 5))


def test_every_method_starts_from_the_same_parameters():
    states = {
        s: {path: leaf[...] for path, leaf in nnx.to_flat_state(nnx.state(_small(s), nnx.Param))}
        for s in (*STARTS, "drn")
    }
    for state in states.values():
        rest = {p: v for p, v in state.items() if not nn.is_smoother(p) and p[0] != "degridding"}
        chex.assert_trees_all_equal(rest, states["none"])


def test_smoothed_networks_start_as_the_baseline_and_multigrid_does_not():
    x = random(0, 1, 64, 72, 3)
    outputs = {s: _run(_small(s), x) for s in STARTS}
    for smoothing in ("group_interaction", "ss_conv"):
        assert_close(outputs[smoothing], outputs["none"])
    for other in ("multigrid", "aggregated_filters"):
        assert float(jnp.abs(outputs[other] - outputs["none"]).max()) > 1e-3


@pytest.mark.parametrize("smoothing", ["group_interaction", "ss_conv"])
def test_smoothed_networks_differ_once_their_smoothing_moves(smoothing):
    x, model = random(0, 1, 64, 64, 3), _small(smoothing)
    before = _run(model, x)
    graph, parameters, rest = nnx.split(model, nnx.Param, ...)
    gradient = jax.jit(jax.grad(lambda p: jnp.mean(nnx.merge(graph, p, rest)(x) ** 2)))(parameters)
    smoothers = {path: leaf[...] for path, leaf in nnx.to_flat_state(gradient) if nn.is_smoother(path)}
    assert len(smoothers) == 8  # four dilated 3x3 convolutions in each of the last two stages
    for leaf in smoothers.values():
        assert float(jnp.abs(leaf).max()) > 0
    for path, leaf in nnx.to_flat_state(nnx.state(model, nnx.Param)):
        if nn.is_smoother(path):
            leaf[...] -= 0.05 * jnp.sign(smoothers[path])
    assert float(jnp.abs(_run(model, x) - before).max()) > 1e-4


def test_bfloat16_compute_keeps_float32_logits_and_parameters():
    x, model, reference = random(0, 1, 65, 65, 3), _small("ss_conv", dtype=jnp.bfloat16), _small("ss_conv")
    out = _run(model, x)
    assert out.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(model, nnx.Param))} == {jnp.dtype(jnp.float32)}
    assert_close(out, _run(reference, x), 5e-2)


def test_large_fov_and_aspp_rates():
    for options, rates in (
        ({"head": "aspp"}, [6, 12, 18, 24]),
        ({"head": "large_fov"}, [12]),
        ({"head_rates": (2, 4)}, [2, 4]),
    ):
        make = partial(models.DeepLab, encoder="resnet18", num_classes=5, width=8, **options)
        model = nnx.eval_shape(lambda make=make: make(rngs=nn.traced_rngs(0)))
        assert [branch.rate for branch in model.head.branches] == rates


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "vgg16"}, "encoder must be one of resnet10, resnet18, .*dilated_stack, got 'vgg16'"),
        ({"head": "psp"}, "head must be one of aspp, large_fov, duc, got 'psp'"),
        ({"num_classes": 1}, "num_classes must be an int >= 2, got 1"),
        ({"num_classes": 2.5}, "num_classes must be an int >= 2, got 2.5"),
        ({"width": 0}, "width must be an int >= 1, got 0"),
        ({"head_rates": ()}, r"head_rates must be a tuple of ints >= 1, got \(\)"),
        ({"head_rates": (0,)}, r"head_rates must be a tuple of ints >= 1, got \(0,\)"),
        ({"head_rates": 6}, "head_rates must be a tuple of ints >= 1, got 6"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        models.DeepLab(**({"encoder": "resnet18", "num_classes": 3, "width": 4, "rngs": nnx.Rngs(0)} | options))


@pytest.mark.parametrize("images", [np.zeros((1, 65, 65, 1), np.float32), np.zeros((1, 65, 65, 3), np.uint8)])
def test_refuses_images_of_another_kind(images):
    with pytest.raises(ValueError, match=r"images must be \[N, H, W, 3\] of a float dtype, got (float32|uint8)\[1, 65"):
        _small()(jnp.asarray(images))
