"""One suite over every public operation: transformations, dtypes, errors, and the taste of the interface."""

import inspect
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from smoothjax import ops
from tests.support import TOLERANCE, assert_close, random

PUBLIC = {name: value for name, value in vars(ops).items() if inspect.isfunction(value)}
del PUBLIC["conv_general_dilated"]  # it has the interface of jax.lax
PARAMETERLESS = {"identity_group_interaction", "identity_smoother", "multigrid_rates", "pixel_order"}
PARAMETERS = ("smoother", "weight", "kernel", "kernels", "kernel_first", "kernel_second", "kernel_cross", "offsets")
INTS = ("rate", "factor")


def _case(name: str, ndim: int, batch: int = 8):
    """A call of the operation that maps a batch to a batch, its batch axis, and the shape of its argument."""
    size, kernel = (5, 4, 3)[:ndim], random(1, *(3,) * ndim, 2, 2)
    weight, smoother = random(2, 2**ndim, 2**ndim), random(3, *(3,) * ndim)
    maps = (batch, *size, 2)
    groups = (2**ndim, batch, *(2,) * ndim, 2)
    return {
        "periodic_subsample": (partial(ops.periodic_subsample, rate=2), maps, (0, 1)),
        "reinterlace": (partial(ops.reinterlace, rate=2, spatial_shape=(3,) * ndim), groups, (1, 0)),
        "dilated_conv": (partial(ops.dilated_conv, kernel=kernel, rate=2), maps, (0, 0)),
        "group_interaction": (partial(ops.group_interaction, weight=weight), groups, (1, 1)),
        "ss_block_fc": (partial(ops.ss_block_fc, weight=weight, rate=2), maps, (0, 0)),
        "ss_conv": (partial(ops.ss_conv, kernel=smoother), maps, (0, 0)),
        "group_interaction_dilated_conv": (
            partial(ops.group_interaction_dilated_conv, kernel=kernel, weight=weight, rate=2),
            maps,
            (0, 0),
        ),
        "ss_dilated_conv": (
            partial(ops.ss_dilated_conv, kernel=kernel, smoother=smoother, rate=2),
            maps,
            (0, 0),
        ),
        "depthwise_conv": (partial(ops.depthwise_conv, kernel=random(5, *(3,) * ndim, 2), rate=2), maps, (0, 0)),
        "transposed_conv": (partial(ops.transposed_conv, kernel=kernel, factor=2), maps, (0, 0)),
        "ipixel_deconv": (partial(ops.ipixel_deconv, kernels=_kernels(ndim, 2), factor=2), maps, (0, 0)),
        "pixel_deconv": (partial(ops.pixel_deconv, kernels=_kernels(ndim, 0), factor=2), maps, (0, 0)),
        "fast_pixel_deconv": (
            partial(ops.fast_pixel_deconv, kernel_first=kernel, kernel_second=kernel, kernel_cross=kernel),
            maps,
            (0, 0),
        ),
        "carafe": (partial(_everywhere(ops.carafe), kernels=smoother), maps, (0, 0)),
        "dysample": (partial(_everywhere(ops.dysample), offsets=random(6, 2, ndim) / 2), maps, (0, 0)),
        # The other form of some of them.
        "dilated_conv decomposed": (
            partial(ops.dilated_conv, kernel=kernel, rate=2, method="decomposed"),
            maps,
            (0, 0),
        ),
        "transposed_conv direct": (partial(ops.transposed_conv, kernel=kernel, method="direct"), maps, (0, 0)),
        "ss_conv blocked": (partial(ops.ss_conv, kernel=random(3, *(51, 8, 4)[ndim - 1 :: -1])), maps, (0, 0)),
    }[name]


def _everywhere(operation):
    """Gives every output pixel the same kernel, or offsets, whatever the size of x."""

    def call(x, **arguments):
        (name,) = arguments.keys() & set(PARAMETERS)
        value = arguments.pop(name)
        places = [2 * size for size in jnp.shape(x)[1:-1]]
        return operation(x, jnp.broadcast_to(value, (1, *places, *value.shape)), **arguments)

    return call


def _kernels(ndim: int, c_in: int) -> list[jax.Array]:
    """3x3 kernels for the default order of factor 2, to 2 channels; every phase sees `c_in` channels of the input."""
    kernels, earlier = [], 0
    for stage in ops.pixel_order(2, ndim):
        sources = c_in + 2 * earlier or 2
        kernels += [random(4, *(3,) * ndim, sources, 2) / (3**ndim * sources) ** 0.5 for _ in stage]
        earlier += len(stage)
    return kernels


