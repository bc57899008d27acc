"""A study of semantic segmentation: from a configuration to what the loop needs."""

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from smoothjax import data, training

from ..config import fill_devices
from ..identity import describe_weights
from ..network import Network, compute_dtype
from ..report import spread
from ..study import Comparison, Curve, Evaluation, Job, Page, Result, Study
from ..train import read_examples
from .averaging import PLAIN, Averaging, averaged
from .config import DeepLabConfig, DenseConfig, InitConfig
from .figures import draw_predictions, side_by_side
from .init import architecture, initialized, normalization
from .scores import Counts, count, majority_scores, scores
from .sources import (
    batches_of,
    check_images,
    describe_images,
    example_indices,
    note_on_split,
    open_source,
    train_split,
)

C = TypeVar("C", bound=DenseConfig)


class DenseStudy(Study[C]):
    """What a study of semantic segmentation adds: its network, how that is trained, and how it sees an image."""

    metric: ClassVar[str] = "mean_iou"
    curves: ClassVar[tuple[Curve, ...]] = (
        Curve("train", "loss", "Training loss", "cross entropy (nats per pixel)"),
        Curve("val", "mean_iou", "Validation mean IoU", "mean IoU (%)", factor=100),
    )

    @abstractmethod
    def build_network(self, config: C, num_classes: int) -> Network:
        """The initial network."""

    @abstractmethod
    def make_loss(self, config: C, network: Network, num_classes: int) -> training.LossFn:
        """The loss of a batch of images and labels."""

    @abstractmethod
    def make_optimizer(self, config: C, params: Any) -> tuple[optax.GradientTransformation, optax.Schedule]:
        """The optimiser, and the rate that it was made with."""

    @abstractmethod
    def augmentation(self, config: C) -> data.Augmentation:
        """How training images are varied."""

    @abstractmethod
    def logits(self, config: C, network: Network, params: Any, model_state: Any, images: jax.Array) -> jax.Array:
        """Logits of normalised images `[N, H, W, 3]` in evaluation mode: `[N, h, w, K]`, of any size over the image."""

    @abstractmethod
    def measure(self, config: C, params: Any, initial: Any) -> Result:
        """Entries of `result.json` about the trained parameters, beside their number."""

    def view(self, config: C, source: data.Source) -> data.Source:
        """The images as the network sees them and is scored on."""
        return source

    def export_size(self, config: C) -> tuple[int, int] | None:
        """The only size of images that an exported network takes; None where it takes any."""
        return None

    def segment(
        self,
        config: C,
        network: Network,
        params: Any,
        model_state: Any,
        images: jax.Array,
        size: tuple[int, int],
        averaging: Averaging = PLAIN,
    ) -> jax.Array:
        """Class of every pixel of normalised images `[N, H, W, 3]`, at a size: int32 `[N, *size]`."""
        logits = partial(self.logits, config, network, params, model_state)
        return jnp.argmax(averaged(logits, images, size, averaging), -1).astype(jnp.int32)

    def describe_data(self, config: C) -> Mapping[str, Any]:
        """See `Study`: images, split that is trained on, classes, and published weights."""
        weights = config.init.checkpoint
        found = describe_images(config.data)
        return found if weights is None else {**found, "weights": describe_weights(weights)}

    def prepare(self, config: C, mesh: Mesh, *, progress: bool) -> Job:
        """Opens the data and builds the network."""
        if note := note_on_split(config.data):
            training.say(f"note: {note}")
        source, validation = (open_source(config.data, split) for split in (train_split(config.data), "val"))
        check_images(config.data, source, validation, progress=progress)
        iterator = data.train_iterator(
            self.view(config, source),
            augmentation=self.augmentation(config),
            batch_size=config.batch_size,
            seed=config.seed,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
        network = initialized(self.build_network(config, len(source.classes)), config.init)
        loss_fn = self.make_loss(config, network, len(source.classes))
        optimizer, schedule = self.make_optimizer(config, network.params)
        examples, seen = example_indices(len(validation)), self.view(config, validation)
        scorer = Scorer(self, config, network, seen, mesh)

        def evaluate(state: training.TrainState, limit: int | None) -> Evaluation:
            counts, masks = scorer.score(state, limit=limit, keep=examples)
            return Evaluation(scores(counts.pixels), (counts.pixels, masks))

        def summarize(state: training.TrainState, last: Evaluation) -> tuple[Result, Mapping[str, np.ndarray]]:
            confusion, masks = last.details
            majority = {"majority": majority_scores(confusion)}
            return majority | self.measure(config, state.params, network.params), masks

        def pictures(found: Evaluation) -> Mapping[str, np.ndarray]:
            _, masks = found.details
            return {f"predictions/{index}": side_by_side(seen, int(index), mask) for index, mask in masks.items()}

        return Job(iterator, network, loss_fn, optimizer, schedule, evaluate, summarize, source.classes, pictures)

    def outcome(self, result: Result) -> str:
        """A line about a trained run."""
        val, majority = result["val"], result["majority"]
        return (
            f"mean IoU {100 * val['mean_iou']:.1f} %, pixel accuracy {100 * val['pixel_accuracy']:.1f} % (always the "
            f"most frequent class: {100 * majority['mean_iou']:.1f} %, {100 * majority['pixel_accuracy']:.1f} %)"
        )

    def majority_row(
        self, comparison: Comparison[C], columns: int, keys: Sequence[str] = ("mean_iou", "pixel_accuracy")
    ) -> list[str]:
        """The row of a constant answer, below a table that begins with the method and these scores."""
        majority = next(iter(comparison.results.values()))[0]["majority"]
        row = ["always the most frequent class", *(spread([100 * majority[key]]) for key in keys)]
        return row + ["-"] * (columns - len(row))

    def page(self, comparison: Comparison[C], table: str, scored: str, sections: tuple[str, ...] = ()) -> Page:
        """The report of a comparison, with a figure of predictions; `scored` says at what size."""
        config, seed = comparison.config, comparison.seeds[0]
        validation = self.view(config, open_source(config.data, "val"))
        masks = {
            f"{comparison.labels[method]}\nmIoU {spread([100 * runs[0]['val']['mean_iou']])}": {
                int(index): mask for index, mask in read_examples(comparison.folder(method, seed)).items()
            }
            for method, runs in comparison.results.items()
        }
        title = f"{comparison.title}, seed {seed}"
        draw_predictions(validation, masks, comparison.out / "predictions.png", title=title)
        setting = (
            f"Validation split of {config.data.name}: {len(validation)} images, scored {scored} after "
            f"{config.steps:,} steps of\n{config.batch_size} images."
        )
        if note := note_on_split(config.data):
            setting = f"{setting} {note}"
        # Where several processes share the work, none has seen a whole mask.
        figures = {"predictions.png": "Predictions"} if any(masks.values()) else {}
        return Page(table, setting, sections, figures)


class Scorer(Generic[C]):
    """Scores states of a network on a split, compiled over a mesh."""

    def __init__(
        self,
        study: DenseStudy[C],
        config: C,
        network: Network,
        source: data.Source,
        mesh: Mesh,
        averaging: Averaging = PLAIN,
        boundary: float | None = None,
    ):
        config = fill_devices(config, mesh.size)
        self._config, self._source, self._mesh = config, source, mesh
        counted = partial(count, num_classes=len(source.classes), boundary=boundary)

        def evaluate(params: Any, model_state: Any, batch: dict[str, jax.Array]) -> tuple[Counts, jax.Array]:
            labels = batch["label"]
            size = (labels.shape[1], labels.shape[2])
            masks = study.segment(config, network, params, model_state, batch["image"], size, averaging)
            return counted(labels, masks, batch["size"]), masks

        everywhere, split = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("data",)))
        self._evaluate = jax.jit(evaluate, out_shardings=(everywhere, split))

    def score(
        self, state: training.TrainState, *, limit: int | None = None, keep: Collection[int] = ()
    ) -> tuple[Counts, dict[str, np.ndarray]]:
        """Confusion matrices over the split, int64, and the masks of the images to keep, by their index."""
        total, kept = None, {}
        for batch in batches_of(self._source, self._config.eval_batch_size, normalization(self._config.init), limit):
            arrays = training.shard_batch({key: batch[key] for key in ("image", "label", "size")}, self._mesh)
            counts, masks = self._evaluate(state.params, state.model_state, arrays)
            # Counted on the devices in int32, summed over the split in int64: a large split has more than 2^31 pixels.
            counts = jax.tree.map(lambda matrix: np.asarray(matrix, np.int64), counts)
            total = counts if total is None else jax.tree.map(np.add, total, counts)
            for row, (index, (height, width)) in enumerate(zip(batch["index"], batch["size"], strict=True)):
                if index in keep:
                    kept[str(index)] = np.asarray(masks[row, :height, :width], np.uint8)
        assert total is not None, "a split has at least one batch"
        return total, kept


def scaled(length: Any, factor: float) -> Any:
    """A length times a factor, rounded; also for a length that is only known when an exported program runs."""
    ratio = Fraction(str(factor))
    rounded = (2 * length * ratio.numerator + ratio.denominator) // (2 * ratio.denominator)
    return max(1, rounded) if isinstance(length, int) else rounded


def deeplab_options(config: DeepLabConfig, init: InitConfig, num_classes: int) -> dict[str, Any]:
    """The arguments of `models.DeepLab`, but for the source of randomness; published weights decide some of them."""
    return {
        "encoder": config.encoder,
        "head": config.head,
        "num_classes": num_classes,
        "smoothing": config.smoothing,
        "head_rates": config.head_rates,
        "stride_in": config.stride_in,
        "batch_norm": config.batch_norm,
        "width": config.width,
        "remat": config.remat,
        "dtype": compute_dtype(config.precision),
        **architecture(init),
    }
