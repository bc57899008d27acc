"""`python -m smoothjax.diagnose network FILE`: exported programs, with and without derivatives."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from smoothjax import analysis, ops
from smoothjax.diagnose.__main__ import main


def _stack(*rates):
    def network(x):
        for rate in rates:
            x = jax.nn.relu(ops.dilated_conv(x, jnp.ones((3, 3, 1, 1)), rate=rate))
        return x

    return network


def _masks(*rates):
    """A program like those of the studies: from images of bytes to classes."""

    def network(images):
        return (_stack(*rates)(images.astype(jnp.float32)) % 7).astype(jnp.uint8)[..., 0]

    return network


def _channels_first(x):
    return _stack(2, 2)(x.transpose(1, 2, 0)[None])[0].transpose(2, 0, 1)


def _write(function, path, shape, dtype=jnp.float32, vjp_order=0):
    sizes = export.symbolic_shape(shape) if isinstance(shape, str) else shape
    exported = export.export(jax.jit(function))(jax.ShapeDtypeStruct(sizes, dtype))
    path.write_bytes(bytes(exported.serialize(vjp_order=vjp_order)))
    return str(path)


@pytest.mark.parametrize("vjp_order", [0, 1])
def test_programs_of_numbers(tmp_path, capsys, vjp_order):
    """Gradients if the file carries them, otherwise changes: both agree with the certificate."""
    for rates, verdict in (((2, 2), "gridding measured, not proven: along axis 0 and axis 1"), ((1, 2), "no gridding")):
        path = _write(_stack(*rates), tmp_path / "a.stablehlo", (1, 13, 13, 1), vjp_order=vjp_order)
        out = tmp_path / "field.png"
        assert main(["network", path, "--input", "1,13,13,1", "--out", str(out)]) == 0
        said = capsys.readouterr().out
        assert said.startswith(verdict)
        assert ("by gradients of the 9x9 outputs" if vjp_order else "by changing each of 169 input pixels") in said
        assert out.stat().st_size > 1000
    certificate = analysis.certify(_stack(1, 2), jax.ShapeDtypeStruct((1, 13, 13, 1), jnp.float32))
    if not vjp_order:
        assert f"axis 1: {certificate.axes[1].shared} of {certificate.axes[1].pairs} pairs" in said


def test_programs_of_classes(tmp_path, capsys):
    """The exports of studies: any number of images of any size, from bytes to classes."""
    path = _write(_masks(2, 2), tmp_path / "a.stablehlo", "b, h, w, 1", jnp.uint8)
    assert main(["network", path, "--input", "1,12,12,1", "--out", str(tmp_path / "f.png"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"].startswith("gridding measured")
    assert "which maps uint8 to uint8; results are integers" in found["measured"]
    assert found["phase_imbalance"] == 1.0
    path = _write(_channels_first, tmp_path / "b.stablehlo", (1, 9, 9))
    command = ["network", path, "--input", "1,9,9,1", "--layout", "channels_first", "--out", str(tmp_path / "f.png")]
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("gridding measured")


def test_a_block_at_the_centre(tmp_path, capsys):
    """Large images need a pass for every few pixels: a block has the same verdict and, inside, the same field."""
    images = np.random.default_rng(0).normal(size=(2, 13, 12, 1)).astype(np.float32)
    whole, part = (analysis.sharing_by_changes(_stack(2, 2), images, block=block) for block in (None, 5))
    np.testing.assert_allclose(part.field[4:9, 3:8], whole.field[4:9, 3:8], rtol=1e-6)
    assert part.field.sum() == pytest.approx(part.field[4:9, 3:8].sum())
    assert [axis.is_gridding for axis in part.axes] == [axis.is_gridding for axis in whole.axes] == [True, True]
    connected = analysis.sharing_by_changes(_stack(1, 2), images, block=5)
    assert [axis.is_gridding for axis in connected.axes] == [False, False]
    path = _write(_masks(2, 2), tmp_path / "a.stablehlo", "b, h, w, 1", jnp.uint8)
    assert main(["network", path, "--input", "1,20,20,1", "--block", "6", "--out", str(tmp_path / "f.png")]) == 0
    said = capsys.readouterr().out
    assert said.startswith("gridding measured")
    assert "each of 36 input pixels, those of the 6x6 at the centre, of 2" in said
    gradients = _write(_stack(2), tmp_path / "b.stablehlo", (1, 9, 9, 1), vjp_order=1)
    for target, message in ((gradients, "this one has them"), ("some:network", "--block is for exported programs")):
        assert main(["network", target, "--input", "1,9,9,1", "--block", "6", "--out", str(tmp_path / "g.png")]) == 2
        assert message in capsys.readouterr().err
    assert main(["network", path, "--input", "1,9,9,1", "--block", "0", "--out", str(tmp_path / "g.png")]) == 2
    assert "block must be an int >= 1" in capsys.readouterr().err


def test_programs_that_do_not_go(tmp_path, capsys):
    path = _write(_stack(2), tmp_path / "a.stablehlo", (1, 9, 9, 1))
    damaged = tmp_path / "damaged.stablehlo"
    damaged.write_bytes(tmp_path.joinpath("a.stablehlo").read_bytes()[:300])
    exported = export.export(jax.jit(jnp.add))(*[jax.ShapeDtypeStruct((1, 9, 9, 1), jnp.float32)] * 2)
    (tmp_path / "two.stablehlo").write_bytes(bytes(exported.serialize()))
    flat = _write(lambda x: x.mean((1, 2)), tmp_path / "flat.stablehlo", (1, 9, 9, 1))
    for file, message in (
        (path, "Shape mismatch"),
        (str(damaged), "expected a program that jax.export has serialised"),
        (str(tmp_path / "two.stablehlo"), "must map one array to one, got 2 and 1"),
        (flat, "function must return maps or labels of 2 spatial axes"),
    ):
        size = "1,8,8,1" if message == "Shape mismatch" else "1,9,9,1"
        assert main(["network", file, "--input", size, "--out", str(tmp_path / "f.png")]) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert message in said
        assert said.count("\n") == 1
        assert not (tmp_path / "f.png").exists()


def test_changes_see_what_brute_force_sees():
    """For a strided network: sharing between all neighbours, reach of each output, and the central field."""

    def network(x):
        x = ops.dilated_conv(x, jnp.ones((3, 1, 2)), rate=3)
        return jax.nn.relu(x)[:, ::2]

    found = analysis.sharing_by_changes(network, np.random.default_rng(0).normal(size=(2, 11, 1)), batch_size=4)
    sets = np.asarray(network(jnp.eye(11)[..., None]).max(-1) > 0).T
    (axis,) = found.axes
    assert axis.pairs == 5
    assert axis.shared == (sets[1:] & sets[:-1]).any(-1).sum()
    assert axis.seen == tuple(sets.sum(-1))
    assert (found.field > 0).tolist() == sets[3].tolist()
    assert analysis.sharing_of_sets(sets, [6]) == found.axes


@pytest.mark.parametrize(
    ("function", "inputs", "message"),
    [
        (_stack(2), np.ones((9, 9)), r"inputs must be floating-point or integer maps \[N, \*S, C\]"),
        (_stack(2), np.full((1, 9, 9, 1), 300), "inputs of integers must lie between 0 and 255"),
        (lambda x: x.mean(1), np.ones((1, 9, 9, 3)), "function must return maps or labels of 2 spatial"),
        (lambda x: x / 0, np.ones((1, 3, 1)), "function must return finite numbers"),
    ],
)
def test_changes_refuse(function, inputs, message):
    with pytest.raises(ValueError, match=message):
        analysis.sharing_by_changes(function, inputs)


def test_sets_of_another_block_are_refused():
    with pytest.raises(ValueError, match=r"sets must be bool \[2\*2, \*S\]"):
        analysis.sharing_of_sets(np.ones((3, 5), bool), [2, 2])
