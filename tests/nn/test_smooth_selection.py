"""The layers that `nn.smooth` replaces: `only`, `skip`, `strict`, and the reported result."""

from typing import Any

import jax.numpy as jnp
import pytest
from flax import nnx

from smoothjax import nn


def _conv(rate: int = 2, **options: Any) -> nnx.Conv:
    return nnx.Conv(2, 2, (3, 3), kernel_dilation=rate, rngs=nnx.Rngs(0), **options)


class Head(nnx.Module):
    """A part of the network to select by type."""

    def __init__(self):
        self.wide, self.shared = _conv(4), _conv()


class Network(nnx.Module):
    """Four dilated layers, one masked and one in two places."""

    def __init__(self):
        self.encoder = nnx.Sequential(_conv(1), _conv(), _conv(mask=jnp.ones((3, 3, 2, 2))))
        self.head = Head()
        self.tied = self.head.shared


MASKED, FINE, WIDE, SHARED = ("encoder", "layers", 2), ("encoder", "layers", 1), ("head", "wide"), ("head", "shared")


@pytest.mark.parametrize(
    ("selection", "replaced"),
    [
        ({"skip": "encoder.layers.2"}, [FINE, WIDE, SHARED]),
        ({"skip": MASKED}, [FINE, WIDE, SHARED]),
        ({"skip": [MASKED, Head]}, [FINE]),
        ({"skip": nnx.Sequential}, [WIDE, SHARED]),
        ({"skip": ["encoder", "tied"]}, [WIDE]),
        ({"only": "head"}, [WIDE, SHARED]),
        ({"only": Head, "skip": lambda path, layer: layer.kernel_dilation == 4}, [SHARED]),
        ({"only": nnx.PathContains("head")}, [WIDE, SHARED]),
        ({"only": (Head, "encoder.layers.1")}, [FINE, WIDE, SHARED]),
        ({"only": None}, []),
        ({"skip": ...}, []),
        ({"strict": False}, [FINE, WIDE, SHARED]),
    ],
)
def test_chosen_layers_alone_are_replaced(selection, replaced):
    model, paths = nn.smooth(Network(), "ss_conv", rngs=nnx.Rngs(0), **selection)
    assert paths == replaced
    assert isinstance(paths, nn.Changes)
    assert {*paths, *paths.skipped, *paths.refused} == {FINE, MASKED, WIDE, SHARED}
    assert set(paths.refused) == ({MASKED} if "strict" in selection else set())
    assert isinstance(model.head.wide, nn.DilatedConv) == (WIDE in replaced)
    assert model.tied is model.head.shared


def test_the_result_says_why():
    _, paths = nn.smooth(
        Network(), "ss_conv", only=["encoder", "head"], skip="head.wide", strict=False, rngs=nnx.Rngs(0)
    )
    assert (paths.skipped, paths.refused) == ({WIDE: "skip names it"}, {MASKED: "its kernel is masked"})
    _, paths = nn.smooth(Network(), "ss_conv", only="head", rngs=nnx.Rngs(0))
    assert paths.skipped[FINE] == "only does not name it"


def test_the_error_names_all_that_is_refused_and_what_to_skip():
    """Its list works when copied into the next call."""
    model = nnx.List([_conv(mask=jnp.ones((3, 3, 2, 2))), _conv(), _conv(input_dilation=2)])
    message = r"at 0: its kernel is masked \(and those at 2\): .* skip=\['0', '2'\], or pass strict=False"
    with pytest.raises(ValueError, match=message):
        nn.smooth(model, "ss_conv", rngs=nnx.Rngs(0))
    assert nn.smooth(model, "ss_conv", skip=["0", "2"], rngs=nnx.Rngs(0))[1] == [(1,)]


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"skip": "encoder.layer.2"}, r"skip names 'encoder\.layer\.2', which is not a part .*: encoder has layers"),
        (
            {"only": ["head", ("tail",)]},
            r"only names 'tail', which is not a part .*: the model itself has encoder, head, t",
        ),
        ({"skip": 3}, r"skip must be a path, a type, a predicate of path and layer, or a list of these, got int"),
    ],
)
def test_refuses_what_names_no_part_of_the_model(selection, message):
    """A mistyped path would silently skip nothing."""
    with pytest.raises(ValueError, match=message):
        nn.smooth(Network(), "ss_conv", rngs=nnx.Rngs(0), **selection)
