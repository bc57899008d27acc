"""The effective receptive field of an output in the input maps of each convolution of a program."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from jax.typing import ArrayLike

from ._arguments import check_maps
from ._programs import body_of, called, is_call, taken_branch
from ._receptive_field import check_finite, error_at_centre, error_in_middle
from ._watch import as_function


def convolution_fields(
    function: Callable[..., Any], inputs: ArrayLike, *, of: int | None = None
) -> tuple[np.ndarray, ...]:
    """The effective receptive field of an output's centre in what each convolution is given, by one backward pass.

    As `layer_fields`, for the convolutions of any function: a Linen or Equinox module needs no names of layers.

    Args:
      function: maps the inputs to maps `[N, *S', C']` with the same number of spatial axes; a Flax NNX module in
        evaluation mode.
      inputs: inputs of the function, `[N, *S, C]`.
      of: number of the convolution whose output counts, in place of that of the function.

    Returns:
      A float64 field `[*S_l]`, not negative, for each of `certify(function, inputs).convolutions`, in the same order;
      0 where the output does not depend on a convolution.

    Raises:
      AssertionError: inputs have another rank or dtype.
      ValueError: a loop calls convolutions, so they cannot be distinguished, the result is not a map with the same
        spatial axes, there is no convolution of that number, or gradients are not finite.

    Example:
      >>> import jax.numpy as jnp
      >>> from smoothjax import analysis, ops
      >>> kernel = jnp.ones((3, 1, 1))
      >>> network = lambda x: ops.dilated_conv(ops.dilated_conv(x, kernel, rate=1), kernel, rate=2)
      >>> [field.tolist() for field in analysis.convolution_fields(network, jnp.ones((1, 7, 1)))]
      [[1.0, 1.0, 2.0, 1.0, 2.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0]]

    References:
      Wang & Ji, KDD 2018, Sec. 4.4, Fig. 9.
    """
    maps = check_maps("inputs", inputs)
    program = jax.make_jaxpr(as_function(function))(maps)

    def run(added: Sequence[jax.Array], maps: jax.Array) -> tuple[jax.Array, list[_Met]]:
        walk = _Walk(added)
        out, *_ = walk.run(program.jaxpr, program.consts, [_Value(maps, depends=True)])
        return out.array, walk.met

    met: list[_Met] = []

    def shapes(maps: jax.Array) -> jax.Array:
        out, found = run((), maps)
        met.extend(found)
        return out

    out = jax.eval_shape(shapes, maps)
    if of is not None and not 0 <= of < len(met):
        raise ValueError(f"of must be the number of one of the {len(met)} convolutions, from 0, got {of}")
    error = error_at_centre(out, maps.ndim) if of is None else error_in_middle(met[of].made, met[of].made_axes)

    @jax.jit
    def gradients(maps: jax.Array, error: jax.Array) -> list[jax.Array]:
        def output(added: list[jax.Array]) -> jax.Array:
            out, found = run(added, maps)
            return out if of is None else found[of].made

        (found,) = jax.vjp(output, [jnp.zeros(one.given.shape) for one in met])[1](error)
        rest = [sorted({*range(one.given.ndim)} - {*one.given_axes}) for one in met]
        return [jnp.abs(gradient).sum(axes) for gradient, axes in zip(found, rest, strict=True)]

    scale = float(error.max()) * len(maps)
    return tuple(check_finite(np.asarray(field, np.float64)) / scale for field in gradients(maps, error))


class _Value(NamedTuple):
    array: Any
    depends: bool


class _Met(NamedTuple):
    """A convolution: its input and its output, and their spatial axes."""

    given: jax.Array
    given_axes: tuple[int, ...]
    made: jax.Array
    made_axes: tuple[int, ...]


class _Walk:
    """Evaluates a program, and adds to the input of each convolution that depends on the program's inputs."""

    def __init__(self, added: Sequence[jax.Array]) -> None:
        self._added = added
        self.met: list[_Met] = []

    def run(self, program: Jaxpr, constants: Sequence[Any], arguments: Sequence[_Value]) -> list[_Value]:
        """The results of a program, from its constants and arguments."""
        fixed = [_Value(constant, depends=False) for constant in constants]
        values: dict[object, _Value] = dict(
            zip((*program.constvars, *program.invars), (*fixed, *arguments), strict=True)
        )

        def read(atom: Var | Literal) -> _Value:
            return _Value(atom.val, depends=False) if isinstance(atom, Literal) else values[atom]

        for equation in program.eqns:
            outs = self._apply(equation, [read(atom) for atom in equation.invars])
            values.update(zip(equation.outvars, outs, strict=True))
        return [read(atom) for atom in program.outvars]

    def _apply(self, equation: JaxprEqn, arguments: list[_Value]) -> list[_Value]:
        name, inner = equation.primitive.name, called(equation)
        if inner is not None and is_call(equation, inner):
            return self.run(body_of(inner), getattr(inner, "consts", ()), arguments)
        if name == "platform_index":
            return [_Value(np.int32(0), depends=False)]
        if name == "cond" and (branch := taken_branch(equation)) is not None:
            return self.run(branch.jaxpr, branch.consts, arguments[1:])
        depends = any(argument.depends for argument in arguments)
        arrays = [argument.array for argument in arguments]
        if inner is not None or (depends and any(_holds_convolutions(part) for part in _programs(equation))):
            raise ValueError(
                f"function calls convolutions in an operation {name}, where they cannot be distinguished: measure a "
                "function that calls them one by one, on whole arrays"
            )
        is_convolution = name == "conv_general_dilated" and arguments[0].depends
        if is_convolution and self._added:
            arrays[0] = arrays[0] + self._added[len(self.met)].astype(arrays[0].dtype)
        made = equation.primitive.bind(*arrays, **equation.params)
        outs = [*made] if equation.primitive.multiple_results else [made]
        if is_convolution:
            numbers = equation.params["dimension_numbers"]
            self.met.append(_Met(arrays[0], tuple(numbers.lhs_spec[2:]), outs[0], tuple(numbers.out_spec[2:])))
        return [_Value(out, depends) for out in outs]


def _programs(equation: JaxprEqn) -> Iterator[Jaxpr]:
    """The programs inside an operation, such as the turn of a loop."""
    for leaf in jax.tree.leaves(dict(equation.params), is_leaf=lambda leaf: isinstance(leaf, (Jaxpr, ClosedJaxpr))):
        if isinstance(leaf, (Jaxpr, ClosedJaxpr)):
            yield body_of(leaf)


def _holds_convolutions(program: Jaxpr) -> bool:
    return any(
        equation.primitive.name == "conv_general_dilated" or any(map(_holds_convolutions, _programs(equation)))
        for equation in program.eqns
    )
