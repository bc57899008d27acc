"""What a training step costs, as the compiler sees it."""

from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from smoothjax import nn, training

from .config import RunConfig
from .network import count
from .report import align
from .study import Job


def describe_step(job: Job, config: RunConfig, mesh: Mesh) -> str:
    """Parameters by group, FLOPs and bytes of a step, and its memory, in Markdown; compiles, and runs nothing."""
    everywhere = NamedSharding(mesh, PartitionSpec())
    state = training.create_state(job.network.params, job.network.model_state, job.optimizer)
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere), state)
    batch = training.shard_batch(next(job.iterator), mesh)
    step: Any = training.compile_step(job.loss_fn, job.optimizer, mesh, accumulate=config.accumulate)
    compiled = step.lower(abstract, batch).compile()
    return "\n\n".join([parameter_table(job.network.params), _cost(compiled, config, mesh)])


def parameter_table(params: Any) -> str:
    """Parameters of each part of a network, and how many of them smooth."""
    smoothing = training.label_parameters(params, nn.is_smoother)

    def row(name: str, tree: Any, flags: Any) -> list[str]:
        smoothers = [leaf for leaf, flag in zip(*map(jax.tree.leaves, (tree, flags)), strict=True) if flag]
        return [name, f"{count(tree):,}", f"{count(smoothers):,}"]

    rows = [row(str(name), params[name], smoothing[name]) for name in params]
    return align(["parameters of", "number", "of them smoothing"], [*rows, row("all", params, smoothing)])


def _cost(compiled: Any, config: RunConfig, mesh: Mesh) -> str:
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
    parts = f" in {config.accumulate} parts, of which the compiler counts one" if config.accumulate > 1 else ""
    title = f"A step of {config.batch_size} images{parts}, on each of {mesh.size} x {jax.devices()[0].device_kind}:"
    return f"{title}\n\n{align(['', ''], [[name, value] for name, value in lines.items()])}"


def _number(value: float | None, unit: float, name: str) -> str:
    return "not told by this compiler" if not value or value < 0 else f"{value / unit:,.2f} {name}"
