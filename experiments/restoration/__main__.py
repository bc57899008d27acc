"""The command line of the study; imports JAX only once it is needed."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from smoothjax.command_line import check_unused
from smoothjax.names import RestorationTask

from ..common import cli
from ..common.commands import EXPORTING, OfRun, score
from ..common.config import Size
from ..common.run_files import CONFIG_FILE
from ..common.writing import check_file, check_out, check_png
from .config import PRESETS, Config, Method


@dataclass(frozen=True)
class Evaluate:
    """Scores a run on a split, or published weights on pairs of images: PSNR and SSIM."""

    run: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="[RUN]")] = None
    """Folder of the run, unless --weights names a file."""
    weights: Path | None = None
    """File of the published weights of GCANet (.safetensors, .npz or .pth), with --task and --data."""
    task: RestorationTask | None = None
    """Task of the weights, which their file does not record; a run records it."""
    data: Path | None = None
    """Folder {train,val,test}/{degraded,clean} of images of the same names, for --weights."""
    split: str = "val"
    """Split of the images: train, val or test."""
    out: Path = Path("scores.csv")
    """File for the scores of each image, for --weights; those of a run go into its folder."""
    data_root: Path | None = None
    """Folder of the data set of a run, if it has moved since training; scores of another data set go into a separate
    file."""
    checkpoint: Literal["best", "latest"] = "latest"
    """Checkpoint of a run: best on the whole validation split, or latest."""


@dataclass(frozen=True)
class Predict:
    """Restores images of any size and mode, with a run or with published weights."""

    run: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="[RUN]")] = None
    """Folder of the run; leave it out with --weights, so the images come first."""
    images: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="IMAGES...")] = ()
    """Image files, folders of images, or patterns such as 'street/*.jpg'; at least one."""
    weights: Path | None = None
    """File of the published weights of GCANet (.safetensors, .npz or .pth), with --task."""
    task: RestorationTask | None = None
    """Task of the weights, which their file does not record; a run records it."""
    out: Path = field(default=Path("predictions"))
    """Folder for NAME_restored.png, and NAME_compare.png."""
    compare: bool = False
    """Whether to draw the image before and after, side by side."""
    tile: Size = None
    """Height and width in pixels of overlapping tiles, even numbers, for photographs that do not fit into memory as a
    whole; try 512 512. GCANet normalises by statistics of the whole image but a tile only sees its own, so tiles change
    the result; larger tiles change it less. A dilated stack only differs near the edges of tiles."""
    checkpoint: Literal["best", "latest"] = "latest"
    """Checkpoint of a run: best on the whole validation split, or latest."""


@dataclass(frozen=True)
class Filters:
    """Draws the smoothing that a run or published weights have learnt, layer by layer, in one PNG."""

    run: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="[RUN]")] = None
    """Folder of the run, unless --weights names a file."""
    weights: Path | None = None
    """File of the published weights of GCANet."""
    out: Path = field(default=Path("filters.png"))
    """File to write."""
    checkpoint: Literal["best", "latest"] = "latest"
    """Checkpoint of a run: best on the whole validation split, or latest."""


def _evaluate(program: cli.Program, options: Evaluate) -> None:
    if (options.run is None) == (options.weights is None):
        raise ValueError(
            f"name either a run or weights: {program.name} evaluate RUN, or {program.name} evaluate --weights FILE "
            "--task dehaze --data FOLDER"
        )
    if options.run is not None:
        remedy = "leave it out; --data-root names the images of a run that have moved"
        check_unused(options, ("task", "data", "out"), "a run records its task, images and scores", remedy)
        score(program.load(), OfRun(options.run, options.checkpoint), options.split, options.data_root)
        return
    check_unused(options, ("checkpoint", "data_root"), "--weights names no run")
    if options.task is None or options.data is None:
        raise ValueError("--weights needs --task dehaze or derain, and --data FOLDER of {split}/{degraded,clean}")
    check_file("--out", options.out)
    program.load()
    from .published import mean_scores, score_weights, write_scores

    assert options.weights is not None  # or a run
    scores = score_weights(options.weights, options.task, options.data, options.split)
    write_scores(scores, options.out)
    mean = mean_scores([*scores.values()])
    print(f"{options.out} has the scores of each image.")
    print(
        f"{len(scores)} image{'s' * (len(scores) > 1)} of {options.split}, PSNR {mean['psnr']:.2f} dB, SSIM "
        f"{mean['ssim']:.4f} (the degraded images: {mean['degraded_psnr']:.2f} dB, {mean['degraded_ssim']:.4f})"
    )


def _predict(program: cli.Program, options: Predict) -> None:
    run, images = options.run, options.images
    if options.weights is not None and run is not None:
        if (run / CONFIG_FILE).is_file():
            raise ValueError(f"name either a run or --weights: {run} is a run, {options.weights} a file of weights")
        # Then the first argument is an image.
        run, images = None, (run, *images)
    if not images:
        raise ValueError(
            f"name the images: {program.name} predict RUN IMAGES... --out DIR, or {program.name} predict --weights "
            "FILE --task dehaze IMAGES... --out DIR"
        )
    if options.weights is not None and options.task is None:
        raise ValueError("--weights needs --task dehaze or --task derain: the file does not record its task")
    if run is not None and options.task is not None:
        raise ValueError("--task goes with --weights: a run records its task")
    if options.weights is not None:
        check_unused(options, ("checkpoint",), "--weights names no run")
    if run is not None and run.is_file():
        raise ValueError(f"{run} is a file: name the folder of a run first, or --weights FILE --task dehaze")
    check_out(options.out)
    from ..common.images import find_images
    from .restore import Restorer, check_images, predict
    from .tiles import check_tile

    if options.tile is not None:
        check_tile(options.tile)
    images = find_images(images)
    check_images(images)
    if options.weights is not None and options.task is not None:
        restorer = Restorer.of_weights(options.weights, options.task)
    else:
        assert run is not None  # a run, or --weights with --task
        restorer = Restorer.of_run(run, options.checkpoint)
    for path in predict(restorer, images, options.out, options.tile, options.compare):
        print(path)


def _filters(program: cli.Program, options: Filters) -> None:
    if (options.run is None) == (options.weights is None):
        raise ValueError(f"name either a run or weights: {program.name} filters RUN, or filters --weights FILE")
    if options.weights is not None:
        check_unused(options, ("checkpoint",), "--weights names no run")
    check_png(options.out, "filters.png")
    from smoothjax import analysis

    from ..common.writing import write_figure
    from .restore import read_filters

    found = read_filters(options.run, options.weights, options.checkpoint)
    print(analysis.describe_smoothing(found))
    # By its name: where it lies is for the command line.
    title = (options.weights or options.run or options.out).absolute().name
    write_figure(options.out, analysis.draw_smoothing(found, title=title), dpi=100)
    print(options.out)


PROGRAM = cli.Program(
    cli.Compared(Config, PRESETS, Method, ("none", "group_interaction", "ss_conv")),
    summary="Smoothed dilated convolutions in networks that take haze or rain (GCANet) or noise out of images.",
    commands={
        "evaluate": cli.Command(Evaluate, "[RUN]", _evaluate),
        "predict": cli.Command(Predict, "[RUN] IMAGES...", _predict),
        "export": EXPORTING,
        "filters": cli.Command(Filters, "[RUN]", _filters),
    },
    examples="""
compare haze --data.root FOLDER --methods none ss_conv --seeds 0 1 2
compare noise --data.root FOLDER
train folder --data.root FOLDER --model.smoothing ss_conv
evaluate runs/restoration/haze/ss_conv-seed0 --split test
evaluate --weights wacv_gcanet_dehaze.pth --task dehaze --data SOTS --split test
predict runs/restoration/haze/ss_conv-seed0 photo.jpg --out restored --compare
predict --weights wacv_gcanet_dehaze.pth --task dehaze photo.jpg --out restored --tile 512 512
filters --weights wacv_gcanet_dehaze.pth --out filters.png
""",
    afterwards="predict {run} IMAGES... --out restored --compare",
)
main = PROGRAM.main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
