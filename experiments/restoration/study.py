"""From a configuration to network, loss and optimiser, and from runs to table and figures."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh

from smoothjax import data, models, nn, training

from ..common.network import Network, build_network, compute_dtype, model_state_of
from ..common.report import align, median_seconds, spread
from ..common.study import Comparison, Curve, Evaluation, Job, Page, Result, Study
from ..common.train import read_examples
from .batches import Prepare, check_sources
from .config import Config
from .figures import draw_columns
from .haze import Haze
from .scores import Scorer
from .sources import describe_images, open_source


class Restoration(Study[Config]):
    """GCANet, its dilated convolutions smoothed or not."""

    config: ClassVar[type[Config]] = Config
    labels: ClassVar[Mapping[str, str]] = {
        "none": "baseline",
        "group_interaction": "group interaction",
        "ss_conv": "SS convolution",
    }
    metric: ClassVar[str] = "psnr"
    mode: ClassVar[Literal["max", "min"]] = "max"
    curves: ClassVar[tuple[Curve, ...]] = (
        Curve("train", "loss", "Training", "mean squared error, (0 .. 255)²"),
        Curve("val", "psnr", "Validation", "PSNR (dB)", from_zero=False),
        Curve("val", "ssim", "Validation", "SSIM", from_zero=False),
    )

    def title(self, config: Config) -> str:
        """The heading of a comparison."""
        return {
            "shapes": "Dehazing drawn shapes",
            "folder": f"Restoration of pairs ({config.model.task})",
            "haze": "Dehazing images in synthetic haze",
        }[config.data.name]

    def describe_data(self, config: Config) -> Mapping[str, Any]:
        """See `Study`: the images of training and validation."""
        return describe_images(config.data)

    def build_network(self, config: Config) -> Network:
        """Initialises the network of a configuration."""
        model = config.model
        return build_network(
            lambda rngs: models.GCANet(
                task=model.task,
                smoothing=model.smoothing,
                width=model.width,
                dtype=compute_dtype(model.precision),
                rngs=rngs,
            ),
            config.seed,
        )

    def make_loss(self, config: Config, network: Network) -> training.LossFn:
        """The mean squared error of the restored image in units of 0 .. 255, not rounded."""

        def loss_fn(params: Any, model_state: Any, batch: Any) -> training.LossOutput:
            model = nnx.merge(network.train_graph, params, model_state)
            image, clean = batch["image"], batch["clean"]
            # For "dehaze" the target is the residual.
            target = clean - image if config.model.task == "dehaze" else clean
            output = model(models.gcanet_input(image))[:, : image.shape[1], : image.shape[2]]
            errors = jnp.mean(jnp.square(output - target), (1, 2, 3))
            return training.LossOutput(errors.sum(), jnp.asarray(errors.shape[0], jnp.float32), model_state_of(model))

        return loss_fn

    def make_optimizer(self, config: Config, params: Any) -> tuple[optax.GradientTransformation, optax.Schedule]:
        """Adam."""
        del params
        rate = config.optim.learning_rate
        if not 0 < rate < float("inf"):
            raise ValueError(f"--optim.learning-rate must be positive and finite, got {rate}")
        schedule = optax.cosine_decay_schedule(rate, config.steps)
        return optax.adam(schedule), schedule

    def prepare(self, config: Config, mesh: Mesh, *, progress: bool) -> Job:
        """Opens the data and builds the network."""
        augmentation = Prepare(config.data.crop_size, config.data.mirror, Haze(config.haze))
        source, validation = (open_source(config.data, split) for split in ("train", "val"))
        check_sources({"train": source, "val": validation}, config, progress=progress)
        stream: Any = source  # what the pipeline needs of a source: examples by index
        iterator = data.train_iterator(
            stream,
            augmentation=augmentation,
            batch_size=config.batch_size,
            seed=config.seed,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )
        network = self.build_network(config)
        loss_fn = self.make_loss(config, network)
        optimizer, schedule = self.make_optimizer(config, network.params)
        scorer = Scorer(config, network, mesh)

        def evaluate(state: training.TrainState, limit: int | None) -> Evaluation:
            return Evaluation(*scorer.score(state, validation, limit=limit, keep=limit is None))

        def summarize(state: training.TrainState, last: Evaluation) -> tuple[Result, Mapping[str, np.ndarray]]:
            return self.measure(state.params, network.params), last.details

        return Job(iterator, network, loss_fn, optimizer, schedule, evaluate, summarize)

    def measure(self, params: Any, initial: Any) -> Result:
        """Number of smoothing parameters, and the largest change of one since it was the identity."""
        smoothers = jax.tree.leaves(training.label_parameters(params, nn.is_smoother))
        pairs = zip(smoothers, jax.tree.leaves(params), jax.tree.leaves(initial), strict=True)
        moved = [np.abs(np.asarray(now) - np.asarray(then)) for is_smoother, now, then in pairs if is_smoother]
        return {
            "extra_parameters": int(sum(leaf.size for leaf in moved)),
            "largest_move": float(max((leaf.max() for leaf in moved), default=0.0)),
        }

    def outcome(self, result: Result) -> str:
        """A line about a trained run."""
        val = result["val"]
        return (
            f"PSNR {val['psnr']:.2f} dB, SSIM {val['ssim']:.3f} (the degraded images: {val['degraded_psnr']:.2f} dB, "
            f"{val['degraded_ssim']:.3f})"
        )

    def report(self, comparison: Comparison[Config]) -> Page:
        """Mean over seeds, and spread where there are several; the degraded images come first."""
        header = [
            "method", "PSNR dB", "SSIM", "extra parameters", "largest change of a smoothing parameter", "s / step"
        ]  # fmt: skip
        first = next(iter(comparison.results.values()))[0]["val"]
        rows = [["the degraded images", f"{first['degraded_psnr']:.2f}", f"{first['degraded_ssim']:.3f}", *"---"]]
        for method, runs in comparison.results.items():
            moved = f"{max(run['largest_move'] for run in runs):.3f}" if runs[0]["extra_parameters"] else "-"
            rows.append(
                [
                    self.labels[method],
                    spread([run["val"]["psnr"] for run in runs], 2),
                    spread([run["val"]["ssim"] for run in runs], 3),
                    f"{runs[0]['extra_parameters']:,}",
                    moved,
                    median_seconds(runs),
                ]
            )
        config, validation = comparison.config, open_source(comparison.config.data, "val")
        setting = f"""Validation split of {config.data.name}: {len(validation)} whole images, scored at 8 bits against
