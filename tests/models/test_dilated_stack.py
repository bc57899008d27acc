"""The encoder of dilated layers: which neighbours share inputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from smoothjax import models, weights
from tests.support import build, random


def _seen(encoder):
    """The pixels of a central line of 9 that move the output there, and those that move its neighbour's."""
    x = random(0, 1, 9, 9, 3)

    def at(column):
        return jax.grad(lambda x: encoder(x)[0, 4, column].sum())(x)

    return [np.abs(np.asarray(at(column))).sum((0, 1, 3)) > 0 for column in (4, 5)]


def _encoder(**options):
    return build(lambda rngs: models.DilatedStackEncoder(width=3, rates=(2, 2), rngs=rngs, **options))


def test_behind_a_1x1_stem_neighbours_share_nothing():
    here, there = _seen(_encoder())
    assert here[::2].all()
    assert not (here & there).any()


def test_a_3x3_stem_and_an_ss_convolution_let_them_meet():
    for encoder in (_encoder(stem=3), _moved(_encoder(smoothing="ss_conv"))):
        here, there = _seen(encoder)
        assert (here & there).any()


def _moved(encoder):
    """The encoder with smoothers away from the identity, as in training."""
    for stage in encoder.stages:
        stage.conv.smoother[...] += 0.1
    return encoder


def test_every_smoothing_starts_as_the_baseline():
    x = random(1, 1, 8, 8, 3)
    expected = _encoder()(x)
    for smoothing in ("group_interaction", "ss_conv"):
        np.testing.assert_allclose(_encoder(smoothing=smoothing)(x), expected, atol=1e-5)


def test_multigrid_changes_each_run_of_rates():
    encoder = nnx.eval_shape(
        lambda: models.DilatedStackEncoder(rates=(2, 2, 2, 4, 4, 4), smoothing="multigrid", rngs=nnx.Rngs(0))
    )
    assert [stage.conv.rate for stage in encoder.stages] == [1, 2, 3, 3, 4, 5]


def test_a_deeplab_of_it_has_full_resolution_and_is_stored(tmp_path):
    model = build(
        lambda rngs: models.DeepLab(
            encoder="dilated_stack", width=3, stem=3, head="large_fov", head_rates=(4,), num_classes=2, rngs=rngs
        )
    )
    x = random(2, 1, 8, 10, 3)
    assert model(x).shape == (1, 8, 10, 2)
    weights.save(model, tmp_path / "model.safetensors")
    loaded = weights.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded(x), model(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "dilated_stack", "output_stride": 8}, "output_stride is an option of residual and EfficientNet"),
        ({"encoder": "dilated_stack", "stride_in": "1x1"}, "stride_in is an option of residual encoders"),
        ({"encoder": "resnet18", "stem": 3}, "stem is an option of the encoder dilated_stack, got 3 with"),
        ({"encoder": "dilated_stack", "stem": 2}, "stem must be one of 1, 3, 5, got 2"),
    ],
)
def test_options_of_other_encoders_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        nnx.eval_shape(lambda: models.DeepLab(num_classes=2, rngs=nnx.Rngs(0), **options))


def test_nothing_is_left_to_up_sample():
    def make():
        rngs = nnx.Rngs(0)
        return models.DeepLabUpsampled(models.DeepLab(encoder="dilated_stack", num_classes=2, rngs=rngs), rngs=rngs)

    with pytest.raises(ValueError, match="deeplab must have an output stride above 1"):
        nnx.eval_shape(make)


def test_rematerialised_it_is_the_same():
    x = random(3, 1, 8, 8, 3)
    assert jnp.array_equal(_encoder(remat=True)(x), _encoder()(x))
