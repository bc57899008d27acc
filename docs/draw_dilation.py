"""Draws the pictures of the guide "Dilated convolutions, from the beginning": `python docs/draw_dilation.py`."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from smoothjax import analysis, ops

IMAGES = Path(__file__).parent / "pages" / "guides" / "images"
_DARK, _LIGHT = "#1f4e79", "#e6ebf0"


def draw_atrous() -> Figure:
    """Responses of a vertical edge filter: at a quarter of the positions by down-sampling, at all of them by holes."""
    rows, columns = np.mgrid[:64, :64]
    gray = np.where(np.hypot(rows - 24, columns - 40) < 15, 0.9, 0.0)  # zero around it, as the padding is
    gray = np.where((np.abs(rows - 44) < 12) & (np.abs(columns - 22 - (rows - 44) / 3) < 9), 0.5, gray)
    x = jnp.asarray(gray, jnp.float32).reshape(1, 64, 64, 1)
    offsets = np.arange(-3, 4)
    bell = np.exp(-(offsets**2) / 4)
    kernel = jnp.asarray(np.outer(bell, offsets * bell), jnp.float32).reshape(7, 7, 1, 1)
    low = ops.dilated_conv(x[:, ::2, ::2], kernel)
    holes = np.full((64, 64), np.nan)
    holes[::2, ::2] = low[0, :, :, 0]
    dense = np.asarray(ops.dilated_conv(x, kernel, rate=2)[0, :, :, 0])
    panels = {
        "image, 64x64": (gray, "gray", 0, 1),
        "down-sampled by 2, convolved,\nput back: 32x32 responses": (holes, "RdBu_r", -1, 1),
        "dilated, rate 2: 64x64 responses": (dense, "RdBu_r", -1, 1),
    }
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    for axes, (title, (values, colours, low_end, high_end)) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        scale = 1 if colours == "gray" else np.abs(dense).max()
        axes.imshow(values, colours, vmin=low_end * scale, vmax=high_end * scale, interpolation="nearest")
        axes.set_title(title, fontsize=10)
        axes.set(xticks=[], yticks=[])
        axes.set_facecolor("white")
    return figure


def draw_fields() -> Figure:
    """Inputs that one output depends on, after each layer of four stacks."""
    stacks = ((1, 1, 1, 1), (2, 2, 2, 2), (8, 4, 2, 1), (1, 2, 4, 8))
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, rates in zip(figure.subplots(2, 2).flat, stacks, strict=True):
        response = jnp.zeros((1, 35, 1)).at[0, 17].set(1)
        rows = []
        for rate in rates:
            response = ops.dilated_conv(response, jnp.ones((3, 1, 1)), rate=rate)
            rows.append(np.asarray(response[0, :, 0] != 0))
        axes.pcolormesh(np.array(rows), cmap=_two_colours(), edgecolors="white", linewidth=0.7, vmin=0, vmax=1)
        axes.invert_yaxis()
        axes.set_title(f"rates {', '.join(map(str, rates))}", fontsize=10)
        axes.set_yticks(np.arange(len(rates)) + 0.5, [f"layer {index + 1}" for index in range(len(rates))], fontsize=8)
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.set_frame_on(False)
    figure.supxlabel("position in the input; dark: the output in the middle depends on it", fontsize=9)
    return figure


def draw_gain() -> Figure:
    """The gain of the filter (1, 2, 1) / 4 by frequency, at several rates."""
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    for rate, style in ((1, "-"), (2, "--"), (4, ":")):
        response = ops.dilated_conv(
            jnp.zeros((1, 129, 1)).at[0, 64].set(1), jnp.array([0.25, 0.5, 0.25]).reshape(3, 1, 1), rate=rate
        )
        gain = np.abs(np.fft.rfft(response[0, :, 0], 1024))
        axes.plot(np.fft.rfftfreq(1024), gain, style, color=_DARK, label=f"rate {rate}")
    axes.set(xlabel="frequency, periods per pixel", ylabel="gain", xlim=(0, 0.5), ylim=(0, 1.02))
    axes.axvline(7 / 16, color="0.6", linewidth=0.8)
    axes.annotate("7/16", (7 / 16, 0.5), (4, 0), textcoords="offset points", color="0.4", fontsize=9)
    axes.legend(frameon=False, loc="lower left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def dilated_attention(x: jax.Array, rate: int) -> jax.Array:
    """As in the guide: each pixel asks its 3x3 neighbours at this rate."""
    height, width = x.shape[1:3]
    around = ((0, 0), (rate, rate), (rate, rate), (0, 0))
    padded, outside = jnp.pad(x, around), jnp.pad(jnp.zeros_like(x[..., :1]), around, constant_values=-1e9)
    places = [(i * rate, j * rate) for i in range(3) for j in range(3)]
    neighbours, bias = (
        jnp.stack([array[:, i : i + height, j : j + width] for i, j in places], 3) for array in (padded, outside)
    )
    weights = jax.nn.softmax((neighbours * x[:, :, :, None]).sum(-1, keepdims=True) + bias, axis=3)
    return (weights * neighbours).sum(3)


def draw_attention() -> Figure:
    """The inputs that four neighbouring outputs see through two layers: Fig. 2 of Wang & Ji, beside attention."""
    kernel = jnp.ones((3, 3, 2, 2))
    convolution = partial(ops.dilated_conv, kernel=kernel, rate=2)
    attention = partial(dilated_attention, rate=2)
    methods = {
        "dilated convolution,\nrates 2, 2": [convolution, convolution],
        "dilated attention,\nrates 2, 2": [attention, attention],
        "dilated attention,\nrates 1, 2": [partial(dilated_attention, rate=1), attention],
    }
    pixels = jax.random.normal(jax.random.key(0), (1, 16, 16, 2))
    return analysis.draw_receptive_sets(methods, inputs=pixels, depths=[2], title="What four neighbours see: the input")


def _two_colours():
    from matplotlib.colors import ListedColormap

    return ListedColormap([_LIGHT, _DARK])


if __name__ == "__main__":
    for name, draw in {
        "atrous": draw_atrous, "fields": draw_fields, "gain": draw_gain, "attention": draw_attention
    }.items():  # fmt: skip
        draw().savefig(IMAGES / f"{name}.png", dpi=110)
