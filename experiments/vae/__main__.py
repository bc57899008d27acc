"""The command line of the study; imports JAX only once it is needed."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from smoothjax.command_line import check_unused

from ..common import cli
from ..common.commands import EXPORTING, OfRun, evaluating
from .config import PRESETS, Config, Method


@dataclass(frozen=True)
class Sample(OfRun):
    """Draws images from the prior: one PNG with a grid of them."""

    count: int = 64
    """Number of images."""
    seed: int = 0
    """Seed of the latents; runs with the same number of latents get the same ones."""
    out: Path = field(default=Path("samples.png"))
    """File to write."""


@dataclass(frozen=True)
class Reconstruct(OfRun):
    """Encodes and decodes images: one PNG, originals above reconstructions."""

    images: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="IMAGES...")] = ()
    """Image files, folders of images or patterns, of any size and mode; by default images of the split. They are
    cropped to their central square, or to the face if they have the proportions of aligned CelebA and the run has
    learnt faces."""
    split: str = "val"
    """Split of the data set: train, val or test."""
    count: int = 16
    """Number of images of the split."""
    out: Path = field(default=Path("reconstructions.png"))
    """File to write."""
    data_root: Path | None = None
    """Folder of the data set, if it has moved since training."""


def _sample(program: cli.Program, options: Sample) -> None:
    from .generate import sample

    print(sample(options.run, options.count, options.seed, options.out, options.checkpoint))


def _reconstruct(program: cli.Program, options: Reconstruct) -> None:
    if options.images:
        check_unused(options, ("split", "count", "data_root"), "files are named in place of a split")
    from ..common.images import find_images
    from .generate import reconstruct

    chosen = (find_images(options.images), options.split, options.count)
    print(reconstruct(options.run, *chosen, options.out, options.checkpoint, options.data_root))


PROGRAM = cli.Program(
    cli.Compared(Config, PRESETS, Method, ("dcl", "ipixel_dcl", "fast_pixel_dcl")),
    summary="Pixel deconvolutional layers against transposed convolutions, in a variational auto-encoder of faces.",
    commands={
        "evaluate": evaluating("Scores a run on a split of images."),
        "export": EXPORTING,
        "sample": cli.Command(Sample, "RUN", _sample),
        "reconstruct": cli.Command(Reconstruct, "RUN [IMAGES...]", _reconstruct),
    },
    examples="""
compare celeba --data.root FOLDER_OR_ZIP --methods dcl fast_pixel_dcl resize_conv --seeds 0 1 2
train celeba --data.root FOLDER_OR_ZIP --model.upsampling fast_pixel_dcl
evaluate runs/vae/celeba/fast_pixel_dcl-seed0 --split test
sample runs/vae/celeba/fast_pixel_dcl-seed0 --count 64 --seed 1 --out samples.png
reconstruct runs/vae/celeba/fast_pixel_dcl-seed0 face.jpg --out reconstructions.png
""",
    afterwards="sample {run} --out samples.png",
)
main = PROGRAM.main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
