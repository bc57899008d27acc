"""The cost of a training step, as the compiler reports it."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from smoothjax import models, training

from .config import RunConfig
from .network import M, Network, Tree
from .parameters import count, smoothing_parameters
from .report import align


def describe_step(network: Network[M], problem: training.Problem, config: RunConfig, mesh: Mesh) -> str:
    """Parameters, batch normalization, FLOPs, bytes and memory of a step, in Markdown; compiles, runs nothing."""
    costs = [[name, value] for name, value in step_costs(problem, config, mesh).items()]
    norms = f"Batch normalization: {describe_batch_norm(network)}."
    return "\n\n".join([parameter_table(network.params), norms, _title(config, mesh), align(["", ""], costs)])


def compare_steps(
    made: Mapping[str, Callable[[], tuple[Network[M], training.Problem]]], config: RunConfig, mesh: Mesh
) -> str:
    """The same for several networks, one row each, made one after the other."""
    rows, header = [], []
    for name, make in made.items():
        network, problem = make()
        costs, norms = step_costs(problem, config, mesh), describe_batch_norm(network)
        header = ["", "parameters", "smoothing parameters", "batch normalization", *costs]
        smoothing = count(smoothing_parameters(network.params))
        rows.append([name, f"{count(network.params):,}", f"{smoothing:,}", norms, *costs.values()])
    return f"{_title(config, mesh)}\n\n{align(header, rows)}"


def step_costs(problem: training.Problem, config: RunConfig, mesh: Mesh) -> dict[str, str]:
    """FLOPs, bytes and memory of a step by name, with their units; compiles, and runs nothing."""
    everywhere = NamedSharding(mesh, PartitionSpec())
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere), problem.state)
    batch = training.shard_batch(next(problem.iterator), mesh)
    step: Any = training.compile_step(
        problem.loss_fn, problem.optimizer, mesh, accumulate=config.accumulate, average=problem.average
    )
    return _costs(step.lower(abstract, batch).compile())


def parameter_table(params: Tree) -> str:
    """Parameters of each part of a network, and its smoothing parameters."""

    def row(name: str, tree: Tree) -> list[str]:
        return [name, f"{count(tree):,}", f"{count(smoothing_parameters(tree)):,}"]

    rows = [row(str(name), {name: params[name]}) for name in params]
    return align(["parameters of", "number", "smoothing parameters"], [*rows, row("all", params)])


def describe_batch_norm(network: Network[M]) -> str:
    """The mode of batch normalization, as in "frozen in 104 layers": statistics, scale and bias stay."""
    model = network.model(training=True)
    modes = [module.mode for _, module in nnx.iter_graph(model) if isinstance(module, models.BatchNorm)]
    return ", ".join(f"{mode} in {modes.count(mode)} layers" for mode in sorted(set(modes))) or "none"


def _costs(compiled: Any) -> dict[str, str]:
    cost, memory = compiled.cost_analysis() or {}, compiled.memory_analysis()
    # The state is donated: outputs reuse the memory of inputs.
    peak = memory and (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
    )
    lines = {
        "FLOPs": _number(cost.get("flops"), 1e9, "GFLOP"),
        "bytes read and written": _number(cost.get("bytes accessed"), 1e9, "GB"),
        "peak memory": _number(peak, 2**20, "MiB"),
    }
    if memory:
        lines["of which state and batch"] = _number(memory.argument_size_in_bytes, 2**20, "MiB")
        lines["of which activations and other temporaries"] = _number(memory.temp_size_in_bytes, 2**20, "MiB")
    return lines


def _title(config: RunConfig, mesh: Mesh) -> str:
    parts = f" in {config.accumulate} parts, of which the compiler counts one" if config.accumulate > 1 else ""
    return f"A step of {config.batch_size} images{parts}, on each of {mesh.size} x {jax.devices()[0].device_kind}:"


def _number(value: float | None, unit: float, name: str) -> str:
    return "not reported by this compiler" if not value or value < 0 else f"{value / unit:,.2f} {name}"
