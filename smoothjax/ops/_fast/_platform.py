"""The choice of a form by platform, made at lowering."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import jax
from jax import lax

Result = TypeVar("Result")


def by_platform(*arguments: jax.Array, default: Callable[..., Result], **per_platform: Callable[..., Result]) -> Result:
    """Calls the form for the platform of lowering:

    `by_platform(x, w, cpu=fast, default=plain)`. The choice is made at lowering (`jax.lax.platform_dependent`), never
    by the default backend of the tracing process, so `jax.export` for several platforms writes each platform's own
    form. The compiler sees only one form.

    All forms compute the same function. Differentiation keeps only the arguments as residuals and computes everything
    else in the backward pass, so it stores nothing of the other forms. (Multi-)linear forms lose nothing by this.
    Inside a `custom_jvp` rule, choose in the primal and once in each tangent.

    Args:
      arguments: arrays, or pytrees of arrays, that every form takes. They must include everything that a form
        differentiates or maps: a form must not close over a tracer.
      default: the plain form, for all other platforms.
      per_platform: forms by the platform's name: `cpu`, `cuda`, `rocm`, `tpu`. A form is a function, or a
        `functools.partial` of one that binds hashable values: equal forms are traced once, and calls outside `jit` do
        not compile again. Pass no lambda or local function, which differ at each call. Results must agree in shape,
        dtype and, under `shard_map`, the axes they vary over (`jnp.zeros_like(x)`, not `jnp.zeros`).

    Returns:
      The result of the form.
    """
    plain = _form(default)
    forms = {platform: _form(function) for platform, function in sorted(per_platform.items())}
    special = tuple((platform, form) for platform, form in forms.items() if form != plain)
    return _chosen(special, plain, *arguments) if special else default(*arguments)


@dataclass(frozen=True, order=False)
class _Form:
    """A function with its bound arguments, compared by value; `functools.partial` compares by identity."""

    function: Callable[..., object]
    bound: tuple[Hashable, ...]
    keywords: tuple[tuple[str, Hashable], ...]

    def __call__(self, *arguments: jax.Array) -> object:
        return self.function(*self.bound, *arguments, **dict(self.keywords))


def _form(function: Callable[..., object]) -> _Form:
    if not isinstance(function, partial):
        return _Form(function, (), ())
    return _Form(function.func, function.args, tuple(sorted(function.keywords.items())))


# Jitted here, for calls outside jit.
@partial(jax.jit, static_argnums=(0, 1))
def _chosen(forms: tuple[tuple[str, _Form], ...], default: _Form, *arguments: jax.Array) -> object:
    # A branch would keep the residuals of all branches; a checkpoint keeps only its arguments.
    @partial(jax.checkpoint, prevent_cse=False)
    def choose(*arguments: jax.Array) -> object:
        return lax.platform_dependent(*arguments, default=default, **dict(forms))

    return choose(*arguments)
