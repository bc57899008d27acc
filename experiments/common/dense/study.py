"""The base of the studies of semantic segmentation: everything except the network and the resolution of its loss."""

import tempfile
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import ClassVar, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from smoothjax import data, datasets, metrics, models, training, weights
from smoothjax.loss_terms import parse_loss

from ..comparison import Comparison, Curve, Page, Result
from ..config import with_options
from ..identity import describe_weights
from ..labels import data_label
from ..network import M, Network, Tree
from ..run_files import CLASSES_FILE, Json
from ..stored import StoredStudy
from ..study import Arrays, Batch, Scored, Summary, Trained
from ..writing import write_bytes
from . import report
from .config import DRAWN, PUBLISHED_DISTANCE, DenseConfig
from .figures import side_by_side
from .init import initialized, normalization, weights_file
from .optimizer import class_weights
from .scores import (
    Counts,
    boundary_scores,
    by_class,
    calibration_scores,
    count,
    isolated_share,
    majority_scores,
    scores,
)
from .seen import Seen
from .sources import batches_of, check_images, images_root, note_on_sizes, note_on_split, open_source, train_split

C = TypeVar("C", bound=DenseConfig)

#: File in the folder of a comparison, drawn before anything is trained.
DATA_PICTURE = "data.png"


@dataclass(frozen=True)
class DenseStudy(StoredStudy[C, data.Classes, data.Source, M]):
    """The base of the studies of semantic segmentation.

    Attributes:
      averaging: the views of an image when it is scored.
      boundary: distance from contours within which pixels are scored separately, as a fraction of an image's diagonal.
      calibration: whether the calibration error is measured.
    """

    metric: ClassVar[str] = "mean_iou"
    curves: ClassVar[tuple[Curve, ...]] = (
        Curve("train", "loss", "Training loss", "loss (cross entropy: nats per pixel)"),
        Curve("val", "mean_iou", "Validation mean IoU", "mean IoU (%)", factor=100),
    )
    examples: ClassVar[int] = 4

    averaging: models.Averaging = field(default_factory=models.Averaging)
    boundary: float | None = None
    calibration: bool = False

    @abstractmethod
    def logits(self, config: C, model: M, images: jax.Array) -> jax.Array:
        """Logits of normalised images `[N, H, W, C]`: `[N, h, w, K]`, of any size over the image."""

    def encoder_cell(self, config: C) -> int:
        """Pixels between two outputs of the encoder, in the image as the network sees it."""
        return 8

    def output_cell(self, config: C) -> int:
        """The same between two outputs of the network; between them logits are interpolated."""
        return 1

    def export_size(self, config: C) -> tuple[int, int] | None:
        """The fixed size of images for an exported network; None if it takes any."""
        return None

    def segment(self, config: C, model: M, images: jax.Array, size: tuple[int, int]) -> jax.Array:
        """Class of every pixel of normalised images `[N, H, W, C]`, at a size: int32 `[N, *size]`."""
        return _classes_of(self._averaged(config, model, images, size))

    def _averaged(self, config: C, model: M, images: jax.Array, size: tuple[int, int]) -> jax.Array:
        averaging = replace(self.averaging, independent=has_independent_classes(config))
        return models.average_logits(lambda seen: self.logits(config, model, seen), images, size, averaging)

    # Data.

    def completed(self, config: C) -> C:
        """See `Learner`: with the measured mean and standard deviation of images that are not RGB."""
        if config.data.channels == 3 or config.data.mean is not None:
            return config
        source = open_source(config.data, train_split(config.data))
        measured = datasets.channel_statistics(source, progress=jax.process_index() == 0)
        if len(measured.mean) != config.data.channels:
            raise ValueError(
                f"--data.channels is {config.data.channels}, the images have {len(measured.mean)}: name their number"
            )
        return with_options(config, {"data.mean": measured.mean, "data.std": measured.std})

    def open_split(self, config: C, split: str, target: data.Classes | None = None) -> data.Source:
        """Images and labels as the network sees them and is scored on."""
        return self.view(config, open_source(config.data, split))

    def view(self, config: C, source: data.Source) -> data.Source:
        """Images and labels of a source as the network sees them."""
        return source

    def described(self, source: data.Source) -> data.Named:
        """See `StoredStudy`."""
        return _stored(source)

    def data_name(self, config: C) -> str | None:
        """See `StoredStudy`."""
        return None if config.data.name in DRAWN else config.data.name

    def place(self, config: C) -> Path:
        """See `StoredStudy`."""
        return images_root(config.data)

    def training_split(self, config: C) -> str:
        """See `Study`."""
        return train_split(config.data)

    def target(self, config: C, source: data.Source) -> data.Classes:
        """The classes; refuses a wrong number of class weights."""
        classes, given = source.classes, config.optim.class_weights
        if isinstance(given, tuple) and len(given) != len(classes):
            raise ValueError(
                f"--optim.class-weights must have one weight for each of the {len(classes)} classes, got {len(given)}"
            )
        return classes

    def measured(self, config: C, source: data.Source, kept: Json, *, progress: bool) -> tuple[C, Json, str]:
        """See `Learner`: class weights by a rule."""
        split = train_split(config.data)
        channels = config.data.channels
        found = class_weights(config.optim, _stored(source), split, kept, progress=progress, channels=channels)
        if found is None:
            return config, {}, ""
        return with_options(config, {"optim.class_weights": found.weights}), found.entry, found.lines

    def class_names(self, target: data.Classes) -> Sequence[str]:
        """See `Study`."""
        return target.names

    def preprocessing(self, config: C) -> weights.Preprocessing:
        """See `Study`: of images in RGB, or of other channels."""
        return weights.Preprocessing(*normalization(config))

    def read_target(self, config: C, folder: Path) -> data.Classes:
        """The classes."""
        return data.load_classes(folder / CLASSES_FILE)

    def same_target(self, target: data.Classes, other: data.Classes) -> bool:
        """See `Study`: classes of the same names in the same order; colours are only shown."""
        return target.names == other.names

    @abstractmethod
    def augmentation(self, config: C, target: data.Classes) -> data.Augmentation:
        """Random scaling, mirroring and cropping of training examples."""

    def training_augmentation(self, config: C, target: data.Classes, source: data.Source) -> data.Augmentation:
        """See `Learner`: more augmentations, the same for every study; crops are balanced by the counts of the
        split."""
        weights = ()
        if config.data.augment.balanced:
            shown, channels = jax.process_index() == 0, config.data.channels
            counts = datasets.count_labels(_stored(source), progress=shown, channels=channels)
            weights = tuple(datasets.median_frequency_weights(counts).tolist())
        return replace(self.augmentation(config, target), strengths=config.data.augment, crop_weights=weights)

    def check_training_data(self, config: C, source: data.Source, validation: data.Source, *, progress: bool) -> None:
        """Reads all files of a folder; drawn images need no check, and prepared images have been checked."""
        if note := note_on_split(config.data):
            training.say(f"note: {note}")
        if note := note_on_sizes(validation, config.eval_shapes):
            training.say(f"note: {note}")
        check_images(config.data, _stored(source), _stored(validation), progress=progress)

    def check_scored_data(self, config: C, target: data.Classes, source: data.Source) -> None:
        """Refuses classes that differ from the run's, and scores that its loss gives no meaning."""
        names = {term.name for term in parse_loss(config.optim.loss)}
        if source.classes.names != target.names:
            raise ValueError(
                f"the data set has the classes {', '.join(source.classes.names)}, the run was trained on "
                f"{', '.join(target.names)}: name the data set of the run with --data-root"
            )
        if self.calibration and has_independent_classes(config) and len(names) > 1:
            raise ValueError(
                f"--calibration needs one reading of logits, and the run learnt them with --optim.loss "
                f"{config.optim.loss!r}, of which bce reads each class by itself and the others a softmax: leave "
                "--calibration out"
            )

    def batches(self, config: C, source: data.Source, limit: int | None) -> Iterator[dict[str, np.ndarray]]:
        """See `Study`: `"image"`, `"label"`, and the `"size"` of each without padding."""
        return batches_of(source, config.eval_batch_size, normalization(config), limit, config.eval_shapes)

    def describe_data(self, config: C) -> Result:
        """See `Study`: images, split that is trained on, classes, and published weights."""
        file, found = weights_file(config.init), super().describe_data(config)
        if found:
            split = train_split(config.data)
            classes = open_source(config.data, split).classes
            found = {"name": found["name"], "train_split": split, "classes": list(classes.names), **found}
        return found if file is None else {**found, "weights": describe_weights(file)}

    def average_decay(self, config: C) -> float | None:
        """See `Learner`."""
        return config.optim.ema

    def with_weights(self, config: C, network: Network[M]) -> Network[M]:
        """See `Study`: published weights in the encoder."""
        return initialized(network, config.init)

    # Scores.

    def score(self, config: C, model: M, batch: Mapping[str, jax.Array]) -> tuple[Counts, jax.Array]:
        """Confusion matrices, and the masks."""
        labels = batch["label"]
        logits = self._averaged(config, model, batch["image"], (labels.shape[1], labels.shape[2]))
        masks = _classes_of(logits)
        cell = max(1, round(self.output_cell(config) / getattr(config.data, "scale", 1.0)))
        sizes, classes = batch["size"], logits.shape[-1]
        distance = self._distance(config)
        counts = count(labels, masks, sizes, num_classes=classes, boundary=distance, cell=cell)
        if self.calibration:
            counts = counts._replace(
                calibration=metrics.calibration_counts(labels, logits, independent=has_independent_classes(config))
            )
        return counts, masks

    def _distance(self, config: C) -> float | None:
        """The distance from contours of the boundary scores; None if they are not measured."""
        if self.boundary is None and config.primary == "mean_boundary_iou":
            return PUBLISHED_DISTANCE
        return self.boundary

    def ranked_by(self, config: C) -> str:
        """See `Study`: the declared score."""
        return config.primary

    def scores(self, totals: Tree) -> dict[str, float]:
        """See `Study`."""
        counts = _counts(totals)
        near = (
            {} if counts.boundary is None else {"mean_boundary_iou": float(metrics.mean_boundary_iou(counts.boundary))}
        )
        return {**scores(np.asarray(counts.pixels)), **isolated_share(counts.isolated), **near}

    def example(self, batch: Batch, outputs: Tree, row: int) -> Arrays:
        """The mask."""
        height, width = batch["size"][row]
        return {"mask": np.asarray(outputs[row, :height, :width], np.uint8)}

    def summarize(self, trained: Trained[C, data.Classes, M], source: data.Source, found: Scored) -> Summary:
        """The scores of a constant prediction and near contours, and masks by the index of their images."""
        masks = {str(index): arrays["mask"] for index, arrays in found.examples.items()}
        counts, distance = _counts(found.totals), self._distance(trained.config)
        results: Result = {"majority": majority_scores(np.asarray(counts.pixels))}
        if distance is not None:
            results["boundary"] = boundary_scores(counts, distance, source.classes.names)
        return Summary(results, masks)

    def details(self, trained: Trained[C, data.Classes, M], source: data.Source, found: Scored) -> Result:
        """The views of the images, and the scores by class."""
        names, counts = source.classes.names, _counts(found.totals)
        result: Result = {
            "averaging": {name: value for name, value in asdict(self.averaging).items() if name != "independent"},
            "iou": by_class(names, metrics.iou_per_class(counts.pixels)),
            "dice": by_class(names, metrics.dice_per_class(counts.pixels)),
        }
        if self.calibration:
            result["calibration"] = calibration_scores(counts)
        return result

    def qualifiers(self) -> list[str]:
        """See `Study`; seeing each image whole and once is the plain way."""
        averaging = self.averaging
        words = [] if averaging.tile is None else ["tile-{}x{}".format(*averaging.tile)]
        if averaging.scales != (1.0,):
            words.append("-".join(["scales", *(f"{scale:.6g}" for scale in sorted(averaging.scales))]))
        return [*words, *(["flip"] if averaging.flip else [])]

    # Presentation.

    def pictures(self, source: data.Source, found: Scored) -> Arrays:
        """Images, labels and masks side by side."""
        return {
            f"predictions/{index}": side_by_side(source, index, arrays["mask"])
            for index, arrays in found.examples.items()
        }

    def setting(self, result: Result) -> str:
        """See `Study`."""
        return ", ".join([super().setting(result), *report.views_of(result)])

    def score_table(self, result: Result) -> str:
        """The scores of each class and their means, and scores near contours if they were measured."""
        return report.score_table(result)

    def outcome(self, result: Result) -> str:
        """A line about a trained run."""
        return report.outcome(result)

    def reference_rows(
        self, comparison: Comparison[C], columns: int, keys: Sequence[str] = ("mean_iou", "pixel_accuracy")
    ) -> list[list[str]]:
        """See `report.reference_rows`."""
        return report.reference_rows(comparison, columns, keys)

    def preview(self, config: C, out: Path) -> Path:
        """See `Study`: images, and their labels."""
        with tempfile.TemporaryDirectory() as folder:
            drawn = Path(folder, DATA_PICTURE)
            name = data_label(config.data.name, config.data.root)
            title = f"What the networks learn: images of {name} (val), and their labels"
            datasets.draw_grid(_stored(self.open_split(config, "val")), drawn, images=4, title=title)
            write_bytes(out / DATA_PICTURE, drawn.read_bytes())
        return out / DATA_PICTURE

    def page(
        self,
        comparison: Comparison[C],
        table: str,
        scored: str,
        sections: tuple[str, ...] = (),
        seen: Seen | None = None,
    ) -> Page:
        """The report of a comparison, see `report.page`."""
        config = comparison.config
        if seen is not None and seen.fields:
            seen.draw(comparison, self.encoder_cell(config))
        return report.page(comparison, self.open_split(config, "val"), table, scored, sections, seen)


def has_independent_classes(config: DenseConfig) -> bool:
    """Whether the probability of each class is the sigmoid of its logit: binary cross entropy is in the loss.

    This also holds in a sum with losses of a softmax: these do not change if all logits of a pixel move together, so
    only the other term has taught their level.
    """
    return any(term.name == "bce" for term in parse_loss(config.optim.loss))


def _classes_of(logits: jax.Array) -> jax.Array:
    return jnp.argmax(logits, -1).astype(jnp.int32)


def _counts(totals: Tree) -> Counts:
    assert isinstance(totals, Counts)  # see `score`
    return totals


def _stored(source: data.Source) -> data.Source:
    """A source without the view of it."""
    return source.source if isinstance(source, data.ResizedSource) else source
