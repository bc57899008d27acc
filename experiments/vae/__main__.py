"""The command line of the study; imports JAX only once it is needed."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import tyro

from ..common import cli
from .config import PRESETS, Config, Method


@dataclass(frozen=True)
class Sample:
    """Draws images from the prior: one PNG with a grid of them."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder of the run."""
    count: int = 64
    """Number of images."""
    seed: int = 0
    """Of the latents; runs with as many latents see the same ones."""
    out: Path = field(default=Path("samples.png"))
    """File to write."""
    checkpoint: Literal["best", "latest"] = "latest"
    """Best on the whole validation split, or latest."""


@dataclass(frozen=True)
class Reconstruct:
    """Encodes and decodes images: one PNG, originals above reconstructions."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder of the run."""
    images: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="IMAGES...")] = ()
    """Image files of any size and mode, cropped to their central square, or to the face where they have the proportions
    of aligned CelebA and the run has learnt faces; by default images of the split."""
    split: str = "val"
    """Split of the data set: train, val or test."""
    count: int = 16
    """Number of images of the split."""
    out: Path = field(default=Path("reconstructions.png"))
    """File to write."""
    checkpoint: Literal["best", "latest"] = "latest"
    """Best on the whole validation split, or latest."""
    data_root: Path | None = None
    """Folder of the data set, where it has moved since."""


def _load() -> Any:
    from .study import STUDY

    return STUDY


def _evaluate(program: cli.Program, options: cli.Evaluate) -> None:
    from .generate import evaluate

    scored = evaluate(options.run, options.split, options.checkpoint, options.data_root)
    result = scored.result
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
    for name, value in lines.items():
        print(f"{name:>24}  {value:>10}")
    print(
        f"{result['images']} images of {options.split}, one sample of the latents each, step {result['step']}; written "
        f"to {scored.path}"
    )
    if scored.note is not None:
        print(scored.note)


def _sample(program: cli.Program, options: Sample) -> None:
    from .generate import sample

    print(sample(options.run, options.count, options.seed, options.out, options.checkpoint))


def _reconstruct(program: cli.Program, options: Reconstruct) -> None:
    from .generate import reconstruct

    chosen = (options.images, options.split, options.count)
    print(reconstruct(options.run, *chosen, options.out, options.checkpoint, options.data_root))


PROGRAM = cli.Program(
    config=Config,
    load=_load,
    summary="Pixel deconvolutional layers against transposed convolutions, in a variational auto-encoder of faces.",
    presets=PRESETS,
    method=Method,
    methods=("dcl", "ipixel_dcl", "fast_pixel_dcl"),
    commands={
        "evaluate": cli.Command(cli.Evaluate, "RUN", cast(Any, _evaluate), "Scores a run on a split of images."),
        "sample": cli.Command(Sample, "RUN", cast(Any, _sample)),
        "reconstruct": cli.Command(Reconstruct, "RUN [IMAGES...]", cast(Any, _reconstruct)),
    },
    examples=(
        "",
        "compare celeba --data.root FOLDER_OR_ZIP --methods dcl fast_pixel_dcl resize_conv --seeds 0 1 2",
        "train celeba --data.root FOLDER_OR_ZIP --model.upsampling fast_pixel_dcl",
        "evaluate runs/vae/celeba/fast_pixel_dcl-seed0 --split test",
        "sample runs/vae/celeba/fast_pixel_dcl-seed0 --count 64 --seed 1 --out samples.png",
        "reconstruct runs/vae/celeba/fast_pixel_dcl-seed0 face.jpg --out reconstructions.png",
    ),
    afterwards="sample {run} --out samples.png",
)


def main(arguments: Sequence[str]) -> int:
    """Runs a command; returns the exit status."""
    return cli.main(PROGRAM, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
