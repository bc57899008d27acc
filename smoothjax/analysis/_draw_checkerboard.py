"""A figure of a picture, its spectrum, and the position of its checkerboard."""

from typing import TYPE_CHECKING

import numpy as np
from jax.typing import ArrayLike

from ._arguments import check_maps
from ._places import checkerboard_map, power_spectrum

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_checkerboard(maps: ArrayLike, *, factor: int = 2, title: str = "") -> "Figure":
    """Draws the first image or feature map, the spectrum of all, and the checkerboard energy of tiles.

    Circles in the spectrum mark the frequencies of the factor and their multiples: a checkerboard is a bright point in
    a circle.

    Args:
      maps: `[N, H, W, C]`, see `checkerboard_map`; a picture of three channels is shown in its colours, of others the
        mean over channels is shown.
      factor: the up-sampling factor in pixels, an int >= 2.
      title: heading of the figure.

    Returns:
      The figure; its `savefig` writes it.

    Raises:
      AssertionError: maps has another rank or dtype.
      ValueError: maps are not images, factor is out of range, or no tile fits.

    Example:
      >>> import numpy as np
      >>> from smoothjax import analysis
      >>> figure = analysis.draw_checkerboard(np.random.default_rng(0).normal(size=(1, 64, 64, 1)), factor=2)
      >>> [axes.get_title() for axes in figure.axes[:3]]
      ['first image', 'spectrum; circles: period 2', 'energy of period 2']
    """
    # Drawing is rare, and importing matplotlib is slow.
    from matplotlib.figure import Figure

    checked = check_maps("maps", maps)
    if checked.ndim != 4:
        raise ValueError(f"maps must be images [N, H, W, C] to be drawn, got shape {checked.shape}: take slices")
    energies = checkerboard_map(checked, factor=factor)
    first = np.asarray(checked[0].astype("float32"))
    first = first if first.shape[-1] == 3 else first.mean(-1)
    span = first.max() - first.min()
    power = power_spectrum(checked)
    height, width = power.shape
    figure = Figure(figsize=(12, 4.2), dpi=110, layout="constrained")
    picture, spectrum, places = figure.subplots(1, 3)
    picture.imshow((first - first.min()) / (span if span > 0 else 1), cmap="gray", interpolation="nearest")
    picture.set_title("first image")
    shown = np.log10(np.maximum(power, power.max() * 1e-9 + 1e-30))
    # Rows count downwards and the axis points up: the first row, of -1/2 cycles a pixel down, is 1/2 up.
    edges = (-0.5 - 0.5 / width, 0.5 - 0.5 / width, -0.5 + 0.5 / height, 0.5 + 0.5 / height)
    spectrum.imshow(shown, cmap="gray", extent=edges, interpolation="nearest", aspect="auto")
    steps = (np.arange(factor) / factor + 0.5) % 1 - 0.5
    at = np.array([(x, -y) for x in steps for y in steps if (x, y) != (0, 0)])
    spectrum.scatter(at[:, 0], at[:, 1], s=60, facecolors="none", edgecolors="#e69f00", clip_on=False)
    spectrum.set_title(f"spectrum; circles: period {factor}")
    spectrum.set(xlabel="cycles a pixel, to the right", ylabel="cycles a pixel, upwards")
    drawn = places.imshow(energies, cmap="viridis", vmin=0, vmax=max(1.0, float(energies.max())))
    places.set_title(f"energy of period {factor}")
    figure.colorbar(drawn, ax=places, label="added energy / that around it", shrink=0.8)
    for axes in (picture, places):
        axes.set(xticks=[], yticks=[])
    figure.suptitle(title)
    return figure
