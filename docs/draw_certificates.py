"""Draws the picture of the guide "Certificates": `python docs/draw_certificates.py`."""

from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from smoothjax import analysis, ops

IMAGES = Path(__file__).parent / "pages" / "guides" / "images"
#: The first two colours of Okabe and Ito, distinct with any colour vision; grey for a single class.
_COLOURS = np.array([[0.00, 0.45, 0.70], [0.90, 0.62, 0.00]])
_GREY = np.array([0.45, 0.45, 0.45])
_UNITS = 20


def stack(rates: Sequence[int], smoothed: int | None = None) -> Callable[[jax.Array], jax.Array]:
    """Dilated convolutions of three taps, one of them with an SS convolution."""

    def network(x: jax.Array) -> jax.Array:
        for layer, rate in enumerate(rates):
            if layer == smoothed:
                x = ops.ss_dilated_conv(x, jnp.ones((3, 1, 1)), jnp.ones(2 * rate - 1), rate=rate)
            else:
                x = ops.dilated_conv(x, jnp.ones((3, 1, 1)), rate=rate)
        return x

    return network


def draw() -> Figure:
    """Which inputs each output depends on; rows of one class, which the certificate gives, have one colour."""
    networks = {
        "rates 2, 2, 2": stack((2, 2, 2)),
        "rates 2, 2, 2, the second one smoothed": stack((2, 2, 2), smoothed=1),
        "rates 1, 2, 3": stack((1, 2, 3)),
    }
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, (title, network) in zip(figure.subplots(1, 3), networks.items(), strict=True):
        x = jnp.ones((1, _UNITS, 1))
        certificate = analysis.certify(network, x)
        sets = analysis.receptive_sets(network, x, [(unit,) for unit in range(_UNITS)])
        classes = np.array(certificate.axes[0].classes)
        colours = _COLOURS[classes] if classes.max() else np.broadcast_to(_GREY, (_UNITS, 3))
        axes.imshow(np.where(sets[..., None], colours[:, None], 0.95), interpolation="nearest")
        axes.set_title(f"{title}\n{certificate.verdict}", fontsize=10)
        axes.set(xlabel="input", xticks=[], yticks=[])
        edges = np.arange(_UNITS + 1) - 0.5
        axes.hlines(edges, -0.5, _UNITS - 0.5, color="white", linewidth=0.7)
        axes.vlines(edges, -0.5, _UNITS - 0.5, color="white", linewidth=0.7)
        axes.set_frame_on(False)
    figure.axes[0].set_ylabel("output")
    return figure


if __name__ == "__main__":
    draw().savefig(IMAGES / "certificates.png", dpi=110)
