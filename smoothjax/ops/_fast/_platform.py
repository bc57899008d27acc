"""The choice of a form by platform, made when a computation is lowered."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import jax
from jax import lax

Result = TypeVar("Result")


def by_platform(*arguments: jax.Array, default: Callable[..., Result], **per_platform: Callable[..., Result]) -> Result:
    """Calls the form of the platform that the computation is lowered for: `by_platform(x, w, cpu=fast, default=plain)`.

    The choice is made at lowering (`jax.lax.platform_dependent`), never by the default backend of the process that
    traces: `jax.export` for several platforms writes each platform's own form. The compiler sees one form only.

    All forms compute the same function. Differentiation keeps the arguments as its only residuals and computes what
    else a gradient needs in the backward pass, so that nothing of a form that was not chosen is ever stored. Forms that
    are (multi-)linear lose nothing by it. Inside a `custom_jvp` rule, choose in the primal and once in each tangent.

    Args:
      arguments: arrays, or pytrees of arrays, that every form takes. Whatever a form differentiates or maps must be
        among them: a form closes over no tracer.
      default: the form for all other platforms, the plain one.
      per_platform: forms by the platform's name: `cpu`, `cuda`, `rocm`, `tpu`. A form is a function, or a
        `functools.partial` of one that binds hashable values: equal forms are traced once, and calls outside `jit` do
        not compile anew. Write no lambda or local function, which differ at each call. Results must agree in shape,
        dtype and, under `shard_map`, the axes they vary over (`jnp.zeros_like(x)`, not `jnp.zeros`).

    Returns:
      What the form returns.
    """
    plain = _form(default)
    forms = {platform: _form(function) for platform, function in sorted(per_platform.items())}
    special = tuple((platform, form) for platform, form in forms.items() if form != plain)
    return _chosen(special, plain, *arguments) if special else default(*arguments)


@dataclass(frozen=True, order=False)
class _Form:
    """A function and what is bound to it, compared by value; partial objects are compared by identity."""

    function: Callable[..., object]
    bound: tuple[Hashable, ...]
    keywords: tuple[tuple[str, Hashable], ...]

    def __call__(self, *arguments: jax.Array) -> object:
        return self.function(*self.bound, *arguments, **dict(self.keywords))


def _form(function: Callable[..., object]) -> _Form:
    if not isinstance(function, partial):
        return _Form(function, (), ())
    return _Form(function.func, function.args, tuple(sorted(function.keywords.items())))


# Compiled here, for calls outside jit.
@partial(jax.jit, static_argnums=(0, 1))
def _chosen(forms: tuple[tuple[str, _Form], ...], default: _Form, *arguments: jax.Array) -> object:
    # The residuals of a branch are those of all branches; of a checkpoint, only its arguments.
    @partial(jax.checkpoint, prevent_cse=False)
    def choose(*arguments: jax.Array) -> object:
        return lax.platform_dependent(*arguments, default=default, **dict(forms))

    return choose(*arguments)
