"""The command line of the study; imports JAX only once it is needed."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..common.config import Size, require
from ..common.huge_pages import use_huge_pages
from ..common.limits import check_limits
from ..common.parsing import parse
from ..common.run_folder import load_config
from ..common.status import status_of
from ..common.writing import check_out
from ..segmentation.config import Config


@dataclass(frozen=True)
class Options:
    """Draws the effective receptive fields of trained networks (Wang & Ji, KDD 2018, Sec. 4.4, Figs. 8 and 9).

    Figure 8 shows the last 3x3 convolution of rate 4, Figure 9 all dilated layers: the stages of the encoder at 1/8 of
    the image, in a ResNet the last two. Zero weights are black. A table gives the size and evenness of the fields.
    Examples:

      python -m experiments.erf
      python -m experiments.erf --runs runs/segmentation/voc2012/{none,group_interaction,ss_conv}-seed0 --images 100
    """

    runs: tuple[Path, ...] = ()
    """Folders of runs of experiments.segmentation, one per panel; by default those of its preset wires, trained if
    missing."""
    images: int | None = None
    """Validation images, spread evenly over the split; by default all."""
    size: Size = None
    """Height and width in pixels to which images are cropped or mirrored about their centre, since a field may be wider
    than an image. By default 704 704, which shows the whole fields of ResNet-18, and 48 48 for a dilated stack."""
    batch_size: int = 4
    """Images in a batch."""
    checkpoint: Literal["best", "latest"] = "latest"
    """Checkpoint: best on the whole validation split, or latest."""
    data_root: Path | None = None
    """Folder of the data set, if it has moved since training."""
    out: Path = Path("runs/erf")
    """Folder for fig8.png, fig9.png, the arrays fig8.npz and fig9.npz, and erf.json."""


def main(arguments: Sequence[str]) -> int:
    """Measures, prints a table, and draws the figures; returns the exit status."""
    options = parse(Options, arguments, "python -m experiments.erf")
    return status_of(lambda: _run(options))


def _run(options: Options) -> None:
    use_huge_pages()
    _check(options)
    from .study import study

    chosen = (options.images, options.size, options.batch_size, options.checkpoint, options.data_root)
    print(study(options.runs, options.out, *chosen))


def _check(options: Options) -> None:
    """Refuses invalid options, before JAX is imported."""
    check_limits(options)
    for name in ("images", "batch_size"):
        value = getattr(options, name)
        option = name.replace("_", "-")
        require(
            value is None or value >= 1, f"--{option} must be at least 1, got {value}: leave it out for the default"
        )
    if options.size is not None:
        height, width = options.size
        require(
            min(options.size) >= 48,
            f"--size must be at least 48 48, to show anything, got {height} {width}: leave it out for the whole field",
        )
    repeated = sorted({str(run) for run in options.runs if options.runs.count(run) > 1})
    require(not repeated, f"--runs names {', '.join(repeated)} more than once: a run has one panel")
    for run in options.runs:
        load_config(run, Config)
    check_out(options.out)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
