# pyright: strict, reportUnknownMemberType=false
"""The public API as code of other projects uses it, only for the type checker: nothing in here runs.

`pyright` reads this file in strict mode, so an argument, an attribute or a result of the API without a type shows here.
The one rule left out is about functions of JAX, Flax and NumPy some of whose parameters have no type.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from smoothjax import analysis, data, datasets, metrics, models, nn, ops, training, weights


def of_ops(x: jax.Array, kernel: jax.Array, kernels: list[jax.Array]) -> list[jax.Array]:
    """Operations, also on NumPy arrays."""
    groups = ops.periodic_subsample(x, rate=2)
    together = ops.group_interaction(groups, ops.identity_group_interaction(2, 2))
    rates: tuple[int, ...] = ops.multigrid_rates(2, 3)
    return [
        ops.reinterlace(together, rate=2, spatial_shape=x.shape[1:-1]),
        ops.dilated_conv(np.ones((1, 8, 8, 3), np.float32), kernel, rate=rates[0], method="decomposed"),
        ops.ss_dilated_conv(x, kernel, ops.identity_smoother(2, 2), rate=2, padding=((2, 2), (2, 2))),
        ops.pixel_deconv(x, kernels, order=[[(0, 0)], [(1, 1)], [(0, 1), (1, 0)]]),
        ops.transposed_conv(x, kernel, factor=2, method="direct"),
        ops.carafe(x, jnp.ones((1, 16, 16, 5, 5)) / 25, factor=2),
        ops.dysample(x, jnp.zeros((1, 16, 16, 1, 2))),
    ]


class Net(nnx.Module):
    """A user's model with the layers of smoothjax."""

    def __init__(self, smoothing: nn.Smoothing, *, rngs: nnx.Rngs) -> None:
        self.conv = nn.DilatedConv(3, 8, (3, 3), rate=2, smoothing=smoothing, after=jax.nn.relu, rngs=rngs)
        self.up = nn.UpConv(8, 4, method="fast_pixel_dcl", rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.up(self.conv(x))


def of_nn(x: jax.Array) -> tuple[int, ...]:
    """Layers, their parameters, and the replacement of a model's layers."""
    nets = [Net(smoothing, rngs=nnx.Rngs(0)) for smoothing in nn.SMOOTHINGS]
    net, changed = nn.smooth(nets[0], "ss_conv", rngs=nnx.Rngs(0))
    smoother: jax.Array = net.conv.smoother[...]
    first: jax.Array = net.up.kernels[0][...]
    causal = nn.CausalDilatedConv(1, 1, 2, rate=4, smoothing=nn.CAUSAL_SMOOTHINGS[1], rngs=nnx.Rngs(0))
    y = net(nn.SSConv((3, 3), rngs=nnx.Rngs(0))(x)) + causal(x)
    attention = nn.LargeKernelAttention(4, smoothing="ss_conv", rngs=nnx.Rngs(0))
    offsets: jax.Array = nn.UpConv(4, 4, method="dysample", groups=2, rngs=nnx.Rngs(0)).kernels[0][...]
    y = attention(y) + offsets.sum() + attention.dilated.kernel[...].sum()
    kinds: list[nn.SmootherKind] = [smoother.kind for smoother in nn.smoothers(net).values()]
    sizes = (*y.shape, *net.conv.kernel_size, *smoother.shape, *first.shape)
    rates: int | tuple[int, ...] = net.conv.rate
    by_axis = nn.DilatedConv(3, 8, 3, rate=(2,), padding=1, strides=1, feature_group_count=1, rngs=nnx.Rngs(0))
    chosen: nn.Changes = nn.smooth([by_axis], "ss_conv", only=nn.DilatedConv, skip=["0"], rngs=nnx.Rngs(0))[1]
    return (*sizes, causal.rate, isinstance(rates, int), len(changed), len(chosen.skipped), len(kinds))


def of_models(images: jax.Array) -> jax.Array:
    """Networks and their parts."""
    model = models.DeepLab(encoder=models.ENCODERS[0], head="aspp", num_classes=5, smoothing="drn", rngs=nnx.Rngs(0))
    model.train()
    extended = models.DeepLabUpsampled(model, upsampling="fast_pixel_dcl", rngs=nnx.Rngs(0))
    options: models.EncoderOptions = {"width": extended.deeplab.encoder.width, "batch_norm": "frozen"}
    smoothing: models.EncoderDegridding = model.encoder.smoothing
    models.DeepLab(num_classes=5, rngs=nnx.Rngs(0), **options)
    encoder = models.ResNetEncoder(18, smoothing=smoothing, rngs=nnx.Rngs(0))
    features: jax.Array = encoder(images)
    for blocks in encoder.stages:
        for block in blocks:
            features = block(features)
    vae = models.ConvVAE(upsampling=models.UPSAMPLINGS[0], likelihood=models.LIKELIHOODS[0], rngs=nnx.Rngs(0))
    bound: models.Elbo = vae.elbo(images, jnp.zeros((1, vae.latent_features)))
    restored = models.GCANet(task="dehaze", rngs=nnx.Rngs(0))(models.gcanet_input(images))
    restored += models.DilatedDenoiser(smoothing=smoothing, rngs=nnx.Rngs(0)).noise(images)
    temporal = models.TemporalConvNet(8, vocabulary=8, rngs=nnx.Rngs(0))
    assert temporal.receptive_field >= sum(temporal.rates)
    logits = models.UNet(num_classes=model.num_classes, rngs=nnx.Rngs(0))(images)
    logits += models.upsample_logits(model(images), images.shape[1:3])
    return logits.mean() + bound.elbo.mean() + restored.mean() + features.mean()


def of_weights(path: Path, image: np.ndarray[Any, np.dtype[np.uint8]]) -> models.DeepLab:
    """Published weights, and the preprocessing that they expect."""
    source = weights.SOURCES["torchvision"]
    model = models.DeepLab(num_classes=21, **source.architecture, rngs=nnx.Rngs(0))
    result = weights.initialize_encoder(model, weights.read(path), source="torchvision")
    nnx.update(model, result.params, result.model_state)
    assert weights.CAFFE_PREPROCESSING(image).shape == source.preprocessing(image).shape
    encoder: models.ResNetEncoder = weights.resnet_from_torchvision(weights.read(path), 101)
    assert encoder.out_features == 2048
    weights.save(model, path, classes=["road", "sky"], preprocessing=source.preprocessing)
    loaded = (weights.load(path), weights.from_hub("owner/name", revision="main"))
    about: weights.Description = weights.describe(weights.hub_file("owner/name"))
    assert about.network == type(loaded[0]).__name__
    return model


def of_data(root: Path) -> data.Classes:
    """Sources, and their batches."""
    sources: list[data.Source] = [data.ShapesSource(length=3), data.FolderSource(root, "train", data.VOC2012)]
    sources.append(data.open_split(root, "val"))
    record: data.Record = sources[0][0]
    augmentation = data.Augmentation(crop_size=(97, 97))
    batches = data.train_iterator(sources[0], augmentation=augmentation, batch_size=2, seed=0)
    assert next(batches)["image"].shape == (2, 97, 97, 3)
    for batch in data.evaluation_batches(sources[1], batch_size=2, mean=data.IMAGENET_MEAN, std=data.IMAGENET_STD):
        assert batch["label"].dtype == np.int32
    datasets.draw_grid(sources[0], root / "grid.png", images=4)
    picture = data.overlay(record["image"], record["label"], sources[0].classes)
    assert picture.shape == record["image"].shape
    weights_of_classes = datasets.median_frequency_weights(datasets.count_labels(sources[0]))
    assert len(weights_of_classes) == len(sources[0].classes.names)
    return sources[0].classes


def of_training(graph: nnx.GraphDef[models.DeepLab], params: Any, rest: Any, folder: Path) -> float | None:
    """A loss, an optimiser, and the loop."""
    augmentation = data.Augmentation(crop_size=(97, 97))
    batches = data.train_iterator(data.ShapesSource(length=3), augmentation=augmentation, batch_size=2, seed=0)

    def loss_fn(params: Any, model_state: Any, batch: Any) -> training.LossOutput:
        logits = nnx.merge(graph, params, model_state)(batch["image"])
        loss, count = training.cross_entropy(logits, models.downsample_labels(batch["label"], stride=8))
        return training.LossOutput(loss, count, model_state)

    def evaluate(state: training.TrainState) -> training.Evaluation[str]:
        return training.Evaluation({"mean_iou": float(state.step)}, details="none")

    schedule = training.poly_schedule(0.1, 100)
    exempt = training.label_parameters(params, lambda path: not nn.is_smoother(path))
    optimizer = training.sgd(schedule, weight_decay=1e-4, decay_mask=exempt)
    state = training.create_state(params, rest, optimizer)
    result = training.fit(
        training.LoopConfig(steps=100),
        training.Problem(loss_fn, optimizer, schedule, state, batches),
        folder,
        mesh=training.data_mesh(),
        evaluator=training.Evaluator(evaluate),
    )
    details: str = "" if result.evaluation is None else result.evaluation.details
    assert details
    return result.metrics["mean_iou"] if result.best_step is None else result.best_value


def of_metrics(labels: jax.Array, predictions: jax.Array) -> list[float]:
    """Counts on the device, measures on the host."""
    total = np.zeros((5, 5), np.int64)
    total += np.asarray(metrics.confusion_matrix(labels, predictions, num_classes=5))
    calibration: metrics.Calibration = metrics.calibration_counts(labels, jax.nn.one_hot(predictions, 5))
    error = float(metrics.expected_calibration_error(calibration) + metrics.mean_dice(total))
    return [error, float(metrics.mean_iou(total)), *(float(iou) for iou in metrics.iou_per_class(total))]


def of_segmentation(model: models.DeepLab, image: np.ndarray) -> np.ndarray:
    """The classes of an image, by a network or a function."""

    def logits(images: jax.Array) -> jax.Array:
        return model(images)

    averaging = models.Averaging(tile=(64, 64), flip=True)
    mean: jax.Array = models.average_logits(logits, jnp.asarray(image)[None], (64, 64), averaging)
    mask: np.ndarray = models.segment(logits, image, tile=(64, 64), scales=(0.75, 1.0), flip=True, progress=True)
    return mask + models.segment(model, image) + np.asarray(mean.argmax(-1)[0])


def of_analysis(model: models.DeepLab, images: jax.Array) -> list[float]:
    """Measures of the artifacts of any function."""
    block: analysis.Block = analysis.between(model, images, analysis.layers(model, images)[0].name)
    field = analysis.effective_receptive_field(block, [block.features(images)], progress=True)
    table: str = analysis.describe_smoothing(analysis.smoothing_parameters(model))
    return [
        analysis.dependence(lambda x: x, images, rate=2),
        analysis.phase_imbalance(field, rate=2),
        float(analysis.checkerboard_energy(images).mean()),
        analysis.contribution_area(field, share=0.5),
        len(table + block.start),
    ]