FORMS = ["dilated_conv decomposed", "ss_conv blocked", "transposed_conv direct"]
OPERATIONS = sorted(set(PUBLIC) - PARAMETERLESS) + FORMS
each_operation = pytest.mark.parametrize("name", OPERATIONS)
CASES = [(name, ndim) for name in OPERATIONS for ndim in (1, 2, 3) if name != "fast_pixel_deconv" or ndim == 2]
each_case = pytest.mark.parametrize(("name", "ndim"), CASES)


@pytest.mark.as_users
@each_case
def test_jit_and_dtypes(name, ndim):
    op, shape, _ = _case(name, ndim)
    x = random(0, *shape)
    reference = op(x)
    assert_close(jax.jit(op)(x), reference)
    rounded = jax.jit(op)(x.astype(jnp.bfloat16))
    assert rounded.dtype == jnp.bfloat16
    assert_close(rounded, reference)
    with jax.enable_x64(True):
        double = jax.jit(op)(x.astype(jnp.float64))
        assert double.dtype == jnp.float64
        assert_close(double, reference, TOLERANCE["float32"])


@pytest.mark.as_users
@each_operation
def test_half_precision(name):
    """Every operation sums float16 in float32, and rounds once."""
    op, shape, _ = _case(name, 2)
    x = random(0, *shape).astype(jnp.float16)
    out, gradient = op(x), jax.grad(lambda x: jnp.sum(op(x).astype(jnp.float32)))(x)
    assert out.dtype == gradient.dtype == jnp.float16
    assert_close(out.astype(jnp.float32), op(x.astype(jnp.float32)), 2e-3)


@pytest.mark.as_users
def test_half_precision_is_summed_in_single():
    """In float16 a sum of ones stops at 2048, where 1 is half a step."""
    ones = jnp.ones((1, 1, 1, 4096), jnp.float16)
    assert float(ops.dilated_conv(ones, jnp.ones((1, 1, 4096, 1)))[0, 0, 0, 0]) == 4096


@each_operation
@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_an_empty_map_stays_empty(name, size):
    """In every operation, in value and gradient; both views of an operation agree."""
    op, shape, _ = _case(name, 2)
    at = shape.index(8) + 1
    full, empty = (*shape[:at], 5, 5, *shape[at + 2 :]), (*shape[:at], *size, *shape[at + 2 :])
    op = partial(op.func, **{key: value for key, value in op.keywords.items() if key != "spatial_shape"})
    out = op(jnp.zeros(empty))
    reference = jax.eval_shape(op, jax.ShapeDtypeStruct(full, jnp.float32)).shape
    place = next(i for i, (a, b) in enumerate(zip(out.shape, reference, strict=True)) if a != b)
    assert out.size == 0
    assert [a for i, a in enumerate(out.shape) if i != place] == [b for i, b in enumerate(reference) if i != place]
    assert jax.grad(lambda x: jnp.sum(op(x)))(jnp.zeros(empty)).shape == empty


@pytest.mark.as_users
@each_case
def test_grad_is_the_adjoint(name, ndim):
    """Every operation is linear in x: <op(x), y> = <x, grad(y)>, and jvp(x) = op(x)."""
    op, shape, _ = _case(name, ndim)
    x = random(0, *shape)
    out, tangent = jax.jit(lambda x: jax.jvp(op, (x,), (x,)))(x)
    assert_close(tangent, out)
    y = random(1, *out.shape)
    (gradient,) = jax.jit(lambda x, y: jax.vjp(op, x)[1](y))(x, y)
    assert_close(jnp.vdot(gradient, x), jnp.vdot(y, out), 1e-4)


@each_operation
@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
def test_gradients_keep_the_dtype_of_what_they_belong_to(name, dtype):
    op, shape, _ = _case(name, 2)
    with jax.enable_x64(dtype == "float64"):
        parameters = op.keywords.keys() & set(PARAMETERS)
        arguments = {"x": random(0, *shape, dtype=dtype)} | {p: op.keywords[p] for p in parameters}

        def loss(arguments):
            x = arguments["x"]
            return jnp.sum(op(x, **{p: arguments[p] for p in parameters}).astype(jnp.float32) ** 2)

        gradients = jax.jit(jax.grad(loss))(arguments)
        for argument, gradient in zip(*map(jax.tree.leaves, (arguments, gradients)), strict=True):
            assert gradient.dtype == argument.dtype
            assert gradient.shape == argument.shape
            assert float(jnp.abs(gradient).max()) > 0


