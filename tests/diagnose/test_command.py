"""`python -m smoothjax.diagnose` as users call it, in this process."""

import json
import re
import shutil
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from smoothjax import nn, ops
from smoothjax.diagnose import _network, _picture
from smoothjax.diagnose.__main__ import main


def gridded(x):
    """A network that the tests name."""
    for _ in range(2):
        x = ops.dilated_conv(x, jnp.ones((3, 3, 1, 1)), rate=2)
    return x


def make_layer():
    return nn.DilatedConv(2, 2, (3, 3), rate=2, smoothing="ss_conv", rngs=nnx.Rngs(0))


class Pair(nnx.Module):
    """Two dilated convolutions behind an ordinary one; a class without arguments is also a network."""

    def __init__(self):
        rngs = nnx.Rngs(0)
        self.first = nnx.Conv(1, 1, (3, 3), rngs=rngs)
        self.layers = nnx.List([nnx.Conv(1, 1, (3, 3), kernel_dilation=(2, 2), rngs=rngs) for _ in range(2)])

    def __call__(self, x):
        x = self.first(x)
        for layer in self.layers:
            x = layer(x)
        return x


class Layer(nnx.Module):
    """A class that is given its source of randomness, as most are."""

    def __init__(self, rngs: nnx.Rngs):
        self.layer = nnx.Conv(1, 1, (3, 3), rngs=rngs)

    def __call__(self, x):
        return self.layer(x)


def first_channels(x):
    return jnp.abs(gridded(jnp.moveaxis(x, 0, -1)[None]))[0].transpose(2, 0, 1)


def broken(x):
    return getattr(gridded(x), "no_such_attribute")  # noqa: B009 (a type checker would see it)


def in_a_mode(x, train):
    return gridded(x) if train else x


def make_broken():
    raise RuntimeError("no weights here")


