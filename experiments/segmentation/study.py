"""From a configuration to what the loop needs: sources, network, loss, optimiser, evaluation."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from smoothjax import data, metrics, models, nn, training

from .config import Config, DataConfig, learning_rate

CLASSES = {
    "shapes": data.SHAPES,
    "camvid": data.CAMVID,
    "voc2012": data.VOC2012,
    "cityscapes": data.CITYSCAPES,
}
STRIDE = 8
MEAN, STD = data.IMAGENET_MEAN, data.IMAGENET_STD


def open_source(config: DataConfig, split: str) -> data.Source:
    """A split of the data set; says what is missing where it cannot be opened."""
    if config.name == "shapes":
        length = config.train_images if split == "train" else config.val_images
        return data.ShapesSource(length=length, size=config.image_size, split=split)
    if config.root is None:
        raise ValueError(
            f"the data set {config.name} lies in a folder: add --data.root FOLDER, which holds "
            "{train,val,test}/{images,labels} with an image and a mask (PNG, class indices, 255 = ignore) of each name"
        )
    return data.FolderSource(config.root, split, find_classes(config))


def find_classes(config: DataConfig) -> data.Classes:
    """The classes of the data set: of the file asked for, of the name, or of the file in its folder."""
    if config.classes is not None:
        return data.load_classes(config.classes)
    return data.find_classes(config.root or ".", CLASSES.get(config.name))


@dataclass(frozen=True)
class Network:
    """The network as pure functions of nested dicts.

    Attributes:
      params: initial parameters.
      model_state: initial batch statistics.
      train_graph, eval_graph: the two modes of the model, for `nnx.merge`.
    """

    params: Any
    model_state: Any
    train_graph: Any
    eval_graph: Any


def build_network(config: Config, num_classes: int) -> Network:
    """Initialises the network of a configuration, in one compiled program."""
    model_config = config.model

    def make(key: jax.Array) -> models.DeepLab:
        return models.DeepLab(
            encoder=model_config.encoder,
            head=model_config.head,
            num_classes=num_classes,
            smoothing=model_config.smoothing,
            head_rates=model_config.head_rates,
            stride_in=model_config.stride_in,
            batch_norm=model_config.batch_norm,
            width=model_config.width,
            dtype=jnp.bfloat16 if model_config.precision == "bfloat16" else None,
            rngs=nnx.Rngs(key),
        )

    # The compiler takes several times longer for JAX's default random bits on CPU.
    model = nnx.jit(make)(jax.random.key(config.seed, impl="rbg"))
    eval_graph, params, model_state = nnx.split(model, nnx.Param, ...)
    model.train()
    return Network(nnx.to_pure_dict(params), nnx.to_pure_dict(model_state), nnx.graphdef(model), eval_graph)


def make_loss(config: Config, network: Network, num_classes: int) -> training.LossFn:
    """Cross entropy over the valid pixels, on the 1/8 grid or at full size (Sec. 4.1)."""
    optim = config.optim
    if optim.class_weights is not None and len(optim.class_weights) != num_classes:
        raise ValueError(
            f"--optim.class-weights must have one weight for each of the {num_classes} classes, got "
            f"{len(optim.class_weights)}"
        )
    if not 0 <= optim.label_smoothing < 1:
        raise ValueError(f"--optim.label-smoothing must be in [0, 1), got {optim.label_smoothing}: 0 turns it off")
    weights = None if optim.class_weights is None else jnp.asarray(optim.class_weights)

    def loss_fn(params: Any, model_state: Any, batch: Any) -> training.LossOutput:
        model = nnx.merge(network.train_graph, params, model_state)
        logits, labels = model(batch["image"]), batch["label"]
        if optim.loss_at == "full":
            logits = models.upsample_logits(logits, labels.shape[1:], stride=STRIDE)
        else:
            labels = models.downsample_labels(labels, stride=STRIDE)
        loss_sum, count = training.cross_entropy(
            logits, labels, class_weights=weights, label_smoothing=optim.label_smoothing
        )
        return training.LossOutput(loss_sum, count, nnx.to_pure_dict(nnx.state(model, nnx.Not(nnx.Param))))

    return loss_fn


def make_optimizer(config: Config, params: Any) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """SGD of the paper: L2 on kernels alone, larger rates in the head; smoothing goes with the encoder."""
    optim = config.optim
    factors = {"kernel": optim.head_kernel_multiplier, "bias": optim.head_bias_multiplier}

    def multiplier(path: tuple[Any, ...]) -> float:
        return factors[path[-1]] if path[0] == "head" else 1.0

    schedule = training.poly_schedule(learning_rate(config), config.steps, optim.power)
    optimizer = training.sgd(
        schedule,
        momentum=optim.momentum,
        weight_decay=optim.weight_decay,
        decay_mask=training.label_parameters(params, lambda path: path[-1] == "kernel"),
        multipliers=training.label_parameters(params, multiplier),
    )
    return optimizer, schedule


def segment(network: Network, params: Any, model_state: Any, images: jax.Array, scale: float) -> jax.Array:
    """Class of every pixel of normalised images `[N, H, W, 3]`, at their full size: int32 `[N, H, W]`."""
    model = nnx.merge(network.eval_graph, params, model_state)
    full = images.shape[1:3]
    size = tuple(max(1, round(length * scale)) for length in full)
    if size != full:
        images = jax.image.resize(images, (images.shape[0], *size, 3), "linear")
    logits = models.upsample_logits(model(images), size, stride=STRIDE)
    if size != full:
        logits = jax.image.resize(logits, (logits.shape[0], *full, logits.shape[-1]), "linear")
    return jnp.argmax(logits, -1).astype(jnp.int32)


def make_evaluation(config: Config, network: Network, num_classes: int, mesh: Mesh) -> Callable[..., Any]:
    """Compiled over a mesh: `(params, model_state, images, labels) -> (confusion [K, K], predictions [N, H, W])`."""

    def evaluate(params: Any, model_state: Any, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
        predictions = segment(network, params, model_state, images, config.data.scale)
        return metrics.confusion_matrix(labels, predictions, num_classes=num_classes), predictions

    everywhere, split = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("data",)))
    return jax.jit(evaluate, out_shardings=(everywhere, split))


def evaluate_split(
    source: data.Source,
    evaluation: Callable[..., Any],
    state: training.TrainState,
    mesh: Mesh,
    *,
    batch_size: int,
    limit: int | None = None,
    keep: Collection[int] = (),
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """One confusion matrix over a split at full image size, int64 `[K, K]`, and the masks of the images to keep."""
    total, kept = np.zeros((len(source.classes),) * 2, np.int64), {}
    for batch in batches_of(source, batch_size, limit):
        arrays = training.shard_batch({"image": batch["image"], "label": batch["label"]}, mesh)
        confusion, predictions = evaluation(state.params, state.model_state, arrays["image"], arrays["label"])
        # Counted on the devices in int32, summed over the split in int64: a large split has more than 2^31 pixels.
        total += np.asarray(confusion, np.int64)
        for row, (index, (height, width)) in enumerate(zip(batch["index"], batch["size"], strict=True)):
            if index in keep:
                kept[int(index)] = np.asarray(predictions[row, :height, :width], np.uint8)
    return total, kept


def batches_of(source: data.Source, batch_size: int, limit: int | None = None) -> Iterator[dict[str, np.ndarray]]:
    """This process's share of the batches of a split, normalised as in training."""
    return data.evaluation_batches(
        source,
        batch_size=batch_size,
        mean=MEAN,
        std=STD,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        limit=limit,
    )


def scores(confusion: np.ndarray) -> dict[str, float]:
    """The scores of a split."""
    return {
        "mean_iou": float(metrics.mean_iou(confusion)),
        "pixel_accuracy": float(metrics.pixel_accuracy(confusion)),
        "mean_class_accuracy": float(metrics.mean_class_accuracy(confusion)),
    }


def majority_scores(confusion: np.ndarray) -> dict[str, float]:
    """The scores of always answering the most frequent class of the split."""
    pixels = confusion.sum(1)
    constant = np.zeros_like(confusion)
    constant[:, pixels.argmax()] = pixels
    return scores(constant)


def smoothing_report(params: Any, initial: Any) -> dict[str, float]:
    """Number of smoothing parameters, and the largest change of one since it was the identity."""
    smoothers = jax.tree.leaves(training.label_parameters(params, nn.is_smoother))
    pairs = zip(smoothers, jax.tree.leaves(params), jax.tree.leaves(initial), strict=True)
    moved = [np.abs(np.asarray(now) - np.asarray(then)) for is_smoother, now, then in pairs if is_smoother]
    return {
        "extra_parameters": int(sum(leaf.size for leaf in moved)),
        "largest_move": float(max((leaf.max() for leaf in moved), default=0.0)),
    }