@pytest.mark.parametrize("name", [n for n in OPERATIONS if "conv" in n or n == "ss_block_fc"])
def test_vmap_over_parameters(name):
    op, shape, _ = _case(name, 2, batch=2)
    x, parameter = random(0, *shape), next(p for p in PARAMETERS if p in op.keywords)
    stack = jax.tree.map(lambda value: jnp.stack([value, -2 * value]), op.keywords[parameter])
    mapped = jax.vmap(lambda value: op(x, **{parameter: value}))(stack)
    assert_close(mapped[1], op(x, **{parameter: jax.tree.map(lambda value: value[1], stack)}))


@each_case
def test_vmap_maps_the_batch(name, ndim):
    op, shape, (batch_in, batch_out) = _case(name, ndim)
    x = random(0, *shape)
    apart = jnp.expand_dims(jnp.moveaxis(x, batch_in, 0), batch_in + 1)
    together = jnp.moveaxis(op(x), batch_out, 0)
    assert_close(jnp.squeeze(jax.vmap(op)(apart), batch_out + 1), together)


@each_operation
def test_pmap_splits_the_batch(name):
    """In 2-D: `jax.pmap` is built on shard_map, which is tried on every number of axes."""
    op, shape, (batch_in, batch_out) = _case(name, 2)
    x = random(0, *shape)
    apart = jnp.expand_dims(jnp.moveaxis(x, batch_in, 0), batch_in + 1)
    out = jnp.asarray(jax.device_get(jax.pmap(op)(apart)))
    assert_close(jnp.squeeze(out, batch_out + 1), jnp.moveaxis(op(x), batch_out, 0))


@each_case
def test_shard_map_splits_the_batch(name, ndim):
    op, shape, (batch_in, batch_out) = _case(name, ndim)
    x = random(0, *shape)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    spec = [PartitionSpec(*(None,) * axis, "data") for axis in (batch_in, batch_out)]
    sharded = jax.shard_map(op, mesh=mesh, in_specs=spec[0], out_specs=spec[1])
    assert_close(jax.jit(sharded)(x), op(x))


@each_operation
@pytest.mark.parametrize("dtype", ["float8_e5m2", "int32", "complex64"])
def test_refuses_other_dtypes(name, dtype):
    op, shape, _ = _case(name, 2)
    with pytest.raises(AssertionError, match=f"must be float32, bfloat16, float16 or float64, got {dtype}: cast it"):
        op(jnp.zeros(shape, dtype))


@each_operation
@pytest.mark.parametrize("rank", [2, 7])
def test_refuses_other_ranks(name, rank):
    op, _, _ = _case(name, 2)
    with pytest.raises(AssertionError, match=r"must be \[.*\] with one, two or three spatial axes S, got shape"):
        op(jnp.zeros((4,) * rank))


@pytest.mark.parametrize(
    ("name", "option"),
    sorted(
        (name, option) for name, f in PUBLIC.items() for option in INTS if option in inspect.signature(f).parameters
    ),
)
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, " must be an int >= [12], got 0"),
        (-2, " must be an int >= [12], got -2"),
        (1.5, " must be an int >= [12], got 1.5 of type float: pass one Python int"),
        ((2, 2, 2, 2), r" must be an int >= [12](, got \(2, 2, 2, 2\) of type tuple| or 2 ints, .*: pass one)"),
        ((2, 0), r" must be an int >= [12], got (\(2, 0\) of type tuple|0: pass one)"),
        (True, " must be an int >= [12], got True of type bool"),
        ("2", " must be an int >= [12], got '2' of type str"),
    ],
)
def test_refuses_bad_rates_and_factors(name, option, value, message):
    if name in PARAMETERLESS:
        call = lambda: PUBLIC[name](value, 2)
    else:
        op, shape, _ = _case(name, 2)
        call = lambda: op(jnp.zeros(shape), **{option: value})
    with pytest.raises(ValueError, match=option + message):
        call()


def test_refuses_a_traced_rate():
    with pytest.raises(ValueError, match=r"rate must be known while JAX traces.*static_argnames"):
        jax.jit(lambda x, rate: ops.periodic_subsample(x, rate=rate))(jnp.zeros((1, 4, 1)), 2)


@pytest.mark.parametrize("ndim", [0, 4])
@pytest.mark.parametrize("name", ["identity_group_interaction", "identity_smoother", "pixel_order"])
def test_refuses_bad_ndim(name, ndim):
    with pytest.raises(ValueError, match=f"ndim must be .*got {ndim}"):
        PUBLIC[name](2, ndim)


