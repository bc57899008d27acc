"""The figures of the paper, drawn from the results of the operations."""

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from PIL import Image

from smoothjax import analysis, ops
from smoothjax.analysis._cells import GROUPS, phases
from tests.support import random

ONES = jnp.ones((3, 3, 1, 1))


def _stack(*rates):
    return [lambda x, rate=rate: ops.dilated_conv(x, ONES, rate=rate) for rate in rates]


def _colours(axes):
    """The colours of each map in a panel, `[H, W, 3]`."""
    meshes = [child for child in axes.get_children() if isinstance(child, QuadMesh)]
    return [np.asarray(mesh.get_array(), np.float64) for mesh in meshes]


def _panels(figure):
    """The panels and the legend, which comes last."""
    return figure.axes[:-1], figure.axes[-1]


def _is_grey(colours):
    return np.ptp(colours, axis=-1) < 1e-6


def _told(axes):
    (text,) = axes.texts
    return text.get_text()


def test_figure_2_and_both_cures():
    figure = analysis.draw_receptive_sets()
    panels, _ = _panels(figure)
    assert [axes.get_title() for axes in panels[:3]] == ["layer $i-2$", "layer $i-1$", "layer $i$"]
    assert [_told(axes) for axes in panels] == [
        *("100 units seen, none shared", "36 units seen, none shared", "four neighbours"),
        *("144 units seen, 64 by all four", "64 units seen, 16 by all four", "four neighbours"),
        *("196 units seen, 144 by all four", "64 units seen, 36 by all four", "four neighbours"),
    ]
    # Gridding: every unit in one of four colours, a phase each, none grey.
    (gridded,) = _colours(panels[0])
    seen = np.s_[3:13, 3:13]
    np.testing.assert_allclose(gridded[seen], GROUPS[phases(16, 16, 2)][seen])
    assert _is_grey(gridded).sum() == 16 * 16 - 100
    (cured,) = _colours(panels[6])
    assert (~_is_grey(cured)).sum() == 4
    names = [text.get_text() for text in figure.texts]
    assert names == [
        "What four neighbouring units see of the layers below",
        *("Dilated convolutions, rate 2", "+ group interaction", "+ SS convolution"),
    ]


def test_one_depth_stands_side_by_side(tmp_path):
    methods = {"Rates 2, 2, 2": _stack(2, 2, 2), "Rates 1, 2, 3": _stack(1, 2, 3)}
    figure = analysis.draw_receptive_sets(methods, inputs=jnp.ones((1, 18, 20, 1)), depths=[3], title="HDC")
    panels, legend = _panels(figure)
    assert [axes.get_title() for axes in panels] == list(methods)
    assert [_told(axes) for axes in panels] == ["196 units seen, none shared", "196 units seen, 144 by all four"]
    assert _colours(panels[0])[0].shape == (18, 20, 3)
    assert [text.get_text() for text in legend.texts] == [
        *("the four units", "seen by only one of them", "seen by two", "seen by all four"),
    ]
    figure.savefig(tmp_path / "sets.png")
    with Image.open(tmp_path / "sets.png") as image:
        assert np.asarray(image.convert("L")).std() > 5


def test_layers_may_change_the_size_and_the_channels():
    kernel = random(0, 3, 3, 1, 4)
    layers = [
        lambda x: ops.dilated_conv(x, kernel, padding="VALID"),
        lambda x: ops.dilated_conv(x, jnp.ones((3, 3, 4, 2)), rate=2, padding="VALID"),
    ]
    figure = analysis.draw_receptive_sets({"valid": layers}, inputs=random(1, 2, 14, 15, 1))
    panels, _ = _panels(figure)
    assert [_colours(axes)[0].shape[:2] for axes in panels] == [(14, 15), (12, 13), (8, 9)]
    assert _told(panels[0]).startswith("64 units seen")


@pytest.mark.parametrize("rate", [2, 3])
def test_figure_3_is_what_the_operations_return(rate):
    figure = analysis.draw_decomposition(rate=rate)
    maps = _colours(figure.axes[0])
    side, count = (10, 4) if rate == 2 else (15, 9)
    shapes = [(side,) * 2, *[(5, 5)] * count, *[(3, 3)] * count, (3 * rate,) * 2]
    assert [m.shape[:2] for m in maps[: 2 + 2 * count]] == shapes
    # The same unit has the same colour before and after the subsampling, and the reinterlacing.
    for whole, parts in ((maps[0], maps[1 : 1 + count]), (maps[1 + 2 * count], maps[1 + count : 1 + 2 * count])):
        for group, part in enumerate(parts):
            row, column = divmod(group, rate)
            np.testing.assert_allclose(part, whole[row::rate, column::rate])
    told = [text.get_text() for text in figure.axes[0].texts]
    assert any("the same" in text for text in told)
    assert f"{count} results, 3×3" in told


def test_figure_3_of_other_maps_and_kernels():
    x, kernel = random(0, 1, 8, 12, 1), random(1, 3, 2, 1, 1)
    figure = analysis.draw_decomposition(x, kernel, title="Mine")
    assert "output, 4×10" in [text.get_text() for text in figure.axes[0].texts]
    darkest = np.argmin(_colours(figure.axes[0])[0].sum(-1) + 10 * (phases(8, 12, 2) != 0))
    assert darkest == np.argmax(np.where(phases(8, 12, 2) == 0, x[0, ..., 0], -9))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: analysis.draw_receptive_sets({}), "methods must name one network or more"),
        (lambda: analysis.draw_receptive_sets({"a": []}), "at least one, got {'a': 0}"),
        (lambda: analysis.draw_receptive_sets({"a": _stack(1), "b": _stack(1, 2)}), "got {'a': 1, 'b': 2}"),
        (lambda: analysis.draw_receptive_sets(depths=[3]), r"depths must be ints in 0 .. 2, at least one, got \[3\]"),
        (lambda: analysis.draw_receptive_sets(depths=[]), "depths must be ints"),
        (lambda: analysis.draw_receptive_sets(inputs=jnp.ones((1, 5, 1))), r"inputs must be images \[N, H, W, C\]"),
        (lambda: analysis.draw_receptive_sets(inputs=jnp.ones((1, 1, 5, 1))), "must have 2x2 units or more"),
        (lambda: analysis.draw_decomposition(rate=4), "rate must be 2 or 3 to be drawn"),
        (lambda: analysis.draw_decomposition(jnp.ones((1, 9, 10, 1))), "H and W multiples of rate = 2"),
        (lambda: analysis.draw_decomposition(jnp.ones((1, 8, 8, 2))), "H and W multiples of rate = 2"),
        (lambda: analysis.draw_decomposition(kernel=jnp.ones((3, 3, 1, 2))), r"kernel must be \[\*K, 1, 1\]"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()
