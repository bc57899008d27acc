"""Gridding in networks."""

import importlib
import inspect
import json
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from matplotlib import colormaps
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure

from .. import analysis
from .._checks import is_unbound_linen
from ..files import check_figure, write_figure


def diagnose_network(target: str, shape: str, out: Path, layout: str, *, as_json: bool = False) -> str:
    """The report on a network, as text or JSON; draws its effective receptive field."""
    sizes = parse_shape(shape)
    check_figure(out, name="--out")
    loaded = load_network(target)
    one_example = of_equinox(loaded) and layout == "channels_last"
    hint = "an Equinox layer takes one example, channels first: add --layout channels_first" if one_example else ""
    if not hint and len(sizes) > 3 and sizes[1] <= 4 < sizes[-1]:
        hint = "sizes are [N, *S, C], channels last"
    _check_axes(loaded, sizes)
    inputs = jax.random.normal(jax.random.key(0), sizes)
    with failing(target, sizes, hint):
        network = in_evaluation(loaded, inputs, layout)
        certificate = analysis.certify(network, jax.ShapeDtypeStruct(sizes, jnp.float32))
        field = analysis.effective_receptive_field(network, inputs)
        layers = _layers(network, certificate, inputs)
    rate = max([2, *(max(axis.classes) + 1 for run in certificate.runs for axis in run.axes)])
    imbalance = imbalance_of(field, rate)
    if field.ndim == 2:
        write_figure(out, draw_field(field, imbalance, rate))
    runs = [(run, *_measured(network, certificate, run, inputs)) for run in certificate.runs]
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
            "layers": [layer._asdict() for layer in layers],
            "smallest": certificate.smallest,
            "rate": rate,
            "phase_imbalance": imbalance,
        }
        return json.dumps(content, indent=2)
    lines = [str(certificate), "phase imbalance at random inputs (0: all phases alike, 1: one has all)"]
    lines.append(f"  of the whole, rate {rate}: {shown(imbalance)}")
    lines += [f"  from {run.start} to {run.stop}, rate {rate}: {shown(value)}" for run, rate, value in runs]
    if layers:
        width = max(len(layer.name) for layer in layers)
        lines.append("  of the output, in what each convolution is given")
        for layer in layers:
            lines.append(f"    {layer.name:<{width}}  rate {layer.rate}: {shown(layer.phase_imbalance)}")
    else:
        lines.append("  not by layer: a loop calls the convolutions, so they cannot be distinguished")
    if field.ndim == 2:
        lines.append(f"{out} shows the effective receptive field at random inputs.")
    return "\n".join(lines)


def _measured(
    network: Callable[..., jax.Array], certificate: analysis.Certificate, run: analysis.Run, inputs: jax.Array
) -> tuple[int, float | None]:
    """Rate and phase imbalance of a run of layers; None if a loop calls them, or a path leads around them."""
    rate = max(2, *(max(axis.classes) + 1 for axis in run.axes))
    try:
        if isinstance(network, nnx.Module):
            block = analysis.between(network, inputs, run.start, run.stop)
            field = analysis.effective_receptive_field(block, block.features(inputs))
        else:
            names = [one.name if one.is_dilated else None for one in certificate.convolutions]
            stop = names.index(run.stop)
            field = analysis.convolution_fields(network, inputs, of=stop)[names.index(run.start)]
    except ValueError:
        return rate, None
    return rate, imbalance_of(field, rate)


class LayerImbalance(NamedTuple):
    """How unevenly an output of the network sees the input grid of a convolution."""

    name: str
    rate: int
    phase_imbalance: float | None