NOTHING = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a grey picture of a checkerboard, and maps without one."""
    path = tmp_path_factory.mktemp("pictures")
    noise = np.random.default_rng(0).normal(size=(128, 128))
    board = 20 * (-1.0) ** np.add.outer(np.arange(128), np.arange(128))
    Image.fromarray(np.clip(128 + 8 * noise + board, 0, 255).astype(np.uint8)).save(path / "board.png")
    np.save(path / "maps.npy", noise[..., None].repeat(2, -1))
    return path


def test_pictures(folder, tmp_path, capsys):
    out = tmp_path / "figure.png"
    assert main(["picture", str(folder / "board.png"), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("A checkerboard of period 2: ")
    assert out.stat().st_size > 1000
    assert main(["picture", str(folder / "maps.npy"), "--out", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"].startswith("No checkerboard")
    assert [one["factor"] for one in found["periods"]] == [2, 4, 8, 16]
    assert found["periods"][-1]["low"] is None  # one tile
    assert main(["picture", str(folder), "--out", str(out)]) == 0
    assert "board.png" in capsys.readouterr().out


def test_large_pictures_are_cut_into_pieces(folder, tmp_path, capsys, monkeypatch):
    """No size is refused: tiles belong to pieces, and the figure shows the piece with the pattern."""
    monkeypatch.setattr(_picture, "_SIDE", 160)
    monkeypatch.setattr("smoothjax.data._open.MAX_PIXELS", 1000)
    noise = np.random.default_rng(0).normal(size=(128, 300))
    noise[:, 128:256] += 4 * (-1.0) ** np.add.outer(np.arange(128), np.arange(128))
    np.save(tmp_path / "wide.npy", noise)
    pieces = list(_picture.pieces([tmp_path / "wide.npy"], None))
    assert [one.columns for one in pieces] == [(0, 128), (128, 300)]
    assert np.array_equal(np.concatenate([one.maps for one in pieces], 2)[0, ..., 0], noise.astype(np.float32))
    for name in (tmp_path / "wide.npy", folder / "board.png"):
        assert main(["picture", str(name), "--out", str(tmp_path / "a.png"), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["verdict"].startswith("A checkerboard of period 2")
        if name.suffix == ".npy":
            assert found["shown"]["columns"][0] == 128


def test_pictures_of_every_kind_in_a_folder_are_read(folder, tmp_path, capsys):
    """WebP and BMP were dropped: the report was of other pictures than the user named."""
    with Image.open(folder / "board.png") as board:
        for suffix in ("png", "bmp", "webp"):
            board.save(tmp_path / f"{suffix}.{suffix}")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "._png.png").touch()
    assert main(["picture", str(tmp_path), "--out", str(tmp_path / "figure.pdf"), "--json"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    assert files == [str(tmp_path / name) for name in ("bmp.bmp", "png.png", "webp.webp")]


def test_pictures_that_cannot_be_read_are_named(folder, tmp_path, capsys):
    """Not left out of the report without a word."""
    shutil.copy(folder / "board.png", tmp_path / "a.png")
    (tmp_path / "b.heic").touch()
    (tmp_path / "more").mkdir()
    assert main(["picture", str(tmp_path), "--out", str(tmp_path / "figure.png")]) == 2
    said = capsys.readouterr().err
    assert "b.heic: files of this kind are not read here" in said
    assert "more: a folder, which is not read here" in said


def test_pictures_of_16_bits(tmp_path, capsys):
    """The remedy names an option that this command has."""
    values = np.random.default_rng(0).integers(0, 4096, (64, 64)).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "dark.png")
    command = ["picture", str(tmp_path / "dark.png"), "--out", str(tmp_path / "a.png")]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "--white 4095" in said
    assert main([*command, "--white", "4095"]) == 0
    assert main([*command, "--white", "0"]) == 2


def test_networks(tmp_path, capsys):
    out = tmp_path / "field.png"
    command = ["--input", "1,17,17,1", "--out", str(out)]
    assert main(["network", f"{__name__}:gridded", *command]) == 0
    said = capsys.readouterr().out
    assert said.startswith("gridding proven: along both axes")
    assert "of the whole, rate 2: 1.000" in said
    assert out.stat().st_size > 1000
    assert main(["network", f"{__name__}:make_layer", *command[:1], "1,17,17,2", *command[2:], "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["runs"], found["smallest"]) == ("no gridding", [], None)
    assert main(["network", f"{__name__}:Pair", *command]) == 0
    said = capsys.readouterr().out
    assert "from layers.0 to layers.1, rate 2: 1.000" in said
    # The stem is given all pixels, and mixes them; what the layers of rate 2 are given, the output sees in one phase.
    shares = dict(re.findall(r"^ {4}(\S+) +rate 2: (\S+)$", said, re.MULTILINE))
    assert shares["layers.0"] == shares["layers.1"] == "1.000"
    assert float(shares["first"]) < 0.9
    assert "the fewest convolutions to smooth: layers.0" in said
    assert main(["network", f"{__name__}:Layer", *command]) == 0
    assert capsys.readouterr().out.startswith("no gridding")
    command += ["--layout", "channels_first"]
    assert main(["network", f"{__name__}:first_channels", *command]) == 0
    assert capsys.readouterr().out.startswith("gridding proven")


def test_the_figure_of_a_field_counts_its_holes():
    """Around 3x3 places two apart, the other sixteen of 5x5 pixels are black; a field without weight is drawn."""
    field = np.zeros((9, 9))
    field[2:7:2, 2:7:2] = 1e-3
    (axes, _) = _network.draw_field(field, 1.0, 2).axes
    assert ": 64 % of it without weight\n" in axes.get_title()
    shown = axes.images[0].get_array()
    assert shown is not None
    assert np.ma.getmaskarray(shown).sum() == 81 - 9
    assert ": empty\n" in _network.draw_field(np.zeros((9, 9)), None, 2).axes[0].get_title()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["picture", "nowhere.png"], "error: nowhere.png: no such file or folder"),
        (
            ["picture", "{folder}/board.png", "--out", "{folder}/board.png/a.png"],
            "board.png is no folder that you may write to: name another",
        ),
        (["picture", "{folder}/text.npy"], "text.npy: expected an array of numbers"),
        (["picture", "{folder}/nan.npy"], "nan.npy: expected finite numbers"),
        (["picture", "{folder}/bad.png"], "bad.png"),
        (["network", "smoothjax", "--input", "1,9,9,1"], "error: the network must be MODULE:NAME"),
        (["network", "no_such_module:f", "--input", "1,9,9,1"], "error: No module named 'no_such_module': start in"),
        (["network", "{name}:missing", "--input", "1,9,9,1"], "has no missing: give the name of a network"),
        (["network", "{name}:NOTHING", "--input", "1,9,9,1"], "must be callable, got int"),
        (["network", "{name}:broken", "--input", "1,9,9,1"], "broken does not take inputs of shape [1, 9, 9, 1]: Attr"),
        (
            ["network", "{name}:in_a_mode", "--input", "1,9,9,1"],
            "'train'; name a function that returns it with the oth",
        ),
        (["network", "{name}:make_broken", "--input", "1,9,9,1"], "without arguments: RuntimeError: no weights here"),
        (["network", "{folder}/none.stablehlo", "--input", "1,9,9,1"], "none.stablehlo: no such file"),
        (["network", "{folder}/bad.png", "--input", "1,9,9,1"], "expected a program that jax.export has serialised"),
        (["network", "jax.numpy:ndarray", "--input", "1,9,9,1"], "error: jax.numpy:ndarray must make a network"),
        (["network", "{name}:gridded", "--input", "9"], "error: --input must be sizes"),
        (["network", "{name}:gridded", "--input", "1,9,9,3"], "error:"),
        (["network", "{name}:gridded", "--input", "1,9,1"], "gridded does not take inputs of shape [1, 9, 1]: x must"),
        (["network", "{name}:Pair", "--input", "9,9,1"], "[N, *S, C] with 2 spatial axes, as the convolutions have"),
        (["network", "{name}:Pair", "--input", "1,1,9,9"], "Pair does not take inputs of shape [1, 1, 9, 9]: "),
        (["network", "{name}:Pair", "--input", "1,1,9,9"], "; sizes are [N, *S, C], channels last"),
        (["network", "nets/mine.py:Net", "--input", "1,9,9,1"], "No module named 'nets/mine.py': write mine:Net"),
    ],
)
def test_bad_input_is_one_sentence(folder, tmp_path, capsys, words, message):
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "board.png").write_bytes((folder / "board.png").read_bytes())
    (bad / "text.npy").write_text("words")
    (bad / "bad.png").write_bytes(b"\x89PNG nothing")
    np.save(bad / "nan.npy", np.full((64, 64), np.nan))
    assert main([word.format(folder=bad, name=__name__) for word in words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert message in said.err
    assert said.err.count("\n") == 1


def test_help_needs_no_jax():
    """Help answers at once, because JAX is imported only for work."""
    code = "import sys; import smoothjax.diagnose.__main__; assert 'jax' not in sys.modules, 'jax'"
    subprocess.run([sys.executable, "-c", code], check=True)
