"""Makes network, loss and optimiser from a configuration, and the table and figures from runs."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from smoothjax import data, models, training

from ..common.comparison import Comparison, Curve, Page, Result
from ..common.labels import data_label
from ..common.learner import Loss
from ..common.methods import UPSAMPLING_LABELS, order_of
from ..common.network import Tree, compute_dtype
from ..common.parameters import count, masked_taps
from ..common.report import align, median_seconds, spread
from ..common.run_files import read_examples
from ..common.stored import StoredStudy
from ..common.study import Arrays, Batch, PlainStudy, Scored, Summary, Trained, means
from .config import Config
from .figures import draw_strips, grid
from .samples import as_bytes, checkerboard_of_images, checkerboard_of_samples
from .sources import Augment, Pictures, held_out_batches, images_root, open_source

# Column, entry of result.json, digits.
_COLUMNS = (
    ("ELBO, nats / image", "elbo", 1),
    ("bits / dim", "bits_per_dimension", 3),
    ("PSNR dB", "psnr", 2),
    ("SSIM", "ssim", 3),
    ("checkerboard of samples", "checkerboard", 2),
)
_STRIP = 8


class VAE(PlainStudy[Config, Pictures, models.ConvVAE], StoredStudy[Config, None, Pictures, models.ConvVAE]):
    """Auto-encoders that differ in the up-sampling layers of their decoders."""

    config = Config
    labels: ClassVar[Mapping[str, str]] = UPSAMPLING_LABELS
    metric: ClassVar[str] = "elbo"
    mode: ClassVar[Literal["max", "min"]] = "max"
    curves: ClassVar[tuple[Curve, ...]] = (
        Curve("train", "bits_per_dimension", "Training", "bits / dimension", from_zero=False),
        Curve("val", "bits_per_dimension", "Validation", "bits / dimension", from_zero=False),
        Curve("val", "psnr", "Validation, reconstruction", "PSNR (dB)", from_zero=False),
    )
    examples: ClassVar[int] = _STRIP

    def title(self, config: Config) -> str:
        """The heading of a comparison."""
        return f"Up-sampling in an auto-encoder of {data_label(config.data.name)}"

    # Data.

    def open_split(self, config: Config, split: str, target: None = None) -> Pictures:
        """See `Study`."""
        return open_source(config.data, split)

    def described(self, source: Pictures) -> data.Named:
        """See `StoredStudy`."""
        return source.source

    def data_name(self, config: Config) -> str | None:
        """See `StoredStudy`."""
        return None if config.data.name == "shapes" else config.data.name

    def place(self, config: Config) -> Path:
        """See `StoredStudy`."""
        return images_root(config.data)

    def augmentation(self, config: Config, target: None) -> Augment:
        """Mirrored at random, with the noise of the latents."""
        return Augment(config.model.likelihood, config.model.latent_features, config.data.mirror)

    def batches(self, config: Config, source: Pictures, limit: int | None) -> Iterator[dict[str, np.ndarray]]:
        """See `Study`."""
        return held_out_batches(source, config, limit)

    # Network, loss and optimiser.

    def make_model(self, config: Config, target: None, rngs: nnx.Rngs) -> models.ConvVAE:
        """A convolutional variational auto-encoder."""
        model = config.model
        return models.ConvVAE(
            upsampling=model.upsampling,
            order=order_of(model.upsampling, model.order),
            latent_features=model.latent_features,
            width=model.width,
            likelihood=model.likelihood,
            dtype=compute_dtype(model.precision),
            rngs=rngs,
        )

    def method_layers(self, config: Config) -> Sequence[tuple[Hashable, ...]]:
        """See `Study`."""
        return [("up",)]

    def method_key(self, config: Config) -> Hashable:
        """See `Study`."""
        return config.method, order_of(config.model.upsampling, config.model.order)

    def loss(self, config: Config, model: models.ConvVAE, batch: Mapping[str, jax.Array]) -> Loss:
        """The negative ELBO in nats per image, its divergence weighted by beta."""
        elbo, reconstruction, kl = model.elbo(batch["image"], batch["noise"])
        sums = {
            "bits_per_dimension": model.bits_per_dimension(elbo),
            "elbo": elbo,
            "reconstruction": reconstruction,
            "kl": kl,
        }
        loss = config.optim.beta * kl - reconstruction
        images = jnp.asarray(loss.shape[0], jnp.float32)
        return Loss(loss.sum(), images, {name: value.sum() for name, value in sums.items()})

    def make_optimizer(self, config: Config, params: Tree) -> tuple[optax.GradientTransformation, optax.Schedule]:
        """Adam; the scale of the likelihood has a rate of its own."""
        optim = config.optim
        schedule = optax.cosine_decay_schedule(optim.learning_rate, config.steps)
        multipliers = training.label_parameters(
            params, lambda path: optim.scale_multiplier if path == ("log_scale",) else 1.0
        )
        scaled = optax.stateless(lambda updates, _: jax.tree.map(lambda u, m: m * u, updates, multipliers))
        return optax.chain(optax.adam(schedule), scaled), schedule

    # Scores.

    def score(self, config: Config, model: models.ConvVAE, batch: Mapping[str, jax.Array]) -> tuple[Tree, jax.Array]:
        """Sums over the images, and their reconstructions."""
        elbo, reconstruction, kl = model.elbo(batch["image"], batch["noise"])
        decoded = model.reconstruct(batch["pixels"])
        values = {
            "images": jnp.ones_like(elbo),
            "elbo": elbo,
            "reconstruction": reconstruction,
            "kl": kl,
            "bits_per_dimension": model.bits_per_dimension(elbo),
            "psnr": dm_pix.psnr(batch["pixels"], decoded),
            "ssim": dm_pix.ssim(batch["pixels"], decoded),
        }
        return {name: jnp.sum(batch["valid"] * value) for name, value in values.items()}, decoded

    def scores(self, totals: Tree) -> dict[str, float]:
        """Means in nats per image, bits, dB and 1."""
        return means(totals, "images")

    def example(self, batch: Batch, outputs: Tree, row: int) -> Arrays:
        """An image and its reconstruction."""
        return {"originals": as_bytes(batch["pixels"][row]), "reconstructions": as_bytes(outputs[row])}

    def summarize(self, trained: Trained[Config, None, models.ConvVAE], source: Pictures, found: Scored) -> Summary:
        """The checkerboards of samples from the prior and of the images, and pictures for figures."""
        board, samples = checkerboard_of_samples(trained)
        results = {"checkerboard": board, "checkerboard_of_images": checkerboard_of_images(source)}
        return Summary(results, {**strips(found), "samples": samples[: 2 * _STRIP]})

    def measure(self, trained: Trained[Config, None, models.ConvVAE]) -> Result:
        """Number of parameters of the up-sampling layers, without the taps that are masked."""
        layers = trained.state.params["up"]
        masked = masked_taps(layers) if trained.config.method == "fast_pixel_dcl" else 0
        return {"upsampling_parameters": count(layers) - masked}

    def details(self, trained: Trained[Config, None, models.ConvVAE], source: Pictures, found: Scored) -> Result:
        """See `Study`."""
        return {"latent_samples_per_image": 1}

    # Presentation.

    def setting(self, result: Result) -> str:
        """See `Study`."""
        return f"one sample of the latents each, {super().setting(result)}"

    def score_table(self, result: Result) -> str:
        """See `Study`."""
        lines = {
            "ELBO (nats per image)": f"{result['elbo']:.1f}",
            "reconstruction (nats)": f"{result['reconstruction']:.1f}",
            "divergence (nats)": f"{result['kl']:.1f}",
            "bits per dimension": f"{result['bits_per_dimension']:.4f}",
            "PSNR (dB)": f"{result['psnr']:.2f}",
            "SSIM": f"{result['ssim']:.4f}",
            "checkerboard of samples": f"{result['checkerboard']:.3f}",
            "checkerboard of images": f"{result['checkerboard_of_images']:.3f}",
        }
        return "\n".join(f"{name:>24}  {value:>10}" for name, value in lines.items())

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

        config, validation = comparison.config, self.open_split(comparison.config, "val")
        likelihood = config.model.likelihood.replace("_", " ")
        name = data_label(config.data.name)
        setting = f"""Validation split of {name}: {len(validation)} images of 64x64, after {comparison.steps}
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
        firsts = {comparison.labels[method]: runs[0] for method, runs in comparison.results.items()}
        # One row each, beside its number, so that the comparison fits on a screen.
        samples = {
            f"{label}\ncheckerboard {firsts[label]['checkerboard']:.2f}": grid(arrays["samples"][:_STRIP], _STRIP)
            for label, arrays in examples.items()
        }
        pictures = {"originals": next(iter(examples.values()))["originals"]}
        for label, arrays in examples.items():
            pictures[f"{label}\nPSNR {firsts[label]['val']['psnr']:.2f} dB"] = arrays["reconstructions"]
        draw_strips(samples, comparison.out / "samples.png", title=f"{title}: samples from the same latents")
        strips = {label: grid(images, _STRIP) for label, images in pictures.items()}
        draw_strips(strips, comparison.out / "reconstructions.png", title=f"{title}: reconstructions")
        return {"samples.png": "Samples from the same latents", "reconstructions.png": "Reconstructions"}


def strips(found: Scored) -> Arrays:
    """`"originals"` and `"reconstructions"`, uint8 `[N, 64, 64, 3]`; nothing if no image was kept."""
    kept = [found.examples[index] for index in sorted(found.examples)]
    return {name: np.stack([arrays[name] for arrays in kept]) for name in (kept[0] if kept else ())}


STUDY = VAE()
