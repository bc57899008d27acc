"""A run as one self-contained file for JAX, with weights, preprocessing and up-sampling."""

from pathlib import Path

import jax
import jax.numpy as jnp
from jax import export as jax_export

from smoothjax import data
from smoothjax.progress import Progress

from ..export import check_out
from ..network import M, Trees
from ..trained import AskedWeights, Checkpoint, Trained, read_run
from ..writing import write_bytes
from .init import normalization
from .study import C, DenseStudy

PLATFORMS = ("cpu", "cuda", "tpu")
_SMALLEST = 16


def export(
    study: DenseStudy[C, M],
    folder: Path,
    out: Path,
    checkpoint: Checkpoint,
    size: tuple[int, int] | None = None,
    weights: AskedWeights = "better",
) -> str:
    """Writes the network of a run, from images uint8 `[N, H, W, C]` to masks uint8 `[N, H, W]`; returns how to run it.

    N is any number. H and W are any numbers from 16 up, unless a size is given or the network has a fixed one.

    Raises:
      ValueError: the network has another size, or the size is too small, or `out` is a folder.
    """
    check_out(out, "model.stablehlo")
    with Progress(3, "export", unit="stages") as progress:
        trained = read_run(study, folder, checkpoint, weights=weights)
        shape = _size(study, trained.config, size)
        progress.update()
        exported = _exported(study, trained, shape)
        progress.update()
        out.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(out, bytes(exported.serialize()))
        progress.update()
    words = f"{shape[0]}x{shape[1]} pixels" if shape else f"any size from {_SMALLEST} pixels on"
    channels = trained.config.data.channels
    return f"""{out}: step {trained.step}, images of {words}, for {", ".join(PLATFORMS)}.
With only jax and flatbuffers:
  from jax import export
  model = export.deserialize(open("{out}", "rb").read())
  masks = model.call(images)  # uint8 [N, H, W, {channels}] -> uint8 [N, H, W], the classes of {folder}/classes.yaml"""


def _exported(
    study: DenseStudy[C, M], trained: Trained[C, data.Classes, M], shape: tuple[int, int] | None
) -> jax_export.Exported:
    config, trees = trained.config, jax.device_get(Trees.of(trained.state))

    def segment(images: jax.Array) -> jax.Array:
        mean, std = (jnp.asarray(statistic).reshape(1, 1, 1, -1) for statistic in normalization(config))
        pixels = (images.astype(jnp.float32) - mean) / std
        masks = study.segment(config, trained.network.model(trees), pixels, (images.shape[1], images.shape[2]))
        return masks.astype(jnp.uint8)

    channels = config.data.channels
    names = "b, {}, {}, {}".format(*(shape or ("h", "w")), channels)
    constraints = () if shape else (f"h >= {_SMALLEST}", f"w >= {_SMALLEST}")
    symbolic = jax_export.symbolic_shape(names, constraints=constraints)
    return jax_export.export(jax.jit(segment), platforms=PLATFORMS)(jax.ShapeDtypeStruct(symbolic, jnp.uint8))


def _size(study: DenseStudy[C, M], config: C, size: tuple[int, int] | None) -> tuple[int, int] | None:
    """The fixed size of images, or None for any."""
    if size is not None and min(size) < _SMALLEST:
        raise ValueError(f"--size must be at least {_SMALLEST} {_SMALLEST}, got {size[0]} {size[1]}")
    own = study.export_size(config)
    if own is not None and size not in (None, own):
        raise ValueError(f"--size must be {own[0]} {own[1]}, which the network sees, got {size[0]} {size[1]}")
    return own or size
