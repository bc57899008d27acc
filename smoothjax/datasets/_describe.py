"""Description of a data set in words and numbers, and in a picture."""

import textwrap
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from ..data import IGNORE_LABEL, PreparedSource, Source, colorize, to_rgb
from ..files import printable, write_figure
from ._statistics import count_labels, median_frequency_weights

_IGNORE_COLOR = (255, 255, 255)
_SHOWN_PIXELS = 480


def describe(splits: Mapping[str, Source], *, progress: bool = False, channels: int = 3) -> str:
    """Describes the numbers and sizes of images, the frequency of each class, and class weights.

    Args:
      splits: the splits of one data set.
      progress: whether to show a progress bar on a terminal if the labels have to be read.
      channels: number of channels of the images, if they have to be read.

    Returns:
      Lines of text.

    Raises:
      ValueError: there is no split, or one has no examples.
      InvalidDataError: examples cannot be used; the message names all.

    Example:
      >>> from smoothjax.data import ShapesSource
      >>> print(describe({"train": ShapesSource(length=3, size=(32, 40))}).splitlines()[1].split())
      ['train', '3', '32', 'x', '40', '1', '21.9', '%']
    """
    if not splits:
        raise ValueError("splits must hold at least one split, got none; give for example {'train': source}")
    for name, source in splits.items():
        _check_filled(f"split {name!r}", source)
    counts = {name: count_labels(source, progress=progress, channels=channels) for name, source in splits.items()}
    lines = [f"{'split':<14}{'images':>9}  {'height x width':<24}{'sizes':>6}{'ignored':>10}"]
    for name, source in splits.items():
        sizes = Counter(source.size(index) for index in range(len(source)))
        pixels = sum(height * width * count for (height, width), count in sizes.items())
        span = " x ".join(_span([size[axis] for size in sizes]) for axis in (0, 1))
        share = f"{100 * counts[name].ignored / max(pixels, 1):.1f} %"
        lines.append(f"{name:<14}{len(source):>9,}  {span:<24}{len(sizes):>6}{share:>10}")
    first = next(iter(splits.values()))
    if isinstance(first, PreparedSource) and first.attributes:
        lines += ["", *textwrap.wrap(f"{len(first.attributes)} attributes: {', '.join(first.attributes)}", 116)]
    labelled = {name: count for name, count in counts.items() if count.pixels.any()}
    if not labelled:
        return "\n".join([*lines, "", "no pixel is labelled"])

    balanced = next((name for name in labelled if name.startswith("train")), next(iter(labelled)))
    weights = median_frequency_weights(labelled[balanced])
    width = max(map(len, ["class", *first.classes.names])) + 2
    heads = "".join(f"{name + ' %':>15}{'images':>9}" for name in labelled)
    lines += ["", f"{'':>4}{'class':<{width}}{'colour':<8}{heads}{'weight':>10}"]
    for label, (name, color) in enumerate(zip(first.classes.names, first.classes.colors, strict=True)):
        shares = "".join(
            f"{100 * count.pixels[label] / count.pixels.sum():>15.2f}{count.images[label]:>9,}"
            for count in labelled.values()
        )
        weight = f"{weights[label]:>10.3f}" if weights[label] else f"{'-':>10}"
        lines.append(f"{label:>3} {name:<{width}}{'#' + bytes(color).hex():<8}{shares}{weight}")
    lines += [
        "",
        "%: of the labelled pixels of the split; images: in which the class occurs",
        f"weight: median frequency balancing on {balanced}, median(f) / f, where f is the number of pixels of the",
        "class divided by that of all pixels of the images in which it occurs. For a loss:",
        f"  {' '.join(f'{weight:.4g}' for weight in weights)}",
    ]
    return "\n".join(lines)


def draw_grid(source: Source, path: str | Path, *, images: int = 8, title: str = "") -> None:
    """Draws images of a split, each beside its label map in the colours of the classes, with a legend.

    Args:
      source: the split; the images are spread evenly over it.
      path: the picture to write; its suffix determines the format.
      images: number of images.
      title: a line above.

    Raises:
      ValueError: `images` is not positive, the split has no examples, or the format is unknown.

    Example:
      >>> import pathlib, tempfile
      >>> from smoothjax.data import ShapesSource
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     draw_grid(ShapesSource(length=3, size=(32, 40)), f"{folder}/grid.png", images=2)
      ...     pathlib.Path(folder, "grid.png").exists()
      True
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    if images < 1:
        raise ValueError(f"images must be at least 1, got {images}")
    _check_filled("source", source)
    count = min(images, len(source))
    indices = [i * len(source) // count for i in range(count)]
    pairs_a_row = 2 if count > 1 else 1
    rows = -(-count // pairs_a_row)
    figure = Figure(figsize=(6.4 * pairs_a_row, 2.6 * rows + 1), dpi=100, layout="constrained")
    axes = figure.subplots(rows, 2 * pairs_a_row, squeeze=False).ravel()
    occurring: set[int] = set()
    for axis in axes[2 * count :]:
        axis.set_axis_off()
    for place, index in enumerate(indices):
        record = source[index]
        label = record["label"]
        occurring |= set(np.unique(label).tolist())
        height, width = label.shape
        painted = colorize(label, source.classes, _IGNORE_COLOR)
        for axis in axes[2 * place : 2 * place + 2]:
            # The frame delimits ignored pixels, which are white.
            axis.set(xticks=(), yticks=())
            axis.spines[:].set(color="0.7", linewidth=0.5)
        axes[2 * place].imshow(_smaller(to_rgb(record["image"]), Image.Resampling.BOX))
        axes[2 * place].set_title(f"{printable(source.name(index))}, {height} x {width}", fontsize=8, parse_math=False)
        axes[2 * place + 1].imshow(_smaller(painted, Image.Resampling.NEAREST))
    names, colors = source.classes.names, source.classes.colors
    handles = [
        Patch(facecolor=f"#{bytes(colors[label]).hex()}", edgecolor="0.5", label=f"{label} {names[label]}")
        for label in sorted(occurring - {IGNORE_LABEL})
    ]
    if IGNORE_LABEL in occurring:
        handles.append(Patch(facecolor="white", edgecolor="0.5", label="255 ignored"))
    lines = -(-len(handles) // (4 * pairs_a_row))
    figure.legend(handles=handles, loc="outside lower center", ncols=-(-len(handles) // lines), fontsize=8)
    if title:
        figure.suptitle(title, fontsize=10, parse_math=False)
    write_figure(path, figure)


def _check_filled(what: str, source: Source) -> None:
    if not len(source):
        raise ValueError(f"{what} has no examples; leave it out, or give one with at least one example")


def _span(lengths: list[int]) -> str:
    return f"{min(lengths)}" if min(lengths) == max(lengths) else f"{min(lengths)} .. {max(lengths)}"


def _smaller(picture: np.ndarray, resampling: Image.Resampling) -> np.ndarray:
    """Reduces a picture to its displayed size: street scenes of 2 megapixels would make the figure slow and heavy."""
    factor = -(-max(picture.shape[:2]) // _SHOWN_PIXELS)
    if factor == 1:
        return picture
    size = (max(1, picture.shape[1] // factor), max(1, picture.shape[0] // factor))
    return np.asarray(Image.fromarray(picture).resize(size, resampling))
