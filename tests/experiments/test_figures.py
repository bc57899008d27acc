"""Nothing of the figure of predictions is cut off."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

from experiments.common.dense.figures import draw_predictions
from smoothjax import data

_NAMES = ("sky", "building", "pole", "road", "sidewalk", "tree", "sign", "fence", "car", "pedestrian", "bicyclist")


class _Source(list):
    classes = data.Classes(_NAMES, tuple((20 * index, 0, 0) for index in range(len(_NAMES))))

    def size(self, index):
        return self[index]["label"].shape


@pytest.mark.parametrize("methods", [1, 4])
def test_the_legend_fits_the_figure(tmp_path, monkeypatch, methods):
    source: Any = _Source([{"image": np.zeros((36, 48, 3), np.uint8), "label": np.zeros((36, 48), np.uint8)}] * 2)
    masks = {f"method {index}": {0: source[0]["label"], 1: source[1]["label"]} for index in range(methods)}
    figures = []
    monkeypatch.setattr(plt, "close", figures.append)
    draw_predictions(source, masks, tmp_path / "predictions.png", title="Title")
    monkeypatch.undo()
    (figure,) = figures
    box, page = figure.legends[0].get_window_extent(), figure.bbox
    plt.close(figure)
    assert page.x0 <= box.x0 < box.x1 <= page.x1
    assert page.y0 <= box.y0 < box.y1 <= page.y1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [*_NAMES, "ignored"]
