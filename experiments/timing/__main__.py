"""The command line of the benchmark."""

import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

Part = Literal["ops", "layers", "networks", "data", "training"]

#: By default glibc maps every buffer above 32 MB anew at each call and unmaps it after: 10 to 35 ms a buffer for the
#: pages alone. A higher MALLOC_MMAP_THRESHOLD_ is ignored; no maps at all, no trimming, and one arena avoid it.
KEEP_BUFFERS = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000", "MALLOC_ARENA_MAX": "1"}


@dataclasses.dataclass(frozen=True)
class Options:
    """Measures what smoothing and pixel deconvolution cost beside the layers that they replace.

    Ratios are medians of interleaved runs in one process, after warm-up, on random float32 data. Examples:

      python -m experiments.timing ops layers
      python -m experiments.timing networks --repeats 5
      python -m experiments.timing data --data-root FOLDER
      python -m experiments.timing training --repeats 5
      python -m experiments.timing --quick
    """

    parts: Annotated[
        tyro.conf.Positional[tuple[Part, ...]], tyro.conf.arg(metavar="{ops,layers,networks,data,training}")
    ] = ("ops", "layers", "networks", "data")
    """What to measure; by default all but training, which takes some ten minutes on two cores."""
    repeats: int = 15
    """Interleaved runs of each pair, or of the demo."""
    quick: bool = False
    """Tiny sizes and three runs: to see that it works, not to quote."""
    keep_buffers: bool = False
    """Starts anew with settings of glibc's allocator that keep large buffers, see `KEEP_BUFFERS`; for CPU."""
    data_root: Path | None = None
    """Data set for the part data, prepared or {split}/{images,labels}; by default files are made for it."""
    json: Path | None = None
    """File for the numbers and the environment."""
    out: Path = Path("timing.png")
    """File for the bar chart."""


def main(arguments: Sequence[str]) -> int:
    """Measures, prints a table, and draws a bar chart; returns the exit status."""
    options = tyro.cli(Options, args=list(arguments), prog="python -m experiments.timing")
    if options.repeats < 1:
        print(f"error: --repeats must be at least 1, got {options.repeats}", file=sys.stderr)
        return 1
    for path in filter(None, (options.json, options.out)):
        if not path.parent.is_dir():
            print(f"error: {path}: its folder does not exist: make it, or name another file", file=sys.stderr)
            return 1
    if options.keep_buffers and any(os.environ.get(name) != value for name, value in KEEP_BUFFERS.items()):
        # They are read when a process starts.
        os.execve(sys.executable, [sys.executable, "-m", "experiments.timing", *arguments], os.environ | KEEP_BUFFERS)
    if options.data_root is not None and not options.data_root.is_dir():
        print(f"error: --data-root {options.data_root}: no such folder", file=sys.stderr)
        return 1
    if options.out.suffix not in (".png", ".pdf", ".svg"):
        print(f"error: --out must end in .png, .pdf or .svg, got {options.out}", file=sys.stderr)
        return 1
    from ..common.run_folder import environment
    from .measure import measure_all
    from .networks import network_cases
    from .operations import layer_cases, operation_cases
    from .pipeline import pipeline_table
    from .report import draw_bars, make_table

    makers = {"ops": operation_cases, "layers": layer_cases, "networks": network_cases}
    cases = [case for part in options.parts if part in makers for case in makers[part](quick=options.quick)]
    rows = measure_all(cases, 3 if options.quick else options.repeats, say=lambda line: print(line, flush=True))
    where, content = environment("timing"), dict[str, Any](rows=[dataclasses.asdict(row) for row in rows])
    versions = ", ".join(f"{name} {version}" for name, version in where["packages"].items())
    print(f"\n{where['device']}; {where['processor']}; Python {where['python']}, {versions}")
    print(f"commit {where['commit'] or 'unknown'}: {where['command']}")
    print(f"large buffers are {'kept' if options.keep_buffers else 'mapped anew at each call where glibc does so'}\n")
    if rows:
        print(make_table(rows))
        draw_bars(
            rows,
            options.out,
            title=f"Cost beside the layers that are replaced\n{where['device']}, {where['processor']}",
        )
        print(f"\n{options.out} shows it.")
    if "data" in options.parts:
        table, content["data"] = pipeline_table(quick=options.quick, root=options.data_root)
        print(f"\nThe input pipeline, two threads, batches of 8:\n\n{table}")
    if "training" in options.parts:
        from .training import training_table

        table, content["training"] = training_table(quick=options.quick, repeats=options.repeats)
        print(f"\nA run of the segmentation demo:\n\n{table}")
    if options.json:
        options.json.write_text(json.dumps({"environment": where, **content}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
