"""A run as one file that JAX runs by itself: weights, preprocessing and up-sampling included."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import export as jax_export

from ..restore import Checkpoint
from ..run_folder import write_bytes
from .init import normalization
from .runs import read_run
from .study import DenseStudy

PLATFORMS = ("cpu", "cuda", "tpu")
_SMALLEST = 16


def export(
    study: DenseStudy[Any], folder: Path, out: Path, checkpoint: Checkpoint, size: tuple[int, int] | None = None
) -> str:
    """Writes the network of a run: from images uint8 `[N, H, W, 3]` to masks uint8 `[N, H, W]`; says how to run it.

    N is any number. So are H and W from 16 pixels on, or multiples of what the study says, unless a size is given or
    the network has one.

    Raises:
      ValueError: the network has another size, or the size is too small, or `out` is a folder.
    """
    if out.is_dir():
        raise ValueError(f"--out must be a file, got the folder {out}: name it e.g. model.stablehlo")
    trained = read_run(study, folder, checkpoint)
    config = trained.config
    shape, step = _sizes(study, config, size)
    params, model_state = jax.device_get((trained.state.params, trained.state.model_state))

    def segment(images: jax.Array) -> jax.Array:
        mean, std = (jnp.asarray(statistic).reshape(1, 1, 1, 3) for statistic in normalization(config.init))
        pixels = (images.astype(jnp.float32) - mean) / std
        masks = study.segment(config, trained.network, params, model_state, pixels, (images.shape[1], images.shape[2]))
        return masks.astype(jnp.uint8)

    names = "b, {}, {}, 3".format(*(shape or (f"{step}*h", f"{step}*w")))
    smallest = -(-_SMALLEST // step)
    constraints = () if shape else (f"h >= {smallest}", f"w >= {smallest}")
    symbolic = jax_export.symbolic_shape(names, constraints=constraints)
    exported = jax_export.export(jax.jit(segment), platforms=PLATFORMS)(jax.ShapeDtypeStruct(symbolic, jnp.uint8))
    out.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(out, bytes(exported.serialize()))
    multiples = f" that is a multiple of {step}" if step > 1 else ""
    words = f"{shape[0]}x{shape[1]} pixels" if shape else f"any size from {smallest * step} pixels on{multiples}"
    return f"""{out}: step {trained.step}, images of {words}, for {", ".join(PLATFORMS)}.
With jax and flatbuffers alone:
  from jax import export
  model = export.deserialize(open("{out}", "rb").read())
  masks = model.call(images)  # uint8 [N, H, W, 3] -> uint8 [N, H, W], the classes of {folder}/classes.yaml"""


def _sizes(study: DenseStudy[Any], config: Any, size: tuple[int, int] | None) -> tuple[tuple[int, int] | None, int]:
    """The one size of images or None, and what their sizes are multiples of."""
    if size is not None and min(size) < _SMALLEST:
        raise ValueError(f"--size must be at least {_SMALLEST} {_SMALLEST}, got {size[0]} {size[1]}")
    own = study.export_size(config)
    if isinstance(own, tuple) and size not in (None, own):
        raise ValueError(f"--size must be {own[0]} {own[1]}, which the network sees, got {size[0]} {size[1]}")
    return (own, 1) if isinstance(own, tuple) else (size, own)
