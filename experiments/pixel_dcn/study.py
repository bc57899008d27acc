"""Makes network, loss and optimiser from a configuration, and the table from runs."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import jax
import optax
from flax import nnx

from smoothjax import data, models

from ..common.comparison import Comparison, Page, Result
from ..common.dense.init import deeplab_options, normalization
from ..common.dense.optimizer import make_loss, make_optimizer
from ..common.dense.report import primary_column
from ..common.dense.seen import seen_of
from ..common.dense.study import DenseStudy
from ..common.labels import data_label
from ..common.learner import Loss
from ..common.methods import UPSAMPLING_LABELS, order_of
from ..common.network import Tree, compute_dtype
from ..common.parameters import count, masked_taps
from ..common.report import align, median_seconds, spread
from ..common.study import Trained
from .config import Config
from .published import published_section

UpsamplingModel = models.UNet | models.DeepLabUpsampled


@dataclass(frozen=True)
class PixelDeconvolution(DenseStudy[Config, UpsamplingModel]):
    """A U-Net, or DeepLab with three up-sampling blocks; images and labels are resized as a whole (Sec. 3.1)."""

    config = Config
    labels: ClassVar[Mapping[str, str]] = UPSAMPLING_LABELS

    def title(self, config: Config) -> str:
        """The heading of a comparison."""
        network = {"unet": "U-Net", "deeplab": "DeepLab"}[config.model.network]
        return f"Up-sampling in a {network} on {data_label(config.data.name, config.data.root)}"

    def view(self, config: Config, source: data.Source) -> data.Source:
        """Images and labels of one size."""
        return data.ResizedSource(source, config.data.size)

    def export_size(self, config: Config) -> tuple[int, int]:
        """The size of training images: the caller resizes images."""
        return config.data.size

    def make_model(self, config: Config, target: data.Classes, rngs: nnx.Rngs) -> UpsamplingModel:
        """U-Net, or DeepLab with the architecture that its encoder's weights require and three up-sampling blocks."""
        model = config.model
        order = order_of(model.upsampling, model.order)
        if model.network == "deeplab":
            options = deeplab_options(model, config.init, len(target), config.data.channels)
            deeplab = models.DeepLab(**options, rngs=rngs)
            return models.DeepLabUpsampled(deeplab, upsampling=model.upsampling, order=order, rngs=rngs)
        return models.UNet(
            num_classes=len(target),
            upsampling=model.upsampling,
            order=order,
            depth=model.depth,
            width=model.width,
            in_features=config.data.channels,
            batch_norm=model.batch_norm,
            dtype=compute_dtype(model.precision),
            rngs=rngs,
        )

    def output_layers(self, config: Config) -> Sequence[tuple[Hashable, ...]]:
        """See `Study`: all layers after a DeepLab have one channel per class."""
        if config.model.network == "deeplab":
            return [("deeplab", "head"), ("convs",), ("upsampling",)]
        last = config.model.depth - 2
        return [("up", last, "conv2"), ("up", last, "bn2")]

    def method_layers(self, config: Config) -> Sequence[tuple[Hashable, ...]]:
        """See `Study`."""
        return [("upsampling",)]

    def method_key(self, config: Config) -> Hashable:
        """See `Study`."""
        return config.method, order_of(config.model.upsampling, config.model.order)

    def augmentation(self, config: Config, target: data.Classes) -> data.Augmentation:
        """The whole image, perhaps mirrored."""
        size, (mean, std) = config.data.size, normalization(config)
        return data.Augmentation(size, scale_range=(1, 1), mirror=config.data.mirror, mean=mean, std=std)

    def loss(self, config: Config, model: UpsamplingModel, batch: Mapping[str, jax.Array]) -> Loss:
        """The loss over the valid pixels at full resolution, by default cross entropy."""
        return Loss(*make_loss(config.optim)(model(batch["image"]), batch["label"]))

    def make_optimizer(self, config: Config, params: Tree) -> tuple[optax.GradientTransformation, optax.Schedule]:
        """Adam at a constant rate, or another."""
        return make_optimizer(config.optim, config.initial_rate, config.steps, params)

    def logits(self, config: Config, model: UpsamplingModel, images: jax.Array) -> jax.Array:
        """Logits at the size that the network sees."""
        return model(images)

    def measure(self, trained: Trained[Config, data.Classes, UpsamplingModel]) -> Result:
        """Number of parameters of the up-sampling layers, without masked taps."""
        layers = trained.state.params["upsampling"]
        masked = masked_taps(layers) if trained.config.method == "fast_pixel_dcl" else 0
        return {"upsampling_parameters": count(layers) - masked, "masked_parameters": masked}

    def report(self, comparison: Comparison[Config]) -> Page:
        """Mean over seeds, and spread if there are several; below it Table 1."""
        scores = {"pixel_accuracy": "pixel accuracy %", "mean_iou": "mean IoU %"}
        seen, (declared, cells) = seen_of(self, comparison), primary_column(comparison.config, comparison.results)
        header = [
            "method",
            *scores.values(),
            *declared,
            *seen.columns,
            "up-sampling parameters",
            "all parameters",
            "s / step",
        ]
        rows = [
            [
                self.labels[method],
                *(spread([100 * run["val"][key] for run in runs]) for key in scores),
                *primary,
                *seen.cells(method, runs),
                f"{runs[0]['upsampling_parameters']:,}",
                f"{runs[0]['parameters'] - runs[0]['masked_parameters']:,}",
                median_seconds(runs),
            ]
            for (method, runs), primary in zip(comparison.results.items(), cells, strict=True)
        ]
        rows += self.reference_rows(comparison, len(header), tuple(scores))
        height, width = comparison.config.data.size
        sections = [published_section(comparison.config)]
        if "fast_pixel_dcl" in comparison.results:
            sections.insert(0, "The masked taps of the fast form are not counted as parameters.")
        return self.page(comparison, align(header, rows), f"at {height}x{width}", tuple(sections), seen)


STUDY = PixelDeconvolution()
