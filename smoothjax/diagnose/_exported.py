"""Gridding in exported programs, of which only the results are visible."""

import math
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from .. import analysis
from ..files import check_figure
from ._measured import Measured, report
from ._network import failing, parse_shape

#: Units along each axis, at the centre of the outputs, whose gradients are computed.
_BLOCK = 9
#: Changes in one pass through a program that takes any number of examples.
_BATCH = 16


def is_exported(target: str) -> bool:
    """Whether a target is a file instead of MODULE:NAME."""
    return Path(target).suffix in (".stablehlo", ".bin", ".export", ".jax") or Path(target).is_file()


def diagnose_exported(
    target: str, shape: str, out: Path, layout: str, block: int | None = None, *, as_json: bool = False
) -> str:
    """The report on an exported program, as text or JSON; draws what its central output sees."""
    sizes = parse_shape(shape)
    check_figure(out, name="--out")
    program = read_program(Path(target))
    with failing(target, sizes):
        found = _measure(program, sizes, layout, block)
    return report(found, out, as_json=as_json)


def read_program(path: Path) -> export.Exported:
    """A file that `jax.export` wrote."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        program = export.deserialize(bytearray(path.read_bytes()))
    except ImportError:
        raise
    # For a damaged file flatbuffers raises various errors.
    except Exception as error:
        raise ValueError(
            f"{path}: expected a program that jax.export has serialised ({type(error).__name__}); write it with "
            "jax.export.export(...)(...).serialize(), or with `export RUN --format stablehlo` of a study"
        ) from error
    if len(program.in_avals) != 1 or len(program.out_avals) != 1:
        raise ValueError(
            f"{path}: the program must map one array to one, got {len(program.in_avals)} and "
            f"{len(program.out_avals)}: export a function that holds its weights"
        )
    return program


def _measure(program: export.Exported, sizes: tuple[int, ...], layout: str, block: int | None) -> Measured:
    (given,), (made,) = program.in_avals, program.out_avals
    call = _one_by_one(program.call) if layout == "channels_first" else program.call
    floats = all(jnp.issubdtype(one.dtype, jnp.floating) for one in (given, made))
    if floats and program.has_vjp():
        if block is not None:
            raise ValueError(
                f"--block is for programs without derivatives, and this one has them, got {block}: leave it out"
            )
        return _by_gradients(call, _random(sizes, given.dtype))
    fixed = layout == "channels_last" and isinstance(given.shape[0], int)
    batch = given.shape[0] if fixed else _BATCH
    images = _random((2, *sizes[1:]), given.dtype)
    found = analysis.sharing_by_changes(call, images, batch_size=batch, block=block, progress=True)
    sides = [size if block is None else min(block, size) for size in found.field.shape]
    pixels = f"{math.prod(sides)} input pixels"
    pixels += "" if block is None else f", those of the {'x'.join(map(str, sides))} at the centre,"
    how = f"by changing each of {pixels} of 2 random images, in passes through the program, "
    how += "which carries no derivative" if floats else f"which maps {given.dtype} to {made.dtype}"
    if not jnp.issubdtype(made.dtype, jnp.floating):
        how += "; results are integers, such as classes: a change that alters none of them is not seen"
    return Measured(found.axes, found.field, how)


def _by_gradients(call: Callable[[jax.Array], jax.Array], inputs: jax.Array) -> Measured:
    field = analysis.effective_receptive_field(call, inputs)
    outputs = jax.eval_shape(call, inputs).shape[1:-1]
    block = [min(size, _BLOCK) for size in outputs]
    starts = [(size - length) // 2 for size, length in zip(outputs, block, strict=True)]
    units = [[start + k for start, k in zip(starts, unit, strict=True)] for unit in np.ndindex(*block)]
    sets = analysis.receptive_sets(call, inputs, units)
    words = "x".join(map(str, block))
    how = f"by gradients of the {words} outputs at the centre, at {len(inputs)} random inputs"
    return Measured(analysis.sharing_of_sets(sets, block), field, how)


def _random(sizes: tuple[int, ...], dtype: np.dtype) -> jax.Array:
    if jnp.issubdtype(dtype, jnp.floating):
        return jax.random.normal(jax.random.key(0), sizes).astype(dtype)
    if not jnp.issubdtype(dtype, jnp.integer):
        raise ValueError(f"the program must take floating-point or integer maps, got {dtype}: export it so")
    return jax.random.randint(jax.random.key(0), sizes, 0, min(255, jnp.iinfo(dtype).max) + 1).astype(dtype)


def _one_by_one(call: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array], jax.Array]:
    """A program of one example `[C, *S]` as one of `[N, *S, C]`; exported programs cannot be mapped by `jax.vmap`."""

    def mapped(x: jax.Array) -> jax.Array:
        found = jax.lax.map(call, jnp.moveaxis(x, -1, 1))
        return jnp.moveaxis(found, 1, -1) if found.ndim == x.ndim else found

    return mapped
