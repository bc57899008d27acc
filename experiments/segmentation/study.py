"""From a configuration to network, loss and optimiser, and from runs to the table."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from smoothjax import data, models, nn, training

from ..common.dense.averaging import resized
from ..common.dense.init import normalization
from ..common.dense.study import DenseStudy, deeplab_options, scaled
from ..common.network import Network, build_network, count, model_state_of
from ..common.report import align, median_seconds, spread
from ..common.study import Comparison, Page, Result
from .config import Config, learning_rate

STRIDE = 8


class SmoothedDilation(DenseStudy[Config]):
    """DeepLabv2, its dilated convolutions smoothed or not."""

    config: ClassVar[type[Config]] = Config
    labels: ClassVar[Mapping[str, str]] = {
        "none": "baseline",
        "multigrid": "multigrid",
        "group_interaction": "group interaction",
        "ss_conv": "SS convolution",
        "average_filter": "average filter",
        "gaussian_filter": "Gaussian filter",
        "aggregated_filters": "aggregated filters",
        "drn": "DRN",
        "lfe": "LFE",
        "duc": "DUC",
    }

    def title(self, config: Config) -> str:
        """The heading of a comparison."""
        return f"Degridding on {config.data.name}"

    def build_network(self, config: Config, num_classes: int) -> Network:
        """Initialises the network of a configuration."""
        options = deeplab_options(config.model, config.init, num_classes)
        return build_network(lambda rngs: models.DeepLab(**options, rngs=rngs), config.seed)

    def augmentation(self, config: Config) -> data.Augmentation:
        """Crops at random scales (Sec. 4.1)."""
        (low, high), (mean, std) = config.data.scale_range, normalization(config.init)
        return data.Augmentation(
            crop_size=config.data.crop_size,
            scale_range=(low * config.data.scale, high * config.data.scale),
            mirror=config.data.mirror,
            mean=mean,
            std=std,
        )

    def make_loss(self, config: Config, network: Network, num_classes: int) -> training.LossFn:
        """Cross entropy over the valid pixels, on the 1/8 grid or at full size (Sec. 4.1)."""
        optim = config.optim
        if optim.class_weights is not None and len(optim.class_weights) != num_classes:
            raise ValueError(
                f"--optim.class-weights must have one weight for each of the {num_classes} classes, got "
                f"{len(optim.class_weights)}"
            )
        weights = None if optim.class_weights is None else jnp.asarray(optim.class_weights)

        def loss_fn(params: Any, model_state: Any, batch: Any) -> training.LossOutput:
            model = nnx.merge(network.train_graph, params, model_state)
            logits, labels = model(batch["image"]), batch["label"]
            if optim.loss_at == "grid":
                labels = models.downsample_labels(labels, stride=STRIDE)
            elif config.model.head != "duc":  # whose logits are at full size already
                logits = models.upsample_logits(logits, labels.shape[1:], stride=STRIDE)
            loss_sum, pixels = training.cross_entropy(
                logits, labels, class_weights=weights, label_smoothing=optim.label_smoothing
            )
            return training.LossOutput(loss_sum, pixels, model_state_of(model))

        return loss_fn

    def make_optimizer(self, config: Config, params: Any) -> tuple[optax.GradientTransformation, optax.Schedule]:
        """SGD of the paper: L2 on kernels alone, larger rates in the head; degridding goes with the encoder."""
        optim = config.optim
        # Of a DUC, each pixel of a cell has weights of its own, and the mean over all pixels gives them as much less.
        pixels = STRIDE**2 if config.model.head == "duc" else 1
        factors = {"kernel": pixels * optim.head_kernel_multiplier, "bias": pixels * optim.head_bias_multiplier}

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

    def logits(self, config: Config, network: Network, params: Any, model_state: Any, images: jax.Array) -> jax.Array:
        """Logits at the size that the network sees, `config.data.scale` of the image."""
        model = nnx.merge(network.eval_graph, params, model_state)
        height, width = (scaled(length, config.data.scale) for length in images.shape[1:3])
        logits = model(resized(images, (height, width)))
        if config.model.head == "duc":
            return logits
        return models.upsample_logits(logits, (height, width), stride=STRIDE)

    def measure(self, config: Config, params: Any, initial: Any) -> Result:
        """Number of parameters beyond the baseline's, and the largest change of a smoothing parameter in training.

        The former is None for a DUC, whose run does not tell which head it stands for.
        """
        smoothers = jax.tree.leaves(training.label_parameters(params, nn.is_smoother))
        pairs = zip(smoothers, jax.tree.leaves(params), jax.tree.leaves(initial), strict=True)
        moved = [np.abs(np.asarray(now) - np.asarray(then)) for is_smoother, now, then in pairs if is_smoother]
        return {
            "extra_parameters": _extra_parameters(config, params),
            "largest_move": float(max((leaf.max() for leaf in moved), default=0.0)),
        }

    def report(self, comparison: Comparison[Config]) -> Page:
        """Mean over seeds, and spread where there are several."""
        header = [
            "method",
            "mean IoU %",
            "pixel accuracy %",
            "extra parameters",
            "largest change of a smoothing parameter",
            "initial rate",
            "s / step",
        ]
        rows, baseline = [], comparison.results.get("none")
        for method, runs in comparison.results.items():
            extra = runs[0]["extra_parameters"]
            if baseline is not None:
                extra = runs[0]["parameters"] - baseline[0]["parameters"]
            move = max(run["largest_move"] for run in runs)
            rows.append(
                [
                    self.labels[method],
                    spread([100 * run["val"]["mean_iou"] for run in runs]),
                    spread([100 * run["val"]["pixel_accuracy"] for run in runs]),
                    "-" if extra is None else f"{extra:,}",
                    f"{move:.3f}" if move else "-",
                    f"{learning_rate(comparison.variant(method, 0)):g}",
                    median_seconds(runs),
                ]
            )
        return self.page(comparison, align(header, [*rows, self.majority_row(comparison, len(header))]), "at full size")


def _extra_parameters(config: Config, params: Any) -> int | None:
    """Parameters beyond those of the network without degridding, of which it computes none."""
    if config.method == "duc":
        return None
    options = deeplab_options(replace(config.model, smoothing="none"), config.init, _num_classes(config, params))
    abstract = nnx.eval_shape(lambda: models.DeepLab(**options, rngs=nnx.Rngs(0)))
    return count(params) - count(nnx.to_pure_dict(nnx.state(abstract, nnx.Param)))


def _num_classes(config: Config, params: Any) -> int:
    """As many as the head has biases, for every pixel of a cell in a DUC."""
    if config.model.head == "duc":
        return params["head"]["conv"]["bias"].size // STRIDE**2
    return params["head"]["branches"][0]["bias"].size


STUDY = SmoothedDilation()
