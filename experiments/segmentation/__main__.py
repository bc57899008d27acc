"""The command line of the study; imports JAX only once it is needed."""

import sys

from ..common import cli
from ..common.dense.cli import commands
from .config import Config, Method
from .presets import PRESETS

PROGRAM = cli.Program(
    cli.Compared(Config, PRESETS, Method, ("none", "multigrid", "group_interaction", "ss_conv")),
    summary="Smoothed dilated convolutions against the baseline, multigrid and other remedies, in semantic "
    "segmentation.",
    commands=commands("at full image size", any_size=True),
    examples="""
compare camvid --data.root FOLDER --methods none ss_conv --seeds 0 1 2
compare demo --methods none drn lfe average_filter gaussian_filter aggregated_filters duc
train camvid --data.root FOLDER --model.smoothing ss_conv --data.scale 0.5
compare camvid --data.root FOLDER --init.source run --init.checkpoint RUN --methods none ss_conv
evaluate runs/segmentation/camvid/ss_conv-seed0 --split test
predict runs/segmentation/camvid/ss_conv-seed0 street.jpg --out predictions
""",
    afterwards="predict {run} IMAGES... --out predictions",
    default=("compare", "wires"),
)
main = PROGRAM.main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
