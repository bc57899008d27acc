"""The benchmark runs, and names what it measured. Nothing here depends on how long anything takes."""

import json
import sys
import time
from functools import partial

import jax
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from experiments.timing.__main__ import main
from experiments.timing.measure import Case, Peer, Row, jax_peer, measure, random_array
from experiments.timing.networks import network_cases
from experiments.timing.operations import layer_cases, operation_cases
from experiments.timing.peers import layer_peer_cases, network_peer_cases
from experiments.timing.report import draw_bars, make_table
from smoothjax import models, ops


def _sleeping(seconds):
    return Peer({"forward": lambda: time.sleep(seconds)})


#: A sleep of 1 ms against one of 4.
_SLEEP = Case("short / long", "-", partial(_sleeping, 0.001), partial(_sleeping, 0.004), {"forward": 0.5})


def test_the_ratio_is_ours_over_the_reference():
    (row,) = measure(_SLEEP, repeats=3)
    assert row.ratio < 0.9
    assert row.ours < row.reference
    assert row.published == 0.5


def test_forward_and_backward_are_the_value_and_all_gradients():
    x, kernel = random_array(0, 1, 5, 5, 2), random_array(1, 3, 3)
    runs = jax_peer(ops.ss_conv, x, kernel).runs
    np.testing.assert_allclose(runs["forward"](), ops.ss_conv(x, kernel), rtol=1e-5)
    assert [gradient.shape for gradient in runs["forward + backward"]()] == [x.shape, kernel.shape]


@pytest.mark.parametrize("quick", [True, False])
def test_what_is_compared(quick):
    titles = [case.title for make in (operation_cases, layer_cases, network_cases) for case in make(quick=quick)]
    expected = (
        "ss_conv 7x7 / depthwise",
        "SS convolution of rate 4 / dilated",
        "group interaction of rate 2 / dilated",
        "fast_pixel_deconv 3x3 / transposed_conv",
        "transposed_conv 6x6 / nnx.ConvTranspose",
        "CARAFE 5x5 / transposed_conv",
        "DySample / transposed_conv",
        "blurred sub-pixel convolution 3x3 / transposed_conv",
        "large-kernel attention of rate 3 / dilated",
        "frequency selection before a dilated convolution of rate 4 / dilated",
        "U-Net with iPixelDCL / with DCL",
    )
    for words in expected:
        assert any(words in title for title in titles), words


def test_both_peers_of_an_upsampling_case_compute_the_same():
    case = next(case for case in layer_cases(quick=True) if "nnx.ConvTranspose" in case.title)
    ours, reference = case.ours().runs["forward"](), case.reference().runs["forward"]()
    np.testing.assert_allclose(ours, reference, atol=1e-5)


def test_peers_without_pytorch_are_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for make in (network_peer_cases, layer_peer_cases):
        with pytest.raises(ValueError, match=r"PyTorch, which is not installed: pip install torch"):
            make(quick=True)


def test_networks_of_pytorch_have_the_parameters_of_ours():
    """Otherwise layers of different sizes would be compared; needs PyTorch, which is optional."""
    pytest.importorskip("torch")
    from experiments.timing import torch_networks

    pairs = [
        (
            torch_networks.DeepLab(18, 8),
            lambda: models.DeepLab(encoder="resnet18", width=8, num_classes=21, rngs=nnx.Rngs(0)),
        ),
        (
            torch_networks.DeepLab(50, 8),
            lambda: models.DeepLab(encoder="resnet50", width=8, num_classes=21, rngs=nnx.Rngs(0)),
        ),
        (torch_networks.UNet(3, 8), lambda: models.UNet(num_classes=21, depth=3, width=8, rngs=nnx.Rngs(0))),
        (torch_networks.VAE(8), lambda: models.ConvVAE(width=8, rngs=nnx.Rngs(0))),
    ]
    for theirs, make in pairs:
        ours = nnx.state(nnx.eval_shape(make), nnx.Param)
        assert sum(p.numel() for p in theirs.parameters()) == sum(leaf.size for leaf in jax.tree.leaves(ours))


def test_the_papers_ratios():
    published = {case.title: case.published for case in network_cases(quick=True) if case.published}
    assert {name: {part: round(value, 2) for part, value in ratios.items()} for name, ratios in published.items()} == {
        "U-Net with PixelDCL / with DCL": {"training step": 1.27, "prediction": 1.28},
        "U-Net with iPixelDCL / with DCL": {"training step": 1.40, "prediction": 1.56},
    }


