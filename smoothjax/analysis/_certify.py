"""Proofs, from the program of a network, that neighbouring outputs share no input, or that they do."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from flax import nnx
from jax.extend.core import ClosedJaxpr

from .._checks import is_unbound_linen
from ._arguments import Inputs
from ._constants import Weights, as_constant
from ._hitting import smallest_hitting
from ._propagate import Convolution, Feature, Walk, is_float
from ._relations import Term
from ._sharing import Sharing, doubts_of, is_certain, is_local, listed, sharing
from ._values import Data
from ._watch import layer_of, scoped

Verdict = Literal["gridding proven", "no gridding", "unknown"]


class Run(NamedTuple):
    """A sequence of convolutions with proven gridding.

    Attributes:
      start, stop: names of the first and the last; neighbouring outputs of `stop` share no input unit of `start`.
      layers: names of the dilated convolutions from first to last, inclusive.
      axes: what neighbours share along each axis.
    """

    start: str
    stop: str
    layers: tuple[str, ...]
    axes: tuple[Sharing, ...]


@dataclass(frozen=True)
class Certificate:
    """The result of `certify`; its text begins with the verdict.

    Attributes:
      verdict: `"gridding proven"`: along an axis, no two neighbouring outputs share an input; `"no gridding"`: along
        every axis some do; `"unknown"`: they may share some by operations that are not followed exactly.
      axes: what neighbouring outputs share along each spatial axis, as upper bounds.
      runs: sequences of dilated convolutions inside the function with proven gridding, whatever mixes before and after
        them; only the longest sequences are listed.
      smallest: names of the fewest convolutions to smooth, by an SS convolution before each, so that neither gridding
        of the outputs nor a run remains; None if there is nothing to remove, or smoothing cannot remove it. A layer of
        a Flax NNX module that is called several times counts once, and has the name that `nn.smooth` takes.
      doubts: operations that are not followed exactly; if there are none, all numbers are exact.
      everywhere: operations without which gridding would be proven, such as a mean over the map, whose results are the
        same for all outputs.
      convolutions: all convolutions that depend on the inputs, in program order.
    """

    verdict: Verdict
    axes: tuple[Sharing, ...]
    runs: tuple[Run, ...]
    smallest: tuple[str, ...] | None
    doubts: tuple[str, ...]
    everywhere: tuple[str, ...]
    convolutions: tuple[Convolution, ...]

    def __str__(self) -> str:
        lines = [_headline(self)]
        for number, axis in enumerate(self.axes):
            lines.append(f"  axis {number}: {axis.describe_pairs()}")
        if self.doubts and self.verdict != "unknown":
            lines.append(f"  at most; not followed exactly: {listed(self.doubts)}")
        for run in self.runs:
            along = listed([f"axis {number}" for number, axis in enumerate(run.axes) if axis.is_gridding])
            kinds = listed(dict.fromkeys(axis.describe() for axis in run.axes if axis.is_gridding))
            lines += [
                f"  inside, gridding is proven along {along} from {run.start} to {run.stop}",
                f"    ({len(run.layers)} dilated convolutions in sequence): {kinds}",
            ]
        if self.smallest is not None:
            lines.append(f"  the fewest convolutions to smooth: {', '.join(self.smallest)}")
        elif self.verdict == "gridding proven" or self.runs:
            lines.append("  no smoothing of its convolutions removes it")
        return "\n".join(lines)


def certify(
    function: Callable[..., jax.Array] | nnx.Module, *inputs: Inputs, smooth: Collection[str] | Literal["all"] = ()
) -> Certificate:
    """Proves from the program of a network whether neighbouring outputs share inputs: no weights, no images, no run.

    JAX traces the function. `certify` then describes every intermediate array by the input units that its elements may
    depend on. This is exact for convolutions with strides, dilations and groups, pooling, resizing, padding, slices,
    reshapes and transpositions, concatenation, reductions, products, loops and calls. Weights count as nonzero,
    rectifiers as open, and data never cancel. An unknown operation counts as mixing everything. So a proof of gridding
    always holds; the verdict is "no gridding" only if exactly followed operations make neighbours share something.

    Small inputs are quick, but should hold a receptive field or two.

    Args:
      function: maps the inputs to maps `[N, *S', C']` with the same number of spatial axes. The convolutions of a Flax
        NNX module, in evaluation mode, have the names listed by `layers`, from the second call of a layer on with
        the number of the call, as `conv#2`; Flax Linen also names them; others are numbered, as `convolution#1`.
      inputs: maps `[N, *S, C]` with the same d = 1, 2 or 3 spatial axes, arrays or `jax.ShapeDtypeStruct`s. Examples
        and channels are pooled.
      smooth: names of dilated convolutions to treat as smoothed by an SS convolution, in all their calls, or `"all"`.

    Returns:
      The certificate; `print` shows it.

    Raises:
      ValueError: inputs are no maps of the same number of axes, the function's result is none, the function writes into
        a `jax.new_ref`, or a name in smooth is not that of a dilated convolution.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import analysis, ops
      >>> def network(x):
      ...     for _ in range(3):
      ...         x = ops.dilated_conv(x, jnp.ones((3, 3, 1, 1)), rate=2)
      ...     return x
      >>> print(analysis.certify(network, jnp.ones((1, 16, 16, 1))))
      gridding proven: along both axes no two neighbouring outputs share an input
        axis 0: 0 of 240 pairs of neighbours share inputs; 2 classes, the positions modulo 2
        axis 1: 0 of 240 pairs of neighbours share inputs; 2 classes, the positions modulo 2
        inside, gridding is proven along axis 0 and axis 1 from convolution#1 to convolution#3
          (3 dilated convolutions in sequence): 2 classes, the positions modulo 2
        the fewest convolutions to smooth: convolution#2

    References:
      Wang & Ji, Smoothed Dilated Convolutions for Improved Dense Prediction, KDD 2018, Sec. 3.1, Fig. 2.
    """
    if not isinstance(smooth, Collection):
        raise ValueError(f'smooth must hold names of dilated convolutions, or be "all", got {smooth!r}: give a list')
    program = _Program(function, inputs)
    first = program.walk(frozenset(), {})[0]
    calls: dict[str, set[str]] = {}
    for convolution in first.convolutions:
        if convolution.is_dilated:
            calls.setdefault(program.layer_of(convolution.name), set()).add(convolution.name)
    every = isinstance(smooth, str) and smooth == "all"
    supposed = frozenset(calls) if every else frozenset(map(program.layer_of, smooth))
    if (isinstance(smooth, str) and not every) or supposed - frozenset(calls):
        names = ", ".join(sorted(calls)) or "none"
        raise ValueError(
            f'smooth must hold names of dilated convolutions, or be "all", got {smooth!r}: here these are {names}'
        )
    found = program.certificate(first, _calls_of(calls, supposed))
    smallest = None
    if found.verdict == "gridding proven" or found.runs:
        smallest = program.fewest(first, supposed, calls)
    return replace(found, smallest=smallest)


def _calls_of(calls: Mapping[str, Collection[str]], layers: Collection[str]) -> frozenset[str]:
    """The names of all calls of some layers."""
    return frozenset(name for layer in layers for name in calls[layer])


class _Program:
    """A traced function, with passes through it."""

    def __init__(self, function: Callable[..., jax.Array] | nnx.Module, inputs: Sequence[Inputs]):
        ranks = {len(getattr(one, "shape", ())) for one in inputs}
        if shapes := [one for one in inputs if isinstance(one, tuple)]:
            raise ValueError(
                f"inputs must be arrays, got the tuple {shapes[0]}: write jax.ShapeDtypeStruct(shape, dtype)"
            )
        if len(ranks) != 1 or not ranks <= {3, 4, 5} or not all(is_float(one.dtype) for one in inputs):
            raise ValueError(
                "inputs must be floating-point maps [N, *S, C] with the same one to three spatial axes, at least one, "
                f"got {[getattr(one, 'shape', type(one).__name__) for one in inputs]}: bind other arguments with "
                "functools.partial"
            )
        self.shapes = [tuple(one.shape) for one in inputs]
        given = [jax.ShapeDtypeStruct(one.shape, one.dtype) for one in inputs]
        leaves: list[Any] = []
        self._has_layers = isinstance(function, nnx.Module)
        if is_unbound_linen(function):
            raise ValueError(
                f"function must take maps alone, the Linen module {type(function).__name__} has no variables: bind "
                "them, functools.partial(module.apply, variables)"
            )
        if isinstance(function, nnx.Module):
            call, state = scoped(function)
            leaves = jax.tree.leaves(state)
            program, shape = jax.make_jaxpr(call, return_shape=True)(state, *given)
        else:
            program, shape = jax.make_jaxpr(function, return_shape=True)(*given)
        self.program: ClosedJaxpr = program
        self.weights = [Weights(np.shape(leaf)) for leaf in leaves]
        (rank,) = ranks
        result = getattr(shape, "shape", None)
        if result is None or len(result) != rank:
            got = type(shape).__name__ if result is None else result
            remedy = (
                "take one array of it in a module or function around the network"
                if result is None
                else "pass a block of the network before its axes are pooled away, e.g. of analysis.between"
            )
            raise ValueError(
                f"function must return maps of {rank - 2} spatial axes as its inputs, [N, *S, C], got {got}: {remedy}"
            )
        self.axes = tuple(range(1, rank - 1))

    def layer_of(self, name: str) -> str:
        """The layer of a convolution; names of convolutions that no module holds are theirs alone."""
        return layer_of(name) if self._has_layers and not name.startswith("convolution#") else name

    def walk(self, smooth: frozenset[str], features: dict[int, Feature]) -> tuple[Walk, Data]:
        walk = Walk(smooth, features)
        sources = [walk.source(number, shape) for number, shape in enumerate(self.shapes)]
        constants = [as_constant(value) for value in self.program.consts]
        (out,) = walk.run(self.program.jaxpr, constants, [*self.weights, *sources])
        shape = self.program.jaxpr.outvars[0].aval.shape
        return walk, out if isinstance(out, Data) else Data(shape, ())

    def certificate(self, first: Walk, smooth: frozenset[str]) -> Certificate:
        """The certificate without `smallest`."""
        features = self._features(first)
        walk, out = self.walk(smooth, features)

        def outer(term: Term) -> bool:
            return term.source < len(self.shapes)

        found = sharing(out, self.axes, outer)
        certain = sharing(out, self.axes, lambda term: outer(term) and is_certain(term))
        local = sharing(out, self.axes, lambda term: outer(term) and is_local(term))
        everywhere = frozenset[str]()
        doubts = doubts_of(out._replace(terms=tuple(filter(outer, out.terms))), self.axes)
        verdict: Verdict = "no gridding"
        if any(axis.is_gridding for axis in found):
            verdict = "gridding proven"
        elif any(axis.pairs and not sure.shared for axis, sure in zip(found, certain, strict=True)):
            verdict = "unknown"
        if verdict != "gridding proven" and any(axis.is_gridding for axis in local):
            everywhere = frozenset().union(*(term.everywhere for term in out.terms if outer(term)))
        runs = _longest(_runs(walk, features))
        return Certificate(
            verdict, found, runs, None, tuple(sorted(doubts)), tuple(sorted(everywhere)), tuple(walk.convolutions)
        )

    def fewest(
        self, first: Walk, supposed: frozenset[str], calls: Mapping[str, Collection[str]]
    ) -> tuple[str, ...] | None:
        """The fewest convolutions to smooth, in program order, each a layer with all its calls."""
        names = [name for name in calls if name not in supposed]
        last = self.certificate(first, _calls_of(calls, calls))
        if last.verdict == "gridding proven" or last.runs:
            return None
        hit: set[frozenset[str]] = set()
        chosen = frozenset[str]()
        for _ in range(len(names)):
            found = self._pieces(first, _calls_of(calls, supposed | chosen), names)
            if not found:
                return tuple(name for name in names if name in chosen)
            # Choose from each set; if gridding remains, add the remaining sets and choose again.
            hit |= {piece - chosen for piece in found}
            chosen = smallest_hitting(names, hit)
        return tuple(names)

    def _features(self, first: Walk) -> dict[int, Feature]:
        """The inputs of layers with dilated convolutions, as additional sources."""
        features: dict[int, Feature] = {}
        for convolution, (number, axes) in zip(first.convolutions, first.given, strict=True):
            if convolution.is_dilated and number not in features:
                features[number] = (len(self.shapes) + len(features), axes)
        return features

    def _pieces(self, first: Walk, smooth: frozenset[str], names: Sequence[str]) -> list[frozenset[str]]:
        """Sets of convolutions; one of each set has to be smoothed."""
        features = self._features(first)
        walk, out = self.walk(smooth, features)
        pieces = [frozenset(map(self.layer_of, run.layers)) for run in _runs(walk, features)]
        whole = sharing(out, self.axes, lambda term: term.source < len(self.shapes))
        if any(axis.is_gridding for axis in whole):
            pieces.append(frozenset(names))
        return pieces


def _runs(walk: Walk, features: dict[int, Feature]) -> list[Run]:
    """All pairs of dilated convolutions between which neighbours share nothing."""
    dilated = [index for index, convolution in enumerate(walk.convolutions) if convolution.is_dilated]
    source = {index: features.get(walk.given[index][0], (-1, ()))[0] for index in dilated}
    reached = {index: {term.source for term in walk.made[index][0].terms} for index in dilated}
    runs = []
    for stop in dilated:
        made, axes = walk.made[stop]
        for number in sorted(reached[stop].intersection(source.values()) - {source[stop], -1}):
            inner = [index for index in dilated if index in made.passed and number in reached[index]]
            starts = [index for index in inner if source[index] == number]
            shared = sharing(made, axes, lambda term, number=number: term.source == number)
            if starts and any(axis.is_gridding for axis in shared):
                names = tuple(walk.convolutions[index].name for index in inner)
                runs.append(Run(walk.convolutions[starts[0]].name, names[-1], names, shared))
    return runs


def _longest(runs: Sequence[Run]) -> tuple[Run, ...]:
    """The runs that are not part of another run."""
    sets = [frozenset(run.layers) for run in runs]
    return tuple(run for run, layers in zip(runs, sets, strict=True) if not any(layers < other for other in sets))


def _headline(certificate: Certificate) -> str:
    if certificate.verdict == "gridding proven":
        axes = [number for number, axis in enumerate(certificate.axes) if axis.is_gridding]
        every = {1: "the axis", 2: "both axes", 3: "all axes"}[len(certificate.axes)]
        where = every if len(axes) == len(certificate.axes) else listed(f"axis {axis}" for axis in axes)
        return f"gridding proven: along {where} no two neighbouring outputs share an input"
    if certificate.verdict == "unknown":
        return (
            f"unknown: neighbouring outputs may share inputs, but only by {listed(certificate.doubts)}, which "
            "is taken to mix more than it may: the certificate is one-sided"
        )
    if not any(axis.pairs for axis in certificate.axes):
        return "no gridding: there are no two neighbouring outputs that depend on inputs"
    if certificate.everywhere:
        return f"no gridding, but only by what all outputs share ({listed(certificate.everywhere)})"
    return "no gridding: neighbouring outputs share inputs"
