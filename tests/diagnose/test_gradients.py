"""`python -m smoothjax.diagnose gradients FILE`: gradients from other frameworks, such as PyTorch."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smoothjax import ops
from smoothjax.diagnose.__main__ import main

_SIZE, _BLOCK = 15, 5


def _gradients(*rates):
    """Gradients of the 5x5 central outputs of a stack of dilated convolutions, `[5, 5, H, W, C]`."""

    def outputs(x):
        for rate in rates:
            x = jax.nn.relu(ops.dilated_conv(x, jnp.ones((3, 3, 2, 2)), rate=rate))
        start = (_SIZE - _BLOCK) // 2
        return x[0, start : start + _BLOCK, start : start + _BLOCK].sum(-1)

    return np.asarray(jax.jacrev(outputs)(jnp.ones((1, _SIZE, _SIZE, 2))))[:, :, 0]


def _report(gradients, tmp_path, capsys, *options):
    path, out = tmp_path / "gradients.npy", tmp_path / "field.png"
    np.save(path, gradients)
    assert main(["gradients", str(path), "--out", str(out), *options]) == 0
    assert out.stat().st_size > 1000
    return capsys.readouterr().out


def test_both_layouts_say_what_is_shared(tmp_path, capsys):
    found = _gradients(2, 2)
    first = _report(np.moveaxis(found, -1, 2), tmp_path, capsys)
    assert first == _report(found, tmp_path, capsys, "--channels", "last")
    assert first.startswith("gridding measured, not proven: along axis 0 and axis 1")
    assert "axis 1: 0 of 20 pairs of neighbours share inputs; 2 classes, the positions modulo 2" in first
    assert "measured by the gradients of 5x5 outputs in" in first
    assert "rate 2: 1.000" in first
    connected = json.loads(_report(_gradients(1, 2), tmp_path, capsys, "--channels", "last", "--json"))
    assert connected["verdict"] == "no gridding: neighbouring outputs share inputs"
    assert connected["pairs"] == [[20, 20], [20, 20]]


def test_those_of_torch(tmp_path, capsys):
    """The recipe of the guide, with its report."""
    torch = pytest.importorskip("torch")
    images = torch.ones(1, 2, _SIZE, _SIZE, requires_grad=True)
    y = images
    for _ in range(2):
        y = torch.relu(torch.nn.functional.conv2d(y, torch.ones(2, 2, 3, 3), padding=2, dilation=2))
    top, left = ((size - _BLOCK) // 2 for size in y.shape[2:])
    rows = [[y[:, :, top + i, left + j].sum() for j in range(_BLOCK)] for i in range(_BLOCK)]
    found = [[torch.autograd.grad(unit, images, retain_graph=True)[0][0] for unit in row] for row in rows]
    gradients = torch.stack([torch.stack(row) for row in found]).numpy()
    expected = _report(_gradients(2, 2), tmp_path, capsys, "--channels", "last")
    assert _report(gradients, tmp_path, capsys) == expected


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((5, 5, 9, 9), np.float32), "expected gradients [*block, C, *S]"),
        (np.ones((2, 2, 1, 4, 4), int), "got int64 (2, 2, 1, 4, 4)"),
        (np.ones((2, 0, 1, 4, 4), np.float32), "got an empty axis"),
        (np.full((2, 2, 1, 4, 4), np.nan, np.float32), "finite gradients"),
        (None, "no such file"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path, capsys, array, message):
    path = tmp_path / "gradients.npy"
    if array is not None:
        np.save(path, array)
    assert main(["gradients", str(path), "--out", str(tmp_path / "field.png")]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert not (tmp_path / "field.png").exists()
