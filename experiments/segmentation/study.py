"""Makes network, loss and optimiser from a configuration, and the table from runs."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import jax
import optax
from flax import nnx

from smoothjax import data, models, nn

from ..common.comparison import Comparison, Page, Result
from ..common.config import with_options
from ..common.dense.init import deeplab_options, normalization
from ..common.dense.optimizer import make_loss, make_optimizer
from ..common.dense.report import primary_column
from ..common.dense.seen import seen_of
from ..common.dense.sources import scaled
from ..common.dense.study import DenseStudy
from ..common.labels import data_label
from ..common.learner import Loss
from ..common.network import Tree
from ..common.parameters import count, largest_move
from ..common.report import align, median_seconds, spread
from ..common.study import Trained
from .config import METHODS, Config

STRIDE = 8

_KNOWN = (
    "A setting in which the difference is known to be visible: only a 1x1 convolution precedes the dilated layers. "
    "Behind a 3x3 one (--model.stem 3), as in most networks, experiments.gridding has found no gain in mean IoU, and a "
    "loss with thin objects."
)


@dataclass(frozen=True)
class SmoothedDilation(DenseStudy[Config, models.DeepLab]):
    """DeepLabv2 with or without smoothed dilated convolutions."""

    config = Config
    labels: ClassVar[Mapping[str, str]] = {name: method.label for name, method in METHODS.items()}

    def title(self, config: Config) -> str:
        """The heading of a comparison."""
        return f"Degridding on {data_label(config.data.name, config.data.root)}"

    def make_model(self, config: Config, target: data.Classes, rngs: nnx.Rngs) -> models.DeepLab:
        """DeepLabv2 with the architecture that its encoder's weights require."""
        return models.DeepLab(
            **deeplab_options(config.model, config.init, len(target), config.data.channels), rngs=rngs
        )

    def encoder_cell(self, config: Config) -> int:
        """See `DenseStudy`."""
        return _stride(config)

    def output_cell(self, config: Config) -> int:
        """See `DenseStudy`; a DUC has an output for every pixel."""
        return 1 if config.model.head == "duc" else _stride(config)

    def output_layers(self, config: Config) -> Sequence[tuple[Hashable, ...]]:
        """See `Study`."""
        return [("head",)]

    def method_layers(self, config: Config) -> Sequence[tuple[Hashable, ...]]:
        """See `Study`: the layers that drn and lfe add."""
        return [("degridding",)]

    def augmentation(self, config: Config, target: data.Classes) -> data.Augmentation:
        """Crops at random scales (Sec. 4.1)."""
        (low, high), (mean, std) = config.data.scale_range, normalization(config)
        return data.Augmentation(
            crop_size=config.data.crop_size,
            scale_range=(low * config.data.scale, high * config.data.scale),
            mirror=config.data.mirror,
            mean=mean,
            std=std,
        )

    def loss(self, config: Config, model: models.DeepLab, batch: Mapping[str, jax.Array]) -> Loss:
        """The loss over the valid pixels, on the 1/8 grid or at full size; cross entropy in the paper (Sec. 4.1)."""
        optim, logits, labels = config.optim, model(batch["image"]), batch["label"]
        align = config.model.align
        if optim.loss_at == "grid":
            labels = models.downsample_labels(labels, stride=_stride(config), align=align)
        else:
            logits = _at_full_size(config, logits, (labels.shape[1], labels.shape[2]))
        return Loss(*make_loss(optim)(logits, labels))

    def make_optimizer(self, config: Config, params: Tree) -> tuple[optax.GradientTransformation, optax.Schedule]:
        """SGD of the paper, or another optimiser: decay only on kernels, other rates in the head and for smoothing."""
        optim = config.optim
        # In a DUC each pixel of a cell has its own weights, and the mean over all pixels reduces their gradients by as
        # much; the steps of AdamW do not depend on the scale of gradients.
        pixels = _stride(config) ** 2 if config.model.head == "duc" and optim.optimizer == "sgd" else 1
        factors = {"kernel": pixels * optim.head_kernel_multiplier, "bias": pixels * optim.head_bias_multiplier}

        def multiplier(path: tuple[str | int, ...]) -> float:
            if nn.is_smoother(path):
                return optim.smoothing_multiplier
            return factors[str(path[-1])] if path[0] == "head" else 1.0

        return make_optimizer(optim, config.initial_rate, config.steps, params, multiplier)

    def logits(self, config: Config, model: models.DeepLab, images: jax.Array) -> jax.Array:
        """Logits at the size that the network sees, `config.data.scale` of the image."""
        height, width = (scaled(length, config.data.scale) for length in images.shape[1:3])
        return _at_full_size(config, model(models.resample(images, (height, width))), (height, width))

    def usage(self, config: Config, path: Path) -> str:
        """See `Study`; the file does not record the scale at which the network saw the images."""
        scales = "" if config.data.scale == 1 else f", scales=({config.data.scale:g},)"
        return f'mask = models.segment(model, image, prepare=weights.describe("{path}").preprocessing{scales})'

    def measure(self, trained: Trained[Config, data.Classes, models.DeepLab]) -> Result:
        """Number of parameters beyond the baseline's, and the largest change of a smoothing parameter in training.

        The former is None for a DUC: its run does not record which head it replaces.
        """
        params = trained.state.params
        return {
            "extra_parameters": self._extra_parameters(trained.config, trained.target, params),
            "largest_move": largest_move(params, trained.network.params),
        }

    def _extra_parameters(self, config: Config, target: data.Classes, params: Tree) -> int | None:
        """Parameters beyond those of the network without degridding, whose values are not computed."""
        if config.method == "duc":
            return None
        baseline = with_options(config, {"model.smoothing": "none"})
        if baseline == config:
            return 0
        abstract = nnx.eval_shape(lambda: self.make_model(baseline, target, nn.traced_rngs(0)))
        return count(params) - count(nnx.to_pure_dict(nnx.state(abstract, nnx.Param)))

    def report(self, comparison: Comparison[Config]) -> Page:
        """Mean over seeds, and spread if there are several."""
        seen, (declared, cells) = seen_of(self, comparison), primary_column(comparison.config, comparison.results)
        header = [
            "method", "mean IoU %", "pixel accuracy %", *declared, *seen.columns, "extra parameters",
            "largest change of a smoothing parameter", "initial rate", "s / step",
        ]  # fmt: skip
        rows, baseline = [], comparison.results.get("none")
        for (method, runs), primary in zip(comparison.results.items(), cells, strict=True):
            extra = runs[0]["extra_parameters"]
            if baseline is not None:
                extra = runs[0]["parameters"] - baseline[0]["parameters"]
            move = max(run["largest_move"] for run in runs)
            rows.append(
                [
                    self.labels[method],
                    spread([100 * run["val"]["mean_iou"] for run in runs]),
                    spread([100 * run["val"]["pixel_accuracy"] for run in runs]),
                    *primary,
                    *seen.cells(method, runs),
                    "-" if extra is None else f"{extra:,}",
                    f"{move:.3f}" if move else "-",
                    f"{comparison.variant(method, 0).initial_rate:g}",
                    median_seconds(runs),
                ]
            )
        model = comparison.config.model
        known = (_KNOWN,) if model.is_stack and model.stem == 1 else ()
        table = align(header, [*rows, *self.reference_rows(comparison, len(header))])
        return self.page(comparison, table, "at full size", known, seen)


def _stride(config: Config) -> int:
    """Pixels between two cells of the encoder's output."""
    return 1 if config.model.is_stack else STRIDE


def _at_full_size(config: Config, logits: jax.Array, size: tuple[int, int]) -> jax.Array:
    if config.model.head == "duc" or _stride(config) == 1:
        return logits  # which are at full size already
    return models.upsample_logits(logits, size, stride=_stride(config), align=config.model.align)


STUDY = SmoothedDilation()
