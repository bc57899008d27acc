"""From a configuration to network, loss and optimiser, and from runs to table and figures."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh

from smoothjax import data, models, training

from ..common.network import Network, build_network, compute_dtype, count, model_state_of
from ..common.report import align, median_seconds, spread
from ..common.study import Comparison, Curve, Evaluation, Job, Page, Result, Study
from ..common.train import read_examples
from ..common.upsampling import UPSAMPLING_LABELS, masked_taps
from .config import Config
from .figures import draw_strips, grid
from .scores import Scorer
from .sources import Prepare, describe_images, open_source

# Column, entry of result.json, digits.
_COLUMNS = (
    ("ELBO, nats / image", "elbo", 1),
    ("bits / dim", "bits_per_dimension", 3),
    ("PSNR dB", "psnr", 2),
    ("SSIM", "ssim", 3),
    ("checkerboard of samples", "checkerboard", 2),
)
_STRIP = 8


class VAE(Study[Config]):
    """Auto-encoders that differ in the up-sampling layers of their decoders."""

    config: ClassVar[type[Config]] = Config
    labels: ClassVar[Mapping[str, str]] = UPSAMPLING_LABELS
    metric: ClassVar[str] = "elbo"
    mode: ClassVar[Literal["max", "min"]] = "max"
    curves: ClassVar[tuple[Curve, ...]] = (
        Curve("train", "bits_per_dimension", "Training", "bits / dimension", from_zero=False),
        Curve("val", "bits_per_dimension", "Validation", "bits / dimension", from_zero=False),
        Curve("val", "psnr", "Validation, reconstruction", "PSNR (dB)", from_zero=False),
    )

    def title(self, config: Config) -> str:
        """The heading of a comparison."""
        return f"Up-sampling in an auto-encoder of {config.data.name}"

    def describe_data(self, config: Config) -> Mapping[str, Any]:
        """See `Study`: the images of training and validation."""
        return describe_images(config.data)

    def build_network(self, config: Config) -> Network:
        """Initialises the network of a configuration."""
        model = config.model
        return build_network(
            lambda rngs: models.ConvVAE(
                upsampling=model.upsampling,
                latent_features=model.latent_features,
                width=model.width,
                likelihood=model.likelihood,
                dtype=compute_dtype(model.precision),
                rngs=rngs,
            ),
            config.seed,
        )

    def make_loss(self, config: Config, network: Network) -> training.LossFn:
        """The negative ELBO in nats per image, its divergence weighted by beta."""
        beta = config.optim.beta
        if not 0 <= beta < float("inf"):
            raise ValueError(f"--optim.beta must be finite and not negative, got {beta}: 1 is the ELBO")

        def loss_fn(params: Any, model_state: Any, batch: Any) -> training.LossOutput:
            model = nnx.merge(network.train_graph, params, model_state)
            elbo, reconstruction, kl = model.elbo(batch["image"], batch["noise"])
            sums = {
                "bits_per_dimension": model.bits_per_dimension(elbo),
                "elbo": elbo,
                "reconstruction": reconstruction,
                "kl": kl,
            }
            loss = beta * kl - reconstruction
            images = jnp.asarray(loss.shape[0], jnp.float32)
            metrics = {name: value.sum() for name, value in sums.items()}
            return training.LossOutput(loss.sum(), images, model_state_of(model), metrics)

        return loss_fn

    def make_optimizer(self, config: Config, params: Any) -> tuple[optax.GradientTransformation, optax.Schedule]:
        """Adam; the scale of the likelihood has a rate of its own."""
        optim = config.optim
        for option, value in (("learning-rate", optim.learning_rate), ("scale-multiplier", optim.scale_multiplier)):
            if not 0 < value < float("inf"):
                raise ValueError(f"--optim.{option} must be positive and finite, got {value}")
        schedule = optax.cosine_decay_schedule(optim.learning_rate, config.steps)
        multipliers = training.label_parameters(
            params, lambda path: optim.scale_multiplier if path == ("log_scale",) else 1.0
        )
        scaled = optax.stateless(lambda updates, _: jax.tree.map(lambda u, m: m * u, updates, multipliers))
        return optax.chain(optax.adam(schedule), scaled), schedule

    def prepare(self, config: Config, mesh: Mesh, *, progress: bool) -> Job:
        """Opens the data and builds the network."""
        del progress
        source, validation = (open_source(config.data, split) for split in ("train", "val"))
        model = config.model
        iterator = data.train_iterator(
            source,
            augmentation=Prepare(model.likelihood, model.latent_features, config.data.mirror),
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
            return Evaluation(*scorer.score(state, validation, limit=limit, keep=0 if limit else _STRIP))

        def summarize(state: training.TrainState, last: Evaluation) -> tuple[Result, Mapping[str, np.ndarray]]:
            board, samples = scorer.samples(state, keep=2 * _STRIP)
            masked = masked_taps(state.params["up"]) if config.method == "fast_pixel_dcl" else 0
            results = {
                "checkerboard": board,
                "checkerboard_of_images": scorer.checkerboard_of(validation),
                "upsampling_parameters": count(state.params["up"]) - masked,
            }
            return results, {**last.details, "samples": samples}

        return Job(iterator, network, loss_fn, optimizer, schedule, evaluate, summarize)

    def outcome(self, result: Result) -> str:
        """A line about a trained run."""
        val = result["val"]
        return (
            f"ELBO {val['elbo']:.1f} nats per image, {val['bits_per_dimension']:.3f} bits per dimension, PSNR "
            f"{val['psnr']:.2f} dB, SSIM {val['ssim']:.3f}, checkerboard of samples {result['checkerboard']:.2f}"
        )

    def report(self, comparison: Comparison[Config]) -> Page:
        """Mean over seeds, and spread where there are several; rows of samples as in Fig. 9."""
        rows = []
        for method, runs in comparison.results.items():
            flat = [{**run["val"], **run} for run in runs]
            cells = [spread([run[key] for run in flat], digits) for _, key, digits in _COLUMNS]
            rows.append(
                [comparison.labels[method], *cells, f"{runs[0]['upsampling_parameters']:,}", median_seconds(runs)]
            )
        first = next(iter(comparison.results.values()))[0]
        rows.append(["the images themselves", *"----", f"{first['checkerboard_of_images']:.2f}", "-", "-"])
        header = ["method", *(column for column, *_ in _COLUMNS), "up-sampling parameters", "s / step"]

        config, validation = comparison.config, open_source(comparison.config.data, "val")
        likelihood = config.model.likelihood.replace("_", " ")
        setting = f"""Validation split of {config.data.name}: {len(validation)} images of 64x64, after {config.steps:,}
