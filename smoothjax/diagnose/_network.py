"""Gridding in networks."""

import importlib
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from matplotlib.figure import Figure

from .. import analysis


def diagnose_network(target: str, shape: str, out: Path, layout: str, *, as_json: bool = False) -> str:
    """The report on a network, as text or JSON; draws its effective receptive field."""
    sizes = parse_shape(shape)
    if not out.suffix or not out.parent.is_dir():
        raise ValueError(f"--out must be a file such as receptive_field.png in a folder that exists, got {out}")
    network = load_network(target)
    if layout == "channels_first":
        network = channels_last(network)
    if isinstance(network, nnx.Module):
        network.eval()
    given = jax.ShapeDtypeStruct(sizes, jnp.float32)
    try:
        certificate = analysis.certify(network, given)
    except (AssertionError, IndexError, TypeError) as error:
        raise ValueError(f"{target} does not take inputs of shape {list(sizes)}: {error}") from error
    rate = max([2, *(max(axis.classes) + 1 for run in certificate.runs for axis in run.axes)])
    inputs = jax.random.normal(jax.random.key(0), sizes)
    field = analysis.effective_receptive_field(network, inputs)
    imbalance = _imbalance(field, rate)
    if field.ndim == 2:
        _draw(field, imbalance, rate).savefig(out)
    runs = [(run, *_measured(network, run, inputs)) for run in certificate.runs]
    if as_json:
        content = {
            "verdict": certificate.verdict,
            "doubts": certificate.doubts,
            "everywhere": certificate.everywhere,
            "pairs": [[axis.shared, axis.pairs] for axis in certificate.axes],
            "runs": [
                {"start": run.start, "stop": run.stop, "layers": run.layers, "rate": rate, "phase_imbalance": value}
                for run, rate, value in runs
            ],
            "smallest": certificate.smallest,
            "rate": rate,
            "phase_imbalance": imbalance,
        }
        return json.dumps(content, indent=2)
    lines = [str(certificate), "phase imbalance at random inputs (0: all phases alike, 1: one has all)"]
    lines.append(f"  of the whole, rate {rate}: {_shown(imbalance)}")
    lines += [f"  from {run.start} to {run.stop}, rate {rate}: {_shown(value)}" for run, rate, value in runs]
    if field.ndim == 2:
        lines.append(f"{out} shows the effective receptive field at random inputs.")
    return "\n".join(lines)


def _measured(network: Callable[..., jax.Array], run: analysis.Run, inputs: jax.Array) -> tuple[int, float | None]:
    """Rate and phase imbalance of a run of layers; none where layers have no names, or something goes round them."""
    rate = max(2, *(max(axis.classes) + 1 for axis in run.axes))
    if not isinstance(network, nnx.Module):
        return rate, None
    try:
        block = analysis.between(network, inputs, *(name.split("#")[0] for name in (run.start, run.stop)))
    except ValueError:
        return rate, None
    field = analysis.effective_receptive_field(block, block.features(inputs))
    return rate, _imbalance(field, rate)


def _imbalance(field: np.ndarray, rate: int) -> float | None:
    return analysis.phase_imbalance(field, rate=rate) if field.any() and min(field.shape) >= rate else None


def _shown(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"


def parse_shape(text: str) -> tuple[int, ...]:
    """Sizes such as `1,65,65,3`."""
    try:
        sizes = tuple(int(part) for part in text.strip("[]()").split(","))
    except ValueError:
        sizes = ()
    if not 3 <= len(sizes) <= 5 or min(sizes) < 1:
        raise ValueError(
            f"--input must be sizes [N, *S, C] with one to three spatial axes, such as 1,65,65,3, got {text}"
        )
    return sizes


def load_network(target: str) -> Callable[..., jax.Array]:
    """What `MODULE:NAME` names, or makes where it is a function without arguments."""
    module, _, name = target.partition(":")
    if not module or not name:
        raise ValueError(f"the network must be MODULE:NAME, such as my_models:make_unet, got {target}")
    # A module beside the caller, as `python -m` finds it.
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        if not hasattr(found, part):
            raise ValueError(f"{module} has no {name}: give the name of a network, or of a function that makes one")
        found = getattr(found, part)
    if not callable(found):
        raise ValueError(f"{target} must be callable, got {type(found).__name__}")
    made: object = found
    if _makes_a_network(found):
        try:
            made = found()
        except TypeError as error:
            raise ValueError(f"{target} must make a network without arguments: {error}") from error
    if not callable(made):
        raise ValueError(f"{target} must make a network that can be called, got {type(made).__name__}")
    return cast("Callable[..., jax.Array]", made)


def _makes_a_network(function: Callable[..., object]) -> bool:
    """Whether it is a class, or needs no argument, and so takes no input."""
    if inspect.isclass(function):
        return True
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # nothing is known of it
        return False
    return all(one.default is not one.empty or one.kind in (one.VAR_KEYWORD, one.KEYWORD_ONLY) for one in parameters)


def channels_last(network: Callable[..., jax.Array]) -> Callable[[jax.Array], jax.Array]:
    """A network of one example `[C, *S]` as one of `[N, *S, C]`."""

    def call(x: jax.Array) -> jax.Array:
        return jnp.moveaxis(jax.vmap(network)(jnp.moveaxis(x, -1, 1)), 1, -1)

    return call


def _draw(field: np.ndarray, imbalance: float | None, rate: int) -> Figure:
    figure = Figure(figsize=(4.6, 4.4), dpi=110, layout="constrained")
    axes = figure.subplots()
    axes.imshow(np.sqrt(field), cmap="viridis", interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    title = f"effective receptive field (square root)\nphase imbalance at rate {rate}: {_shown(imbalance)}"
    axes.set_title(title, fontsize=10)
    return figure