KERNEL_OF_X = ["dilated_conv", "group_interaction_dilated_conv", "ss_dilated_conv", "transposed_conv"]
CONVOLUTIONS = sorted(name for name, f in PUBLIC.items() if "padding" in inspect.signature(f).parameters)


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize(
    ("padding", "message"),
    [
        ("same", r"padding must be 'SAME', 'VALID' or 2 pairs \(low, high\) of ints >= 0, .* got 'same': use 'SAME'"),
        (1, "padding must be 'SAME', 'VALID' or 2 pairs.*got 1"),
        (None, "padding must be 'SAME', 'VALID' or 2 pairs.*got None"),
        (((1, 1),), r"padding must be 'SAME', 'VALID' or 2 pairs .* one for each spatial axis of x, got \(\(1, 1\),\)"),
        (((1, 1), (1,)), "padding must be 'SAME', 'VALID' or 2 pairs"),
        (((1, 1), (-1, 0)), r"padding must be .* ints >= 0, .* got \(\(1, 1\), \(-1, 0\)\)"),
        (((1, 1), (1.0, 0)), "padding must be .* ints >= 0"),
        (np.array([[1, 1], [1, -1]]), "padding must be .* ints >= 0"),
        (
            "VALID",
            r"padding 'VALID' leaves no output on spatial axis [01]: size [12].*smaller than the kernel's extent",
        ),
    ],
)
def test_refuses_bad_padding(name, padding, message):
    op, shape, _ = _case(name, 2)
    with pytest.raises(ValueError, match=message):
        op(jnp.zeros((1, 2, 1, shape[-1])), padding=padding)


@pytest.mark.parametrize("name", KERNEL_OF_X)
def test_refuses_a_kernel_of_other_channels(name):
    op, _, _ = _case(name, 2)
    with pytest.raises(ValueError, match=r"kernel must be \[\*K, C_in, C_out\].*here \[any, any, 3, any\], got shape"):
        op(jnp.zeros((1, 5, 5, 3)))


@pytest.mark.parametrize("name", KERNEL_OF_X)
def test_refuses_a_kernel_of_other_rank(name):
    op, shape, _ = _case(name, 2)
    with pytest.raises(AssertionError, match=r"kernel must be \[\*K, C_in, C_out\].*got shape \(3, 2, 2\)"):
        op(jnp.zeros(shape), kernel=jnp.zeros((3, 2, 2)))


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_taste(name):
    """One signature style: data, parameters, then keyword-only options; documented, typed, with an example."""
    function = PUBLIC[name]
    signature = inspect.signature(function)
    options = {"rate", "factor", "order", "padding", "method", "spatial_shape"}
    positional = [p for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    if name not in PARAMETERLESS:
        assert positional[0].name in ("x", "groups")
        assert not options & {p.name for p in positional}
        assert all(p.default is p.empty for p in positional)
    assert all(p.annotation is not p.empty for p in signature.parameters.values())
    assert signature.return_annotation is not signature.empty
    documentation = inspect.getdoc(function) or ""
    for section in ("Args:", "Returns:", "Raises:", "Example:", "References:"):
        assert section in documentation, section
    for parameter in signature.parameters:
        assert f"  {parameter}: " in documentation, parameter


@pytest.mark.parametrize("x", [None, "maps", object()])
def test_refuses_what_is_no_array(x):
    with pytest.raises(ValueError, match=r"x must be an array, \[N, \*S, C\] .* got (NoneType|str|object)"):
        ops.periodic_subsample(x, rate=2)


def test_numpy_arguments():
    x, kernel = np.ones((1, 5, 5, 2), np.float32), np.ones((3, 3, 2, 2), np.float32)
    padding, rate = np.array([[2, 2], [2, 2]]), np.int64(2)
    out = ops.dilated_conv(x, kernel, rate=rate, padding=padding)  # pyright: ignore[reportArgumentType]
    assert_close(out, ops.dilated_conv(x, kernel, rate=2))


def test_chex_is_used_for_structure():
    with pytest.raises(AssertionError, match=r"x must be \[N, \*S, C\]"):
        ops.dilated_conv(jnp.zeros((5, 5)), jnp.zeros((3, 3, 1, 1)))
    chex.assert_rank(ops.dilated_conv(jnp.zeros((1, 5, 5, 1)), jnp.zeros((3, 3, 1, 1))), 4)