the clean ones (PSNR of equal images counts as 100 dB), after {config.steps:,} steps of {config.batch_size} images."""
        if config.data.name != "folder":
            ranges = {name: getattr(config.haze, name) for name in ("airlight", "beta", "depth")}
            told = ", ".join(f"{name} {low:g} .. {high:g}" for name, (low, high) in ranges.items())
            setting += f"\nHaze of each image: {told}."
        return Page(align(header, rows), setting, figures=self._draw(comparison))

    def _draw(self, comparison: Comparison[Config]) -> Mapping[str, str]:
        examples = {
            method: read_examples(comparison.folder(method, comparison.seeds[0])) for method in comparison.results
        }
        arrays = next(iter(examples.values()))
        indices = sorted(int(name.split("-")[1]) for name in arrays if name.startswith("clean-"))
        if not indices:
            return {}
        scores = {method: runs[0]["val"] for method, runs in comparison.results.items()}
        degraded = next(iter(scores.values()))["degraded_psnr"]
        columns = {f"degraded\n{degraded:.2f} dB": [arrays[f"degraded-{index}"] for index in indices]}
        for method, kept in examples.items():
            label = f"{comparison.labels[method]}\n{scores[method]['psnr']:.2f} dB"
            columns[label] = [kept[f"restored-{index}"] for index in indices]
        columns["clean\n"] = [arrays[f"clean-{index}"] for index in indices]
        title = f"{comparison.title}, seed {comparison.seeds[0]}"
        draw_columns(columns, comparison.out / "restored.png", title=title)
        return {"restored.png": "Restored images"}


STUDY = Restoration()
