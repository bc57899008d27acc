"""What studies of semantic segmentation share: everything except the network, and where its loss is taken."""

import tempfile
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from smoothjax import data, datasets, metrics, models, training, weights
from smoothjax.loss_terms import parse_loss

from ..comparison import Comparison, Curve, Page, Result
from ..config import with_options
from ..identity import describe_weights
from ..network import M, Network, Tree, compute_dtype
from ..report import spread
from ..run_files import CLASSES_FILE, Json, read_examples, read_result
from ..run_folder import load_config
from ..stored import StoredStudy
from ..study import Arrays, Batch, Scored, Summary, Trained
from ..writing import write_bytes
from .config import DRAWN, DeepLabConfig, DenseConfig, InitConfig
from .figures import draw_predictions, side_by_side
from .init import architecture, initialized, normalization, weights_file
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
from .seen import HOW_TO_READ, PICTURE, Seen, verdict
from .sources import batches_of, check_images, images_root, note_on_sizes, note_on_split, open_source, train_split

#: Options that say which images are scored, and at what size.
_SCORED_ON = ("name", "root", "classes", "val_images", "image_size", "size")

C = TypeVar("C", bound=DenseConfig)

#: In the folder of a comparison, before anything is trained.
DATA_PICTURE = "data.png"


@dataclass(frozen=True)
class DenseStudy(StoredStudy[C, data.Classes, data.Source, M]):
    """What studies of semantic segmentation share.

    Attributes:
      averaging: how an image is seen where it is scored.
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
        """Pixels between two outputs of the encoder, of the image as the network sees it."""
        return 8

    def output_cell(self, config: C) -> int:
        """Pixels between two outputs of the network, likewise; between them logits are interpolated."""
        return 1

    def export_size(self, config: C) -> tuple[int, int] | None:
        """The only size of images that an exported network takes; None where it takes any."""
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
        """The classes, of which each has a weight in the loss, or none has."""
        classes, given = source.classes, config.optim.class_weights
        if isinstance(given, tuple) and len(given) != len(classes):
            raise ValueError(
                f"--optim.class-weights must have one weight for each of the {len(classes)} classes, got {len(given)}"
            )
        return classes

    def measured(self, config: C, source: data.Source, kept: Json, *, progress: bool) -> tuple[C, Json]:
        """See `Learner`: class weights by a rule."""
        split = train_split(config.data)
        channels = config.data.channels
        found = class_weights(config.optim, _stored(source), split, kept, progress=progress, channels=channels)
        if found is None:
            return config, {}
        return with_options(config, {"optim.class_weights": found[0]}), found[1]

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
        """How training examples are scaled, mirrored and cropped."""

    def training_augmentation(self, config: C, target: data.Classes, source: data.Source) -> data.Augmentation:
        """See `Learner`: further variation, the same for every study; crops are balanced by the counts of the split."""
        weights = ()
        if config.data.augment.balanced:
            shown, channels = jax.process_index() == 0, config.data.channels
            counts = datasets.count_labels(_stored(source), progress=shown, channels=channels)
            weights = tuple(datasets.median_frequency_weights(counts).tolist())
        return replace(self.augmentation(config, target), strengths=config.data.augment, crop_weights=weights)

    def check_training_data(self, config: C, source: data.Source, validation: data.Source, *, progress: bool) -> None:
        """Reads all files of a folder; drawn images need no check, and prepared ones have been checked."""
        if note := note_on_split(config.data):
            training.say(f"note: {note}")
        if note := note_on_sizes(validation, config.eval_shapes):
            training.say(f"note: {note}")
        check_images(config.data, _stored(source), _stored(validation), progress=progress)

    def check_scored_data(self, config: C, target: data.Classes, source: data.Source) -> None:
        """Refuses other classes than those that were learnt, and scores that the loss gives no meaning."""
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
        counts = count(labels, masks, sizes, num_classes=classes, boundary=self.boundary, cell=cell)
        if self.calibration:
            counts = counts._replace(
                calibration=metrics.calibration_counts(labels, logits, independent=has_independent_classes(config))
            )
        return counts, masks

    def scores(self, totals: Tree) -> dict[str, float]:
        """See `Study`."""
        counts = _counts(totals)
        return {**scores(np.asarray(counts.pixels)), **isolated_share(counts.isolated)}

    def example(self, batch: Batch, outputs: Tree, row: int) -> Arrays:
        """The mask."""
        height, width = batch["size"][row]
        return {"mask": np.asarray(outputs[row, :height, :width], np.uint8)}

    def summarize(self, trained: Trained[C, data.Classes, M], source: data.Source, found: Scored) -> Summary:
        """The scores of a constant answer, and masks by the index of their images."""
        masks = {str(index): arrays["mask"] for index, arrays in found.examples.items()}
        return Summary({"majority": majority_scores(np.asarray(_counts(found.totals).pixels))}, masks)

    def details(self, trained: Trained[C, data.Classes, M], source: data.Source, found: Scored) -> Result:
        """How images were seen, and the scores by class."""
        names, counts = source.classes.names, _counts(found.totals)
        result: Result = {
            "averaging": {name: value for name, value in asdict(self.averaging).items() if name != "independent"},
            "iou": by_class(names, metrics.iou_per_class(counts.pixels)),
            "dice": by_class(names, metrics.dice_per_class(counts.pixels)),
        }
        if self.boundary is not None:
            result["boundary"] = boundary_scores(counts, self.boundary, names)
        if self.calibration:
            result["calibration"] = calibration_scores(counts)
        return result

    def qualifiers(self) -> list[str]:
        """See `Study`; an image that is seen whole and once is the plain way."""
        averaging = self.averaging
        words = [] if averaging.tile is None else ["tile-{}x{}".format(*averaging.tile)]
        if averaging.scales != (1.0,):
            words.append("-".join(["scales", *(f"{scale:.6g}" for scale in sorted(averaging.scales))]))
        return [*words, *(["flip"] if averaging.flip else [])]

    # What is shown.

    def pictures(self, source: data.Source, found: Scored) -> Arrays:
        """Images, labels and masks side by side."""
        return {
            f"predictions/{index}": side_by_side(source, index, arrays["mask"])
            for index, arrays in found.examples.items()
        }

    def setting(self, result: Result) -> str:
        """See `Study`."""
        words, averaging = [super().setting(result)], result.get("averaging", {})
        if averaging.get("tile") is not None:
            words.append("tiles of {} x {}".format(*averaging["tile"]))
        if list(averaging.get("scales", [1.0])) != [1.0]:
            words.append(f"scales {' '.join(f'{scale:g}' for scale in averaging['scales'])}")
        if averaging.get("flip"):
            words.append("mirrored, too")
        if result.get("boundary"):
            words.append(f"with scores within {100 * result['boundary']['distance']:g} % of contours")
        if result.get("calibration"):
            words.append("with the calibration error")
        if result.get("data_root") is not None:
            words.append(f"images in {result['data_root']}")
        return ", ".join(words)

    def score_table(self, result: Result) -> str:
        """The scores of each class and their means, and those near contours where they were measured."""
        columns: dict[str, dict[str, float | None]] = {"IoU %": result["iou"], "Dice %": result["dice"]}
        means: dict[str, list[float | None]] = {
            "mean": [result["mean_iou"], result["mean_dice"]],
            "pixel accuracy %": [result["pixel_accuracy"]],
        }
        near, calibration = result.get("boundary"), result.get("calibration")
        if near is not None:
            columns |= {"boundary IoU %": near["boundary_iou"], "trimap IoU %": near["trimap_iou"]}
            means["mean"] += [near["mean_boundary_iou"], near["trimap_mean_iou"]]
        if calibration is not None:
            means["calibration error %"] = [calibration["error"]]
        lines = ["  ".join([" " * 20, *columns])]
        rows = {name: [column[name] for column in columns.values()] for name in result["iou"]} | means
        for name, values in rows.items():
            cells = ["absent" if value is None else f"{100 * value:.1f}" for value in values]
            padded = (cell.rjust(len(head)) for cell, head in zip(cells, columns, strict=False))
            lines.append("  ".join([name.rjust(20), *padded]))
        if near is not None:
            lines.append(
                f"boundary and trimap: pixels within {100 * near['distance']:g} % of the image's diagonal of a contour"
            )
        return "\n".join(lines)

    def outcome(self, result: Result) -> str:
        """A line about a trained run."""
        val, majority = result["val"], result["majority"]
        return (
            f"mean IoU {100 * val['mean_iou']:.1f} %, pixel accuracy {100 * val['pixel_accuracy']:.1f} % (always the "
            f"most frequent class: {100 * majority['mean_iou']:.1f} %, {100 * majority['pixel_accuracy']:.1f} %)"
        )

    def reference_rows(
        self, comparison: Comparison[C], columns: int, keys: Sequence[str] = ("mean_iou", "pixel_accuracy")
    ) -> list[list[str]]:
        """Rows below a table that begins with the method and these scores: where the runs began, a constant answer."""
        rows: dict[str, Mapping[str, float]] = {}
        before = self.parent_scores(comparison.config)
        if before is not None and before.keys() >= set(keys):
            rows[f"{comparison.config.init.parent}, before"] = before
        rows["always the most frequent class"] = next(iter(comparison.results.values()))[0]["majority"]
        scores = {name: [spread([100 * values[key]]) for key in keys] for name, values in rows.items()}
        return [[name, *cells, *["-"] * (columns - 1 - len(cells))] for name, cells in scores.items()]

    def parent_scores(self, config: C) -> Mapping[str, float] | None:
        """What the run that the weights began with scored on the same split; None where that is not known any more."""
        parent = config.init.parent
        if parent is None or config.init.take != "latest":
            return None
        try:
            there = load_config(parent, self.config).data
            same = all(getattr(there, name, None) == getattr(config.data, name, None) for name in _SCORED_ON)
            return read_result(parent)["val"] if same else None
        except (FileNotFoundError, ValueError):  # a report does not fail for it
            return None

    def preview(self, config: C, out: Path) -> Path:
        """See `Study`: images, and their labels."""
        with tempfile.TemporaryDirectory() as folder:
            drawn = Path(folder, DATA_PICTURE)
            title = f"What the networks learn: images of {config.data.name} (val), and their labels"
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
        """The report of a comparison, with a figure of predictions; `scored` says at what size."""
        config, seed = comparison.config, comparison.seeds[0]
        validation = self.open_split(config, "val")
        masks = {
            self._heading(comparison.labels[method], runs[0]["val"]): {
                int(index): mask for index, mask in read_examples(comparison.folder(method, seed)).items()
            }
            for method, runs in comparison.results.items()
        }
        said, lines = verdict(comparison, config.baseline)
        title = f"{comparison.title}, seed {seed}" + f": {said}" * bool(said)
        draw_predictions(validation, masks, comparison.out / "predictions.png", title=title)
        lengths = {run["steps"] for runs in comparison.results.values() for run in runs}
        steps = f"{min(lengths):,} to {max(lengths):,}" if len(lengths) > 1 else f"{lengths.pop():,}"
        setting = (
            f"Validation split of {config.data.name}: {len(validation)} images, scored {scored} after "
            f"{steps} steps of\n{config.batch_size} images."
        )
        if note := note_on_split(config.data):
            setting = f"{setting} {note}"
        if config.init.parent is not None:
            setting = f"{setting} Started from the weights of {config.init.parent}."
        # Where several processes share the work, none has seen a whole mask.
        figures = {"predictions.png": "Predictions"} if any(masks.values()) else {}
        if len(comparison.seeds) > 1 and lines:
            differing = "\n".join(f"- {line}" for line in lines)
            sections = (f"Paired differences over seeds, with 95 % intervals, in points:\n\n{differing}", *sections)
        if seen is not None and seen.fields:
            seen.draw(comparison, self.encoder_cell(config))
            figures = {PICTURE: "Receptive fields of all dilated layers", **figures}
            sections = (*sections, "\n".join(HOW_TO_READ))
        return Page(table, setting, sections, figures)

    def _heading(self, label: str, val: Result) -> str:
        isolated = f"\nisolated {100 * val['isolated_pixels']:.2f} %" if "isolated_pixels" in val else ""
        return f"{label}\nmIoU {spread([100 * val['mean_iou']])} %{isolated}"


def has_independent_classes(config: DenseConfig) -> bool:
    """Whether each class has a probability of its own, the sigmoid of its logit: binary cross entropy is in the loss.

    In a sum with losses of a softmax as well: what these learn stays the same where all logits of a pixel move
    together, and only the other term has taught how high they are.
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


def deeplab_options(config: DeepLabConfig, init: InitConfig, num_classes: int, in_features: int = 3) -> dict[str, Any]:
    """The arguments of `models.DeepLab`, except the source of randomness; published weights determine some of them."""
    own: dict[str, Any] = {}
    if config.is_residual:
        own = {"stride_in": config.stride_in, "width": config.width}
    elif config.is_stack:
        own = {"stem": config.stem, "width": config.width}
    return {
        "encoder": config.encoder,
        "head": config.head,
        "num_classes": num_classes,
        "smoothing": config.smoothing,
        "head_rates": config.head_rates,
        "batch_norm": config.batch_norm,
        "in_features": in_features,
        "remat": config.remat,
        "dtype": compute_dtype(config.precision),
        **own,
        **architecture(init),
    }
