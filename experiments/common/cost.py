"""What a training step costs, as the compiler sees it."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from smoothjax import models, nn, training

from .config import RunConfig
from .network import Network, count
from .report import align
from .study import Job


def describe_step(job: Job, config: RunConfig, mesh: Mesh) -> str:
    """Parameters, batch normalization, FLOPs, bytes and memory of a step, in Markdown; compiles, runs nothing."""
    costs = [[name, value] for name, value in step_costs(job, config, mesh).items()]
    norms = f"Batch normalization: {describe_batch_norm(job.network)}."
    return "\n\n".join([parameter_table(job.network.params), norms, _title(config, mesh), align(["", ""], costs)])


def compare_steps(jobs: Mapping[str, Callable[[], Job]], config: RunConfig, mesh: Mesh) -> str:
    """The same of several networks, a row for each, made one after the other."""
    rows, header = [], []
    for name, make in jobs.items():
        job = make()
        params, costs = job.network.params, step_costs(job, config, mesh)
        header = ["", "parameters", "of them smoothing", "batch normalization", *costs]
        norms = describe_batch_norm(job.network)
        rows.append([name, f"{count(params):,}", f"{count(_smoothers(params)):,}", norms, *costs.values()])
    return f"{_title(config, mesh)}\n\n{align(header, rows)}"


def step_costs(job: Job, config: RunConfig, mesh: Mesh) -> dict[str, str]:
    """FLOPs, bytes and memory of a step by name, with their units; compiles, and runs nothing."""
    everywhere = NamedSharding(mesh, PartitionSpec())
    state = training.create_state(job.network.params, job.network.model_state, job.optimizer)
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere), state)
    batch = training.shard_batch(next(job.iterator), mesh)
    step: Any = training.compile_step(job.loss_fn, job.optimizer, mesh, accumulate=config.accumulate)
    return _costs(step.lower(abstract, batch).compile())


def parameter_table(params: Any) -> str:
    """Parameters of each part of a network, and how many of them smooth."""

    def row(name: str, tree: Any) -> list[str]:
        return [name, f"{count(tree):,}", f"{count(_smoothers(tree)):,}"]

    rows = [row(str(name), {name: params[name]}) for name in params]
    return align(["parameters of", "number", "of them smoothing"], [*rows, row("all", params)])


def describe_batch_norm(network: Network) -> str:
    """What training does to batch normalization, as in "frozen in 104 layers": statistics, scale and bias stay."""
    if not isinstance(network.train_graph, nnx.GraphDef):
        return "none"
    model = nnx.merge(network.train_graph, network.params, network.model_state)
    modes = [module.mode for _, module in nnx.iter_graph(model) if isinstance(module, models.BatchNorm)]
    return ", ".join(f"{mode} in {modes.count(mode)} layers" for mode in sorted(set(modes))) or "none"


def _smoothers(params: Any) -> list[Any]:
    flags = training.label_parameters(params, nn.is_smoother)
    return [leaf for leaf, smooths in zip(*map(jax.tree.leaves, (params, flags)), strict=True) if smooths]


def _costs(compiled: Any) -> dict[str, str]:
    cost, memory = compiled.cost_analysis() or {}, compiled.memory_analysis()
    # The state is donated: what goes out lies where it came in.
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
    return "not told by this compiler" if not value or value < 0 else f"{value / unit:,.2f} {name}"
