"""Losses of label maps against their definitions in NumPy, and against PyTorch."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from smoothjax.loss_terms import LossTerm
from smoothjax.training import bce, cross_entropy, dice, focal, lovasz_softmax, ohem, weighted_loss

Array = np.ndarray
SUM = "cross_entropy + 0.5 dice + 0.25 lovasz_softmax + 2 ohem + focal + bce"
CLASSES = 4


def _draw(seed: int, *shape: int, ignored: float = 0.3) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, shape)
    labels[rng.random(shape) < ignored] = 255
    return rng.normal(size=(*shape, CLASSES)).astype(np.float32) * 2, labels


def _mean(function: Any, logits: Any, labels: Any, **options: Any) -> float:
    call = jax.jit(partial(function, **options))  # one program compiles faster than its operations one by one
    loss_sum, count = call(jnp.asarray(logits), jnp.asarray(labels))
    return float(loss_sum / count)


def _valid(logits: Array, labels: Array) -> tuple[Array, Array]:
    """Probabilities `[pixels, classes]` in float64 and the labels of the valid pixels."""
    kept = labels.reshape(-1) != 255
    powers = np.exp(logits.reshape(-1, CLASSES).astype(np.float64))[kept]
    return powers / powers.sum(1, keepdims=True), labels.reshape(-1)[kept]


# What PyTorch 2.13 gives for these logits and labels.
LOGITS = np.array([[2.0, -1.0, 0.5, 0.0], [0.3, 0.2, -0.4, 1.0], [-2.0, 1.5, 0.0, 0.7], [0.0, 0.0, 3.0, -1.0]])
LABELS, WEIGHTS = np.array([0, 2, 255, 1]), np.array([0.5, 2.0, 1.0, 4.0])
MASKS = np.array([[1, 0, 0, 1], [0, 0, 255, 1], [0, 1, 1, 0], [255, 255, 0, 1]])


def test_is_that_of_pytorch() -> None:
    """With either class weights or smoothing; masks that overlap with some elements ignored."""
    assert _mean(cross_entropy, LOGITS, LABELS) == pytest.approx(1.8796133, abs=1e-5)
    assert _mean(cross_entropy, LOGITS, LABELS, class_weights=WEIGHTS) == pytest.approx(2.4511737, abs=1e-5)
    assert _mean(cross_entropy, LOGITS, LABELS, label_smoothing=0.2) == pytest.approx(1.9096133, abs=1e-5)
    assert _mean(bce, LOGITS, MASKS) == pytest.approx(0.8122841, abs=1e-5)


def test_class_weights_and_smoothing_together_are_not_those_of_pytorch() -> None:
    """As documented: PyTorch weighs each term of the smoothing by its own class, and gives 2.6986718."""
    losses = -np.log(np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True))
    kept, labels = [0, 1, 3], LABELS[[0, 1, 3]]
    true, spread = losses[kept, labels], losses[kept]
    scale = WEIGHTS[labels].sum()
    ours = (WEIGHTS[labels] * (0.8 * true + 0.2 * spread.mean(1))).sum() / scale
    theirs = (0.8 * WEIGHTS[labels] * true + 0.2 * (WEIGHTS * spread).mean(1)).sum() / scale
    assert _mean(cross_entropy, LOGITS, LABELS, class_weights=WEIGHTS, label_smoothing=0.2) == pytest.approx(ours)
    assert theirs == pytest.approx(2.6986718, abs=1e-5)
    assert abs(ours - theirs) > 0.1


@pytest.mark.parametrize(("threshold", "share"), [(0.7, 1 / 16), (0.05, 0.4), (0.2, 0.0), (1.0, 0.5)])
def test_ohem_keeps_the_hardest(threshold: float, share: float) -> None:
    """Pixels below the threshold, or the given share: each rule decides in one of the cases."""
    logits, labels = _draw(0, 5, 8)
    probabilities, true = _valid(logits, labels)
    losses = np.sort(-np.log(probabilities[np.arange(len(true)), true]))[::-1]
    count = max(int((losses > -math.log(threshold)).sum()), math.floor(share * len(losses)))
    found, kept = jax.jit(partial(ohem, threshold=threshold, min_share=share))(logits, labels)
    assert (float(found), int(kept)) == (pytest.approx(losses[:count].sum(), rel=1e-5), count)


def test_ohem_with_a_threshold_of_1_is_cross_entropy() -> None:
    """Also for certain pixels, whose loss of 0 was once left out of the count."""
    logits, labels = jnp.array([[200.0, 0.0], [0.0, 0.0], [1.0, 0.0]]), jnp.array([0, 1, 255])
    np.testing.assert_allclose(ohem(logits, labels, threshold=1.0), cross_entropy(logits, labels), rtol=1e-6)


def test_ohem_weighs_the_pixels_that_it_keeps() -> None:
    logits, labels = _draw(1, 5, 8)
    probabilities, true = _valid(logits, labels)
    losses = -np.log(probabilities[np.arange(len(true)), true])
    kept = losses > -math.log(0.3)
    expected = (losses * WEIGHTS[true])[kept].sum() / WEIGHTS[true][kept].sum()
    assert _mean(ohem, logits, labels, threshold=0.3, class_weights=WEIGHTS) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_is_its_definition(gamma: float) -> None:
    logits, labels = _draw(2, 3, 8)
    probabilities, true = _valid(logits, labels)
    p = probabilities[np.arange(len(true)), true]
    expected = ((1 - p) ** gamma * -np.log(p) * WEIGHTS[true]).sum() / WEIGHTS[true].sum()
    assert _mean(focal, logits, labels, gamma=gamma, class_weights=WEIGHTS) == pytest.approx(expected, rel=1e-5)


def test_focal_without_its_power_is_cross_entropy() -> None:
    logits, labels = _draw(3, 3, 8)
    assert _mean(focal, logits, labels, gamma=0) == _mean(cross_entropy, logits, labels)


def test_focal_has_a_gradient_at_certain_pixels() -> None:
    """For gamma < 1 the power has no derivative at a probability of 1: the gradient was NaN."""
    gradient = jax.grad(lambda x: focal(x, jnp.array([0, 1]), gamma=0.5)[0])(jnp.array([[200.0, 0.0], [0.0, 0.0]]))
    assert np.isfinite(gradient).all()
    assert np.abs(gradient[1]).min() > 0.1


def _dice(probabilities: Array, targets: Array, smooth: float) -> float:
    losses = []
    for p, t in zip(probabilities.T, targets.T, strict=True):
        if t.sum() > 0:
            losses.append(1 - (2 * (p * t).sum() + smooth) / (p.sum() + t.sum() + smooth))
    return float(np.mean(losses))


@pytest.mark.parametrize("smooth", [0.0, 1.0])
def test_dice_is_its_definition(smooth: float) -> None:
    """Over the classes that occur: the last one does not."""
    logits, labels = _draw(4, 5, 6)
    labels[labels == 3] = 0
    probabilities, true = _valid(logits, labels)
    expected = _dice(probabilities, np.eye(CLASSES)[true], smooth)
    assert _mean(dice, logits, labels, smooth=smooth) == pytest.approx(expected, rel=1e-5)


def test_dice_of_masks_that_overlap() -> None:
    kept = MASKS != 255
    probabilities = np.where(kept, 1 / (1 + np.exp(-LOGITS)), 0)
    expected = _dice(probabilities, np.where(kept, MASKS, 0), 0.0)
    assert _mean(dice, LOGITS, MASKS) == pytest.approx(expected, rel=1e-5)


def _jaccard(predicted: set[int], wanted: set[int]) -> float:
    return 1 - len(predicted & wanted) / len(predicted | wanted) if predicted | wanted else 0.0


def test_lovasz_softmax_is_its_definition() -> None:
    """The Lovász extension of the Jaccard loss as a function of the set of wrong pixels, set by set."""
    logits, labels = _draw(5, 4, 6)
    labels[labels == 2] = 1
    probabilities, true = _valid(logits, labels)
    losses = []
    for c in sorted(set(true.tolist())):
        wanted = {i for i, label in enumerate(true) if label == c}
        errors = np.where(true == c, 1 - probabilities[:, c], probabilities[:, c])
        wrong, before, loss = set[int](), 0.0, 0.0
        for i in np.argsort(-errors).tolist():
            wrong.add(i)
            now = _jaccard(wanted ^ wrong, wanted)  # a wrong pixel is in one of prediction and truth
            loss, before = loss + errors[i] * (now - before), now
        losses.append(loss)
    assert _mean(lovasz_softmax, logits, labels) == pytest.approx(np.mean(losses), rel=1e-5)


def test_lovasz_softmax_of_certain_predictions_is_one_minus_the_iou() -> None:
    _, labels = _draw(6, 6, 6)
    predictions = np.random.default_rng(7).integers(0, CLASSES, labels.shape)
    ious = []
    for c in range(CLASSES):
        p, t = (predictions == c) & (labels != 255), labels == c
        ious.append((p & t).sum() / (p | t).sum())
    assert _mean(lovasz_softmax, 200.0 * np.eye(CLASSES)[predictions], labels) == pytest.approx(1 - np.mean(ious))


def test_bce_of_a_label_map_is_that_of_its_masks() -> None:
    logits, labels = _draw(8, 3, 5)
    masks = np.where(labels[..., None] == 255, 255, labels[..., None] == np.arange(CLASSES))
    assert _mean(bce, logits, labels, class_weights=WEIGHTS) == _mean(bce, logits, masks, class_weights=WEIGHTS)
    by_class = [_mean(bce, logits[..., c : c + 1], masks[..., c : c + 1]) for c in range(CLASSES)]
    expected = (WEIGHTS * by_class).sum() / WEIGHTS.sum()
    assert _mean(bce, logits, masks, class_weights=WEIGHTS) == pytest.approx(expected, rel=1e-5)


NAMES = {"ohem": ohem, "focal": focal, "bce": bce, "dice": dice, "lovasz_softmax": lovasz_softmax}


@pytest.mark.parametrize("name", NAMES)
def test_ignored_pixels(name: str) -> None:
    """They change nothing and get no gradient; if all are ignored, loss and gradient are 0."""
    function, (logits, labels) = NAMES[name], _draw(9, 4, 4)
    pull = jax.jit(jax.value_and_grad(lambda x, y: function(x, y)[0]))
    _, gradient = pull(logits, labels)
    assert np.all(np.asarray(gradient)[labels == 255] == 0)
    assert np.any(np.asarray(gradient)[labels != 255] != 0)
    other = np.where(labels[..., None] == 255, 50.0, logits)
    assert _mean(function, other, labels) == pytest.approx(_mean(function, logits, labels), rel=1e-5)
    loss, gradient = pull(logits, np.full_like(labels, 255))
    assert float(loss) == 0
    assert np.all(np.asarray(gradient) == 0)


@pytest.mark.parametrize("name", NAMES)
def test_a_label_that_is_no_class_is_nan(name: str) -> None:
    logits, labels = _draw(10, 3, 3)
    labels[0, 0] = CLASSES
    assert math.isnan(_mean(NAMES[name], logits, labels))


def _by_devices(count: int, kind: AxisType) -> Any:
    """Loss and gradient of a sum of all losses, with the batch split over some devices."""
    mesh = jax.make_mesh((count,), ("data",), axis_types=(kind,), devices=jax.devices()[:count])
    loss = weighted_loss(SUM, class_weights=WEIGHTS.tolist(), label_smoothing=0.1)
    split = NamedSharding(mesh, PartitionSpec("data"))

    def mean(logits: jax.Array, labels: jax.Array) -> jax.Array:
        loss_sum, valid = loss(logits, labels)
        return loss_sum / valid

    logits, labels = _draw(11, 8, 5, 3)
    labels[:3, 1:] = 255  # uneven: means of the devices' means would differ
    with jax.set_mesh(mesh):
        pull = jax.jit(jax.value_and_grad(mean))
        return jax.device_get(pull(jax.device_put(logits, split), jax.device_put(labels, split)))


def test_is_of_the_global_batch_on_any_number_of_devices(no_compilation_cache: None) -> None:
    """For Dice, Lovász-Softmax and the hardest pixels, means over devices are something else."""
    one = _by_devices(1, AxisType.Auto)
    for count, kind in ((2, AxisType.Auto), (8, AxisType.Auto), (8, AxisType.Explicit)):
        several = _by_devices(count, kind)
        np.testing.assert_allclose(several[0], one[0], rtol=1e-5)
        np.testing.assert_allclose(several[1], one[1], rtol=1e-4, atol=1e-7)


def test_a_sum_is_the_sum_of_the_means() -> None:
    logits, labels = _draw(12, 3, 5)
    options: dict[str, Any] = {"class_weights": WEIGHTS}
    expected = 2 * _mean(cross_entropy, logits, labels, **options) + 0.5 * _mean(dice, logits, labels, smooth=1)
    expected += _mean(focal, logits, labels, gamma=1, **options)
    total = weighted_loss("2 cross_entropy + 0.5 * dice(smooth=1) + focal(gamma=1)", **options)
    assert _mean(total, logits, labels) == pytest.approx(expected, rel=1e-5)
    single = weighted_loss("cross_entropy", **options)(jnp.asarray(logits), jnp.asarray(labels))
    np.testing.assert_array_equal(single, cross_entropy(jnp.asarray(logits), jnp.asarray(labels), **options))


def test_a_sum_whose_first_term_counts_nothing() -> None:
    """As `ohem` if every pixel is easy: the other terms were multiplied by its count of 0."""
    logits, labels = jnp.array([[3.0, 0.0], [4.0, 0.0]]), jnp.array([0, 0])
    expected = 0.5 * _mean(dice, logits, labels)
    assert _mean(weighted_loss("ohem(min_share=0) + 0.5 dice"), logits, labels) == pytest.approx(expected)
    nothing = weighted_loss("ohem(min_share=0) + 0.5 dice")(logits, jnp.array([255, 255]))
    assert tuple(map(float, nothing)) == (0, 0)


def test_bce_of_a_class_that_is_masked_out() -> None:
    """A logit of minus infinity is a probability of 0: without loss or gradient where the class is absent."""
    logits, masks = jnp.array([[-jnp.inf, 0.0]]), jnp.array([[0, 1]])
    assert float(bce(logits, masks)[0]) == pytest.approx(math.log(2))
    np.testing.assert_allclose(jax.grad(lambda x: bce(x, masks)[0])(logits), [[0.0, -0.5]])


@pytest.mark.parametrize("loss", [cross_entropy, ohem, focal, dice, bce])
def test_no_pixels_are_no_loss(loss: Any) -> None:
    assert tuple(map(float, loss(jnp.zeros((0, 3)), jnp.zeros((0,), jnp.int32)))) == (0, 0)


def test_bad_arguments() -> None:
    logits, labels = map(jnp.asarray, _draw(13, 2, 2))
    cases: tuple[tuple[Any, dict[str, Any], str], ...] = (
        (ohem, {"threshold": 0.0}, r"ohem: threshold must be in \(0, 1\], got 0; leave it out"),
        (ohem, {"min_share": 1.5}, r"ohem: min_share must be in \[0, 1\], got 1\.5"),
        (focal, {"gamma": -1.0}, r"focal: gamma must be in \[0, inf\), got -1"),
        (dice, {"smooth": math.nan}, r"dice: smooth must be in \[0, inf\), got nan"),
        (ohem, {"class_weights": [1.0, -1.0, 1.0, 1.0]}, "ohem: class_weights must be finite and not negative"),
        (focal, {"class_weights": [1.0, math.nan, 1.0, 1.0]}, "focal: class_weights must be finite and not negative"),
        (bce, {"class_weights": [1.0]}, r"bce: class_weights must have one weight a class, shape \(4,\), got \(1,\)"),
    )
    for function, options, message in cases:
        with pytest.raises(ValueError, match=message):
            function(logits, labels, **options)
    with pytest.raises(ValueError, match=r"lovasz_softmax: labels must be class indices, .*; for masks that overlap"):
        lovasz_softmax(logits, jnp.zeros(logits.shape, jnp.int32))
    with pytest.raises(AssertionError, match="shape"):
        dice(logits, labels[:1])
    with pytest.raises(ValueError, match="class_weights are for bce, cross_entropy, focal, ohem, got dice; leave"):
        weighted_loss("dice", class_weights=[1.0])
    with pytest.raises(ValueError, match="label_smoothing is for cross_entropy and ohem, got focal; leave it out"):
        weighted_loss("focal", label_smoothing=0.1)
    with pytest.raises(ValueError, match="loss must have at least one term, got none"):
        weighted_loss(())
    for terms, message in (
        ([LossTerm("nll")], "the loss names 'nll', which is not a loss: choose from cross_entropy"),  # pyright: ignore[reportArgumentType]
        ([LossTerm("focal", -1)], "the loss must have positive and finite weights, got -1: leave focal out"),
        ([LossTerm("focal", 1, {"beta": 2})], "gives focal the option 'beta', which it does not take: it takes gamma"),
        ([LossTerm("dice"), LossTerm("dice")], "the loss must name each once, got dice again"),
    ):
        with pytest.raises(ValueError, match=message):
            weighted_loss(terms)
