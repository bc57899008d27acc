"""`python -m smoothjax.diagnose network` with modules of Flax NNX, Linen and Equinox, as their users write them."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import linen, nnx

from smoothjax.diagnose.__main__ import main

_SHAPE = (1, 17, 17, 2)


class LinenNetwork(linen.Module):
    """A stem, two convolutions of one rate, and layers that behave otherwise in training."""

    stem: int = 3

    @linen.compact
    def __call__(self, x, train: bool = False):
        x = linen.Conv(2, (self.stem, self.stem), name="stem")(x)
        x = linen.BatchNorm(use_running_average=not train)(x)
        for _ in range(2):
            x = linen.tanh(linen.Conv(2, (3, 3), kernel_dilation=2)(x))
        return linen.Dropout(0.5, deterministic=not train)(x)


class TrainedLinen(linen.Module):
    """It must be told whether it trains."""

    @linen.compact
    def __call__(self, x, train: bool):
        return linen.Dropout(0.5, deterministic=not train)(linen.Conv(2, (3, 3), kernel_dilation=2)(x))


LINEN = LinenNetwork(stem=1)


def make_bound_linen():
    return LINEN.bind(LINEN.init(jax.random.key(0), jnp.zeros(_SHAPE)))


class NNXNetwork(nnx.Module):
    """The same in NNX."""

    def __init__(self, *, rngs: nnx.Rngs | None = None):
        rngs = nnx.Rngs(0) if rngs is None else rngs
        self.stem = nnx.Conv(2, 2, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(2, rngs=rngs)
        self.blocks = nnx.List([nnx.Conv(2, 2, (3, 3), kernel_dilation=2, rngs=rngs) for _ in range(2)])
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        x = self.norm(self.stem(x))
        for block in self.blocks:
            x = nnx.tanh(block(x))
        return self.dropout(x)


def _equinox() -> Any:
    return pytest.importorskip("equinox", reason="modules of Equinox need it: pip install -e '.[test]'")


def make_equinox():
    """The same in Equinox, which sees one example, channels first."""
    eqx = _equinox()
    keys = jax.random.split(jax.random.key(0), 3)
    rate = {"dilation": 2, "padding": 2}
    return eqx.nn.Sequential(
        [
            eqx.nn.Conv2d(2, 2, 3, padding=1, key=keys[0]),
            eqx.nn.Conv2d(2, 2, 3, **rate, key=keys[1]),
            eqx.nn.Lambda(jnp.tanh),
            eqx.nn.Conv2d(2, 2, 3, **rate, key=keys[2]),
            eqx.nn.Dropout(0.5),
        ]
    )


def make_equinox_of_batches():
    """A module of the user's own that takes batches, channels last."""
    eqx = _equinox()

    class Batched(eqx.Module):
        network: Any

        def __call__(self, x):
            return jnp.moveaxis(jax.vmap(self.network)(jnp.moveaxis(x, -1, 1)), 1, -1)

    return Batched(make_equinox())


def _report(capsys, tmp_path, name, *more):
    shape = ",".join(map(str, _SHAPE))
    out = tmp_path / "field.png"
    assert main(["network", f"{__name__}:{name}", "--input", shape, "--out", str(out), "--json", *more]) == 0
    assert out.stat().st_size > 1000
    return json.loads(capsys.readouterr().out)


def _check_gridding(found, *, stem):
    """Two convolutions of rate 2: their outputs see one phase of what they are given, and behind 1x1 of the pixels."""
    assert found["doubts"] == []
    assert found["verdict"] == ("no gridding" if stem > 1 else "gridding proven")
    assert found["pairs"] == [[272, 272]] * 2 if stem > 1 else [[0, 272]] * 2
    (run,) = found["runs"]
    assert (run["rate"], len(run["layers"]), len(found["smallest"])) == (2, 2, 1)
    assert found["smallest"][0] in run["layers"]
    assert run["phase_imbalance"] == pytest.approx(1)
    imbalances = [layer["phase_imbalance"] for layer in found["layers"] if layer["name"] in run["layers"]]
    assert imbalances == [pytest.approx(1)] * 2
    assert len(found["layers"]) == 3
    assert (found["phase_imbalance"] == pytest.approx(1)) is (stem == 1)
    return run["start"], run["stop"]


def test_nnx(tmp_path, capsys):
    """A class with an optional argument makes a network; statistics and dropout are those of evaluation."""
    found = _report(capsys, tmp_path, "NNXNetwork")
    assert _check_gridding(found, stem=3) == ("blocks.0", "blocks.1")
    assert {layer["name"] for layer in found["layers"]} == {"stem", "blocks.0", "blocks.1"}


@pytest.mark.parametrize(("name", "stem"), [("LinenNetwork", 3), ("LINEN", 1), ("make_bound_linen", 1)])
def test_linen(tmp_path, capsys, name, stem):
    """A class, a module without parameters, which could not be called, and a bound one; layers have Linen's names."""
    ends = _check_gridding(_report(capsys, tmp_path, name), stem=stem)
    assert ends == ("LinenNetwork/Conv_0", "LinenNetwork/Conv_1")


@pytest.mark.parametrize(
    ("name", "options"), [("make_equinox", ("--layout", "channels_first")), ("make_equinox_of_batches", ())]
)
def test_equinox(tmp_path, capsys, name, options):
    """Dropout asked for a key; a module that holds arrays has no hash."""
    _equinox()
    _check_gridding(_report(capsys, tmp_path, name, *options), stem=3)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("TrainedLinen", "TypeError: TrainedLinen.__call__() missing 1 required positional argument: 'train'"),
        ("make_equinox", "rank 3, but input has shape (1, 17, 17, 2); an Equinox layer takes one example, channels"),
    ],
)
def test_what_cannot_be_called_is_one_sentence(capsys, name, reason):
    """That of Equinox was printed as a tuple, without the option that helps."""
    if "equinox" in name:
        _equinox()
    assert main(["network", f"{__name__}:{name}", "--input", "1,17,17,2"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {__name__}:{name} does not take inputs of shape [1, 17, 17, 2]: ")
    assert reason in said
    assert said.count("\n") == 1