steps of {config.batch_size} images. ELBO of the 8-bit values, {likelihood} likelihood, one sample of the latents per
image (the same noise for all). PSNR and SSIM of reconstructions from the posterior mean. Checkerboard: excess energy
at the up-sampling frequency relative to its neighbourhood (`smoothjax.analysis.checkerboard_energy`), 0 is none. The
masked taps of the fast form are not counted as parameters."""
        return Page(align(header, rows), setting, figures=self._draw(comparison))

    def _draw(self, comparison: Comparison[Config]) -> Mapping[str, str]:
        examples = {
            comparison.labels[method]: read_examples(comparison.folder(method, comparison.seeds[0]))
            for method in comparison.results
        }
        if not all("originals" in arrays for arrays in examples.values()):
            return {}
        title = f"{comparison.title}, seed {comparison.seeds[0]}"
        samples = {label: grid(arrays["samples"], _STRIP) for label, arrays in examples.items()}
        pictures = {"originals": next(iter(examples.values()))["originals"]}
        pictures |= {label: arrays["reconstructions"] for label, arrays in examples.items()}
        draw_strips(samples, comparison.out / "samples.png", title=f"{title}: samples from the same latents")
        strips = {label: grid(images, _STRIP) for label, images in pictures.items()}
        draw_strips(strips, comparison.out / "reconstructions.png", title=f"{title}: reconstructions")
        return {"samples.png": "Samples from the same latents", "reconstructions.png": "Reconstructions"}


STUDY = VAE()
