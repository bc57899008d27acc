"""The command line of the study; imports JAX only once it is needed."""

import sys

from ..common import cli
from ..common.dense.cli import commands
from .config import PRESETS, Config, Method

PROGRAM = cli.Program(
    cli.Compared(Config, PRESETS, Method, ("dcl", "ipixel_dcl", "fast_pixel_dcl")),
    summary="Pixel deconvolutional layers against transposed convolutions, in semantic segmentation.",
    commands=commands("at the size that the network sees", any_size=False),
    examples="""
compare voc2012-unet --data.root FOLDER --methods dcl fast_pixel_dcl --seeds 0 1 2
train camvid --data.root FOLDER --model.upsampling fast_pixel_dcl
evaluate runs/pixel_dcn/camvid/fast_pixel_dcl-seed0 --split test
predict runs/pixel_dcn/camvid/fast_pixel_dcl-seed0 street.jpg --out predictions
""",
    afterwards="predict {run} IMAGES... --out predictions",
)
main = PROGRAM.main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