def test_table_and_chart(tmp_path):
    rows = [Row("a / b", "1x2", part, 1.0, 4.0, 0.25, value) for part, value in (("x", 1.5), ("y", None))]
    assert "| a / b    | 1x2  | x    | 1.00     | 4.00          | 0.25  | 1.50      |" in make_table(rows)
    draw_bars(rows, tmp_path / "bars.png", title="Bars")
    with Image.open(tmp_path / "bars.png") as image:
        assert np.asarray(image.convert("L")).std() > 5


def test_from_the_command_line(tmp_path, capsys):
    arguments = ["ops", "--quick", "--json", str(tmp_path / "t.json"), "--out", str(tmp_path / "t.png")]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "| ss_conv 3x3 / depthwise convolution of JAX" in out
    content = json.loads((tmp_path / "t.json").read_text())
    assert {row["part"] for row in content["rows"]} == {"forward", "forward + backward"}
    assert content["environment"]["command"].startswith("python -m experiments.timing")
    assert (tmp_path / "t.png").stat().st_size > 5000


def test_wide_vectors_are_read_when_a_process_starts(tmp_path, monkeypatch):
    """The process restarts with its own words, keeps other flags, and then measures."""
    started = []

    def start(program, words, variables):
        started.append((words, variables))
        raise KeyboardInterrupt  # a process that is replaced does not go on

    monkeypatch.setattr("os.execve", start)
    monkeypatch.setattr("experiments.timing.operations.operation_cases", lambda quick: [_SLEEP])
    monkeypatch.setenv("XLA_FLAGS", "--xla_other=1")
    arguments = ["ops", "--quick", "--wide-vectors", "--out", str(tmp_path / "t.png")]
    monkeypatch.setattr("sys.orig_argv", ["python", "-m", "experiments.timing", *arguments])
    main(arguments)
    ((words, variables),) = started
    assert words[1:] == ["-m", "experiments.timing", *arguments]
    assert variables["XLA_FLAGS"] == "--xla_other=1 --xla_cpu_prefer_vector_width=512"
    assert not (tmp_path / "t.png").exists()
    monkeypatch.setenv("XLA_FLAGS", variables["XLA_FLAGS"])
    assert main(arguments) == 0
    assert len(started) == 1


def test_what_is_measured_outlives_a_part_that_fails(tmp_path, capsys, monkeypatch):
    """A part that fails costs no earlier part its numbers; its error is one line."""

    def fail(**_):
        raise ValueError("no such thing")

    monkeypatch.setattr("experiments.timing.operations.operation_cases", lambda quick: [_SLEEP])
    monkeypatch.setattr("experiments.timing.pipeline.pipeline_table", fail)
    arguments = ["ops", "data", "--quick", "--json", str(tmp_path / "t.json"), "--out", str(tmp_path / "t.png")]
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert captured.err == "error: no such thing\n"
    assert "| short / long |" in captured.out
    (row,) = json.loads((tmp_path / "t.json").read_text())["rows"]
    assert row["title"] == "short / long"
    assert (tmp_path / "t.png").exists()


@pytest.mark.slow
def test_what_checkpoints_logs_and_evaluations_cost(tmp_path, capsys):
    assert main(["training", "--quick", "--json", str(tmp_path / "t.json"), "--out", str(tmp_path / "t.png")]) == 0
    out = capsys.readouterr().out
    assert out.count("from step 15 of 30") == 2
    assert "| seconds to resume: data, network, checkpoint, compilation, first update | " in out
    found = json.loads((tmp_path / "t.json").read_text())["training"]
    assert len(found["costs"]) == 2
    assert 0 < found["seconds_to_restore"] < found["seconds_to_resume"]
    assert min(found["steps_per_second_without"], found["steps_per_second_with"]) > 0
    assert not (tmp_path / "t.png").exists()  # there is no ratio to draw


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--repeats", "0"], "--repeats must be at least 1, got 0"),
        (["--json", "no/where.json"], "--json no/where.json: there is no folder no, make it or name another"),
        (["ops", "--data-root", "."], "--data-root would change nothing, since the part data is not measured: add"),
        (["--quick", "--repeats", "5"], "--repeats would change nothing, since --quick makes three runs: leave it out"),
        (["data", "--data-root", "nowhere"], "--data-root nowhere: no such folder"),
        (["ops", "data", "--data-root", "."], "split 'train' of . is incomplete"),
        (["ops", "networks", "--peers"], "--peers compares the parts networks and layers, got ops"),
        (["--out", "bars.pgn"], "--out must end in .png, .pdf, .svg or .jpg, got bars.pgn"),
    ],
)
def test_refuses_before_it_measures(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert not captured.out
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_everything_quickly(tmp_path, capsys):
    assert main(["--quick", "--out", str(tmp_path / "t.png")]) == 0
    assert "| U-Net with PixelDCL / with DCL" in capsys.readouterr().out
