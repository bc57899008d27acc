"""Options for comparison with the authors' code: the grid of the logits, the sequence of phases, exact evaluation."""

import math
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from experiments.common.config import with_options
from experiments.common.dense.sources import note_on_sizes
from experiments.pixel_dcn.config import PRESETS as PIXEL
from experiments.pixel_dcn.study import STUDY as PIXEL_STUDY
from experiments.segmentation.config import Config
from experiments.segmentation.presets import PRESETS
from experiments.segmentation.study import STUDY
from experiments.vae.config import PRESETS as FACES
from smoothjax import data, models
from smoothjax.names import Alignment
from tests.support import assert_close, random


def test_align_is_of_labels_and_logits():
    """33 pixels are 5 cells, and the authors' last cell lies 6 pixels before ours, in the loss and in the masks."""
    config = PRESETS["demo"].config
    authors = with_options(config, {"model.align": "authors"})
    logits, images = random(0, 1, 5, 5, 4), jnp.zeros((1, 33, 33, 3))
    fixed: Any = lambda images: logits
    alignments: tuple[tuple[Alignment, Config], ...] = (("cells", config), ("authors", authors))
    for align, asked in alignments:
        assert_close(STUDY.logits(asked, fixed, images), models.upsample_logits(logits, (33, 33), align=align))
    labels = np.full((1, 33, 33), 255)
    labels[0, 26, 26] = 1  # under the authors' cell (4, 4), and under none of ours
    batch = {"image": images, "label": jnp.asarray(labels)}
    counts = [int(STUDY.loss(asked, fixed, batch).valid_count) for asked in (config, authors)]
    assert counts == [0, 1]


@pytest.mark.parametrize(("order", "sets"), [(None, 9), ("figure", 9), ("equations", 10)])
def test_order_is_that_of_eq_2_or_of_the_figure(order, sets):
    config = with_options(
        PIXEL["demo"].config,
        {"model.upsampling": "ipixel_dcl", "model.order": order, "model.depth": 2, "model.width": 4},
    )
    make = lambda: PIXEL_STUDY.make_model(config, data.SHAPES, nnx.Rngs(0))
    (layer,) = nnx.eval_shape(make).upsampling
    assert sum(math.prod(kernel.shape) for kernel in layer.kernels) == sets * 9 * 4 * 4


@pytest.mark.parametrize("presets", [PIXEL, FACES], ids=["pixel_dcn", "vae"])
def test_order_is_refused_for_a_layer_without_phases_in_sequence(presets):
    """A run refuses an option that it would ignore; in a comparison it applies to the methods that have it."""
    config = with_options(presets["demo"].config, {"model.order": "equations"})
    config.validate()
    with pytest.raises(
        ValueError, match=r"--model\.order is an option of ipixel_dcl and pixel_dcl, got equations with"
    ):
        config.check_method()
    config.with_method("pixel_dcl").check_method()


def test_every_size_is_exact_unless_shapes_are_asked_for():
    sizes = [(30 + index, 40) for index in range(9)]
    many: Any = type("Many", (), {"__len__": lambda self: 9, "size": lambda self, index: sizes[index]})()
    few: Any = type("Few", (), {"__len__": lambda self: 8, "size": lambda self, index: sizes[index]})()
    note = note_on_sizes(many, None)
    assert note is not None
    assert "have 9 sizes. Each is scored at its own" in note
    assert note_on_sizes(many, 8) is None
    assert note_on_sizes(few, None) is None
    config = PRESETS["voc2012"].config
    assert config.eval_shapes is None
    with pytest.raises(ValueError, match="--eval-shapes must be at least 1, got 0"):
        replace(config, eval_shapes=0).validate()


def test_align_has_nothing_to_act_on_in_a_duc():
    config = with_options(PRESETS["demo"].config, {"model.align": "authors"})
    with pytest.raises(ValueError, match=r"--model\.align authors is an option of heads on the 1/8 grid"):
        config.with_method("duc").validate()
