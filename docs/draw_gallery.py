"""Draws the pictures of the gallery that need no training: `python -m docs.draw_gallery`."""

from pathlib import Path

import jax
import jax.numpy as jnp
from flax import nnx

from smoothjax import analysis, data, datasets, nn, ops
from smoothjax.diagnose.__main__ import main as diagnose

IMAGES = Path(__file__).parent / "pages" / "images"


def upsampled() -> jax.Array:
    """A drawn picture at half size, brought back by a transposed convolution with random weights."""
    picture = jnp.asarray(data.ShapesSource(length=1, size=(256, 256), seed=3)[0]["image"], jnp.float32) / 255
    small = picture[None].reshape(1, 128, 2, 128, 2, 3).mean((2, 4))
    kernel = 0.25 + 0.02 * jax.random.normal(jax.random.key(1), (4, 4, 3, 3))
    return ops.transposed_conv(small, kernel * jnp.eye(3), factor=2)


def network() -> nnx.Sequential:
    """Four dilated layers of even rates: what `diagnose network` is for."""
    rngs = nnx.Rngs(0)
    return nnx.Sequential(
        nn.DilatedConv(3, 8, (3, 3), rate=2, rngs=rngs),
        nn.DilatedConv(8, 8, (3, 3), rate=2, rngs=rngs),
        nn.DilatedConv(8, 8, (3, 3), rate=4, rngs=rngs),
        nn.DilatedConv(8, 8, (3, 3), rate=4, rngs=rngs),
    )


def draw_all() -> None:
    """Writes every picture."""
    IMAGES.mkdir(exist_ok=True)
    figure = analysis.draw_checkerboard(
        upsampled(), factor=2, title="A transposed convolution of random weights leaves a checkerboard of period 2"
    )
    figure.savefig(IMAGES / "checkerboard.png", dpi=80)
    target = ["network", "docs.draw_gallery:network", "--input", "1,65,65,3"]
    diagnose([*target, "--out", str(IMAGES / "receptive_field.png")])
    shapes = data.ShapesSource(length=8, size=(97, 97))
    datasets.draw_grid(shapes, IMAGES / "grid.png", images=4, title="the drawn data set of the demonstrations")


if __name__ == "__main__":
    draw_all()