def _layers(
    network: Callable[..., jax.Array], certificate: analysis.Certificate, inputs: jax.Array
) -> list[LayerImbalance]:
    """The imbalances of each call of a convolution; none if a loop calls them."""
    is_nnx = isinstance(network, nnx.Module)
    rates: dict[str, int] = {}
    for convolution in certificate.convolutions:
        name = convolution.name.partition("#")[0] if is_nnx else convolution.name  # without the number of the call
        own = max(
            (rate for rate, taps in zip(convolution.rates, convolution.kernel, strict=True) if taps > 1), default=1
        )
        rates[name] = max(rates.get(name, 1), own)
    fields: list[tuple[str, str, np.ndarray]]
    try:
        if is_nnx:
            fields = [(one.name, one.call, one.field) for one in analysis.layer_fields(network, inputs)]
        else:
            names = [one.name for one in certificate.convolutions]
            found = zip(names, analysis.convolution_fields(network, inputs), strict=True)
            # A convolution that smooths comes before the dilated one, under the name of their layer.
            fields = [(name, name, field) for number, (name, field) in enumerate(found) if name not in names[:number]]
    except (TypeError, ValueError):  # layers in loops cannot be reached one by one
        return []
    found_layers = []
    for layer, call, field in fields:
        if layer in rates:
            rate = max(2, rates[layer])  # for a layer of rate 1, the grid of rate 2, the finest possible
            found_layers.append(LayerImbalance(call, rate, imbalance_of(field, rate)))
    return found_layers


def _check_axes(network: Callable[..., jax.Array], sizes: tuple[int, ...]) -> None:
    """Refuses an input of other spatial axes than the convolutions have: Flax would take its batch axis for one."""
    if not isinstance(network, nnx.Module):
        return
    # Ours have the attributes of Flax's.
    parts: list[Any] = [part for _, part in nnx.iter_modules(network) if hasattr(part, "kernel_dilation")]
    axes = {len(part.kernel_size) for part in parts}
    if axes and len(sizes) - 2 not in axes:
        wanted = " or ".join(map(str, sorted(axes)))
        raise ValueError(
            f"--input must be [N, *S, C] with {wanted} spatial axes, as the convolutions have, got "
            f"{','.join(map(str, sizes))}: begin with the number of images, such as 1"
        )


def in_evaluation(network: Callable[..., jax.Array], inputs: jax.Array, layout: str) -> Callable[..., jax.Array]:
    """A network as a function of `[N, *S, C]`, without dropout and with kept statistics if its kind has such a mode.

    A Linen module that has no parameters yet is initialised at random, which is enough for proofs.
    """
    if isinstance(network, nnx.Module):
        network.eval()
    if is_unbound_linen(network):
        given = inputs if layout == "channels_last" else jnp.moveaxis(inputs, -1, 1)[0]
        module: Any = network
        variables = jax.jit(module.init)(jax.random.key(0), given)
        network = partial(module.apply, variables)
    if of_equinox(network):
        network = sys.modules["equinox"].nn.inference_mode(network)
    return channels_last(network) if layout == "channels_first" else network


def of_equinox(network: object) -> bool:
    """Whether a network is a module of Equinox, which is no dependency: whoever has made one has imported it."""
    equinox: Any = sys.modules.get("equinox")
    return equinox is not None and isinstance(network, equinox.Module)


@contextmanager
def failing(target: str, sizes: tuple[int, ...], hint: str = "") -> Iterator[None]:
    """Turns any error of user code into one sentence, which ends with the hint; ours are sentences already."""
    try:
        yield
    except Exception as error:
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        if isinstance(error, ValueError) and frame.f_globals.get("__name__", "").startswith("smoothjax."):
            raise
        # Equinox splits a sentence into several arguments. JAX's long explanations begin with the paragraph that has
        # the reason.
        split = len(error.args) > 1 and all(isinstance(part, str) for part in error.args)
        reason = ("".join(error.args) if split else str(error)).strip().split("\n\n")[0]
        what = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
        if isinstance(error, TypeError) and re.search(r"missing \d+ required", reason):
            hint = "name a function that returns it with the others bound, as functools.partial(network, train=False)"
        after = f"; {hint}" if hint else ""
        reason = reason.rstrip(".") if hint else reason
        raise ValueError(f"{target} does not take inputs of shape {list(sizes)}: {what}{reason}{after}") from error


def imbalance_of(field: np.ndarray, rate: int) -> float | None:
    """The phase imbalance of a field; None if it has none."""
    return analysis.phase_imbalance(field, rate=rate) if field.any() and min(field.shape) >= rate else None


