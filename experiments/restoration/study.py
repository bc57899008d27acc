"""Makes network, loss and optimiser from a configuration, and the table and figures from runs."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Literal

import dm_pix
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from smoothjax import data

from ..common.comparison import Comparison, Curve, Page, Result
from ..common.config import with_options
from ..common.labels import data_label
from ..common.learner import Loss
from ..common.methods import SMOOTHING_LABELS
from ..common.network import Tree
from ..common.parameters import count, largest_move, smoothing_parameters
from ..common.report import align, median_seconds, spread
from ..common.run_files import read_examples
from ..common.stored import StoredStudy
from ..common.study import Arrays, Batch, PlainStudy, Scored, Summary, Trained, means
from .batches import Augment, check_sources, degradation_of, held_out_batches
from .config import Config
from .degradation import as_stored
from .figures import draw_columns
from .networks import RestorationNetwork, in_8_bits, make_network, restored
from .sources import Restorable, open_source

# PSNR of equal images is infinite, and so would be every mean over it.
_LARGEST_PSNR = 100.0


class Restoration(
    PlainStudy[Config, Restorable, RestorationNetwork], StoredStudy[Config, None, Restorable, RestorationNetwork]
):
    """A network with or without smoothed dilated convolutions."""

    config = Config
    labels: ClassVar[Mapping[str, str]] = {
        "none": SMOOTHING_LABELS["none"],
        "multigrid": "multigrid",
        **SMOOTHING_LABELS,
    }
    metric: ClassVar[str] = "psnr"
    mode: ClassVar[Literal["max", "min"]] = "max"
    curves: ClassVar[tuple[Curve, ...]] = (
        Curve("train", "loss", "Training", "mean squared error, (0 .. 255)²"),
        Curve("val", "psnr", "Validation", "PSNR (dB)", from_zero=False),
        Curve("val", "ssim", "Validation", "SSIM", from_zero=False),
    )
    examples: ClassVar[int] = 4

    def title(self, config: Config) -> str:
        """The heading of a comparison."""
        model = config.model
        return {
            "shapes": "Dehazing drawn shapes",
            "folder": f"Restoration of pairs ({model.task if model.network == 'gcanet' else 'a dilated stack'})",
            "haze": "Dehazing images in synthetic haze",
            "noise": f"Denoising images with Gaussian noise of standard deviation {config.noise.sigma:g}",
        }[config.data.name]

    # Data.

    def open_split(self, config: Config, split: str, target: None = None) -> Restorable:
        """See `Study`."""
        return open_source(config.data, split)

    def described(self, source: Restorable) -> data.Named:
        """See `StoredStudy`."""
        return source

    def data_name(self, config: Config) -> str | None:
        """See `StoredStudy`."""
        return None if config.data.name == "shapes" else config.data.name

    def place(self, config: Config) -> Path | None:
        """See `StoredStudy`."""
        return config.data.root

    def check_training_data(
        self, config: Config, source: Restorable, validation: Restorable, *, progress: bool
    ) -> None:
        """Compares the names of files, and reads all files unless the configuration says otherwise."""
        check_sources({"train": source, "val": validation}, config, progress=progress)

    def check_scored_data(self, config: Config, target: None, source: Restorable) -> None:
        """Compares the names of files."""
        check_sources({"scored": source}, with_options(config, {"data.check": False}))

    def augmentation(self, config: Config, target: None) -> Augment:
        """Degrades images that are not degraded yet, crops and mirrors at random."""
        return Augment(config.data.crop_size, config.data.mirror, degradation_of(config))

    def batches(self, config: Config, source: Restorable, limit: int | None) -> Iterator[dict[str, np.ndarray]]:
        """See `Study`."""
        return held_out_batches(source, config, limit)

    # Network, loss and optimiser.

    def make_model(self, config: Config, target: None, rngs: nnx.Rngs) -> RestorationNetwork:
        """GCANet, or the dilated stack."""
        return make_network(config.model, rngs)

    def loss(self, config: Config, model: RestorationNetwork, batch: Mapping[str, jax.Array]) -> Loss:
        """The mean squared error of the restored image in units of 0 .. 255, not rounded."""
        errors = jnp.mean(jnp.square(restored(model, batch["image"]) - batch["clean"]), (1, 2, 3))
        return Loss(errors.sum(), jnp.asarray(errors.shape[0], jnp.float32))

    def make_optimizer(self, config: Config, params: Tree) -> tuple[optax.GradientTransformation, optax.Schedule]:
        """Adam."""
        schedule = optax.cosine_decay_schedule(config.optim.learning_rate, config.steps)
        return optax.adam(schedule), schedule

    # Scores.

    def score(
        self, config: Config, model: RestorationNetwork, batch: Mapping[str, jax.Array]
    ) -> tuple[Tree, jax.Array]:
        """Sums over the images, of 8 bits, and the restored images."""
        degraded, clean = batch["image"], batch["clean"] / 255
        images = in_8_bits(restored(model, degraded))
        values = {
            "images": jnp.ones_like(batch["valid"]),
            **_compare(images.astype(jnp.float32) / 255, clean),
            **{f"degraded_{name}": value for name, value in _compare(degraded / 255, clean).items()},
        }
        return {name: jnp.sum(batch["valid"] * value) for name, value in values.items()}, images

    def scores(self, totals: Tree) -> dict[str, float]:
        """PSNR in dB and SSIM, of restored and of degraded images, means over the images."""
        return means(totals, "images")

    def example(self, batch: Batch, outputs: Tree, row: int) -> Arrays:
        """An image degraded, restored and clean, uint8 `[H, W, 3]`."""
        images = {"degraded": batch["image"][row], "restored": outputs[row], "clean": batch["clean"][row]}
        return {name: as_stored(np.asarray(image)) for name, image in images.items()}

    def summarize(
        self, trained: Trained[Config, None, RestorationNetwork], source: Restorable, found: Scored
    ) -> Summary:
        """Images by name and index."""
        return Summary({}, {f"{n}-{i}": image for i, images in found.examples.items() for n, image in images.items()})

    def measure(self, trained: Trained[Config, None, RestorationNetwork]) -> Result:
        """Number of smoothing parameters, and the largest change of one since it was the identity."""
        params = trained.state.params
        return {
            "extra_parameters": count(smoothing_parameters(params)),
            "largest_move": largest_move(params, trained.network.params),
        }

    # Presentation.

    def score_table(self, result: Result) -> str:
        """See `Study`."""
        lines = [f"{'':>8}{'restored':>10}{'degraded':>10}"]
        for name, key, digits in (("PSNR dB", "psnr", 2), ("SSIM", "ssim", 3)):
            lines.append(f"{name:>8}{result[key]:>10.{digits}f}{result[f'degraded_{key}']:>10.{digits}f}")
        return "\n".join(lines)

    def outcome(self, result: Result) -> str:
        """A line about a trained run."""
        val = result["val"]
        return (
            f"PSNR {val['psnr']:.2f} dB, SSIM {val['ssim']:.3f} (the degraded images: {val['degraded_psnr']:.2f} dB, "
            f"{val['degraded_ssim']:.3f})"
        )

    def report(self, comparison: Comparison[Config]) -> Page:
        """Mean over seeds, and spread if there are several; the degraded images come first."""
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
        config, validation = comparison.config, self.open_split(comparison.config, "val")
        name = data_label(config.data.name, config.data.root)
        setting = f"""Validation split of {name}: {len(validation)} whole images, restored at 8 bits and compared with
the clean ones (PSNR of equal images counts as 100 dB), after {comparison.steps} steps of {config.batch_size} images."""
        if config.data.name != "folder":
            setting += f"\n{degradation_of(config)}"
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


def _compare(image: jax.Array, clean: jax.Array) -> dict[str, jax.Array]:
    psnr, ssim = jnp.asarray(dm_pix.psnr(image, clean)), jnp.asarray(dm_pix.ssim(image, clean))
    return {"psnr": jnp.minimum(psnr, _LARGEST_PSNR), "ssim": ssim}


STUDY = Restoration()