def shown(value: float | None) -> str:
    """A number as text, or a note that there is none."""
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
    """The object named by `MODULE:NAME`, or its result if it takes no argument, or only `rngs`."""
    module, _, name = target.partition(":")
    if not module or not name:
        raise ValueError(f"the network must be MODULE:NAME, such as my_models:make_unet, got {target}")
    # Modules in the working directory, as for `python -m`.
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise  # of a module that it imports
        plain = Path(module.removesuffix(".py")).name
        remedy = f"write {plain}:{name}" if module != plain else "start in the folder that holds it, or install it"
        raise ValueError(f"No module named {module!r}: {remedy}") from error
    except ImportError:
        raise
    except Exception as error:
        raise ValueError(f"{module} cannot be imported: {type(error).__name__}: {error}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise ValueError(f"{module} has no {name}: give the name of a network, or of a function that makes one")
        found = getattr(found, part)
    if not callable(found):
        raise ValueError(f"{target} must be callable, got {type(found).__name__}")
    made: object = found
    if _makes_a_network(found):
        try:
            made = found(**_arguments(found))
        except Exception as error:
            raise ValueError(
                f"{target} must make a network without arguments: {type(error).__name__}: {error}"
            ) from error
    if not callable(made):
        raise ValueError(f"{target} must make a network that can be called, got {type(made).__name__}")
    return cast("Callable[..., jax.Array]", made)


def _makes_a_network(function: Callable[..., object]) -> bool:
    """Whether it is a class, or needs no argument and so takes no input."""
    if inspect.isclass(function) or _arguments(function):
        return True
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # nothing is known of it
        return False
    return all(one.default is not one.empty or one.kind in (one.VAR_KEYWORD, one.KEYWORD_ONLY) for one in parameters)


def _arguments(function: Callable[..., object]) -> dict[str, nnx.Rngs]:
    """The arguments of what makes a network: a source of randomness if it takes that and nothing else."""
    is_class = inspect.isclass(function)  # whose metaclass takes anything
    try:
        parameters = [*inspect.signature(function.__init__ if is_class else function).parameters.values()][is_class:]
    except (TypeError, ValueError):  # nothing is known of it
        return {}
    every = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    required = [one.name for one in parameters if one.default is one.empty and one.kind not in every]
    return {"rngs": nnx.Rngs(0)} if required == ["rngs"] else {}


def channels_last(network: Callable[..., jax.Array]) -> Callable[[jax.Array], jax.Array]:
    """A network of one example `[C, *S]` as one of `[N, *S, C]`."""

    def call(x: jax.Array) -> jax.Array:
        return jnp.moveaxis(jax.vmap(network)(jnp.moveaxis(x, -1, 1)), 1, -1)

    return call


def draw_field(field: np.ndarray, imbalance: float | None, rate: int) -> Figure:
    """A receptive field as a figure; what has no weight is black."""
    figure = Figure(figsize=(5.4, 4.6), dpi=110, layout="constrained")
    axes = figure.subplots()
    colors = ListedColormap(colormaps["viridis"](np.linspace(0.22, 1, 256)))  # without its dark end: black is zero
    colors = colors.with_extremes(bad="black", under=colors(0))
    weights = np.ma.masked_equal(field / (field.max() or 1), 0)
    image = axes.imshow(weights, cmap=colors, norm=LogNorm(1e-4, 1), interpolation="nearest")
    axes.set(xlabel="input pixel", ylabel="input pixel")
    bar = figure.colorbar(image, ax=axes, shrink=0.8, extend="min")
    bar.set_label("share of the largest weight; black: none")
    seen = np.argwhere(field)
    area = np.prod(np.ptp(seen, axis=0) + 1) if len(seen) else 0
    holes = f"{100 * (1 - len(seen) / area):.0f} % of it without weight" if area else "empty"
    title = f"receptive field of the output in the middle: {holes}\nphase imbalance at rate {rate}: {shown(imbalance)}"
    axes.set_title(title, fontsize=10)
    return figure
