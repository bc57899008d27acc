"""The command line of the benchmark."""

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from smoothjax.command_line import check_unused
from smoothjax.files import check_figure

from ..common.config import require
from ..common.huge_pages import has_huge_pages, restart, use_huge_pages
from ..common.limits import check_limits
from ..common.parsing import parse
from ..common.status import status_of
from ..common.writing import check_file

Part = Literal["ops", "layers", "networks", "data", "training"]

#: By default XLA uses vectors of 256 bits; with 512, on a CPU that has them, 49 taps of `ss_conv` take 0.6 of the time.
WIDE_VECTORS = "--xla_cpu_prefer_vector_width=512"


@dataclasses.dataclass(frozen=True)
class Options:
    """Measures the cost of smoothing and pixel deconvolution relative to the layers that they replace.

    Ratios are medians over runs that alternate in one process, after warm-up, on random float32 data. Examples:

      python -m experiments.timing ops layers
      python -m experiments.timing networks --repeats 5
      python -m experiments.timing networks layers --peers
      python -m experiments.timing data --data-root FOLDER
      python -m experiments.timing training --repeats 5
      python -m experiments.timing --quick
    """

    parts: Annotated[
        tyro.conf.Positional[tuple[Part, ...]], tyro.conf.arg(metavar="{ops,layers,networks,data,training}")
    ] = ("ops", "layers", "networks", "data")
    """Parts to measure; by default all except training, which takes about ten minutes on two cores."""
    repeats: int = 15
    """Number of runs of each pair, or of the demo."""
    peers: bool = False
    """Measures networks and layers beside those of PyTorch, which must be installed, on two threads."""
    quick: bool = False
    """Tiny sizes and three runs, to test the command; the numbers are not worth quoting."""
    wide_vectors: bool = False
    """Restarts the process with XLA set to vectors of 512 bits, see `WIDE_VECTORS`; for a CPU with AVX-512."""
    data_root: Path | None = None
    """Data set for the part data, prepared or {split}/{images,labels}; by default files are generated."""
    json: Path | None = None
    """File for the numbers and the environment, updated after each case."""
    out: Path = Path("timing.png")
    """File for the bar chart."""


def main(arguments: Sequence[str]) -> int:
    """Measures, prints tables, and draws a bar chart; returns the exit status."""
    options = parse(Options, arguments, "python -m experiments.timing")
    return status_of(lambda: _run(options), stopped="stopped; the tables above are complete")


def _run(options: Options) -> None:
    use_huge_pages()
    _check(options)
    flags = os.environ.get("XLA_FLAGS", "").split()
    if options.wide_vectors and WIDE_VECTORS not in flags:
        restart({"XLA_FLAGS": " ".join([*flags, WIDE_VECTORS])})
    from ..common.environment import environment
    from ..common.writing import write_json
    from .pipeline import open_images

    # The images are measured last: check them before hours of other measurements.
    images = open_images(options.data_root) if "data" in options.parts else None
    where, content = environment("timing"), dict[str, Any](rows=[])
    versions = ", ".join(f"{name} {version}" for name, version in where["packages"].items())
    print(f"{where['device']}; {where['processor']}; Python {where['python']}, {versions}")
    print(f"commit {where['commit'] or 'unknown'}: {where['command']}")
    content["huge_pages"] = has_huge_pages()
    print(f"large buffers: {'on huge pages' if content['huge_pages'] else 'on ordinary pages'}")
    for part in dict.fromkeys(options.parts):
        if part == "data":
            _measure_data(options, images, content)
        elif part == "training":
            _measure_training(options, content)
        else:
            _measure_ratios(part, options, content, where)
        if options.json:
            write_json(options.json, {"environment": where, **content})


def _check(options: Options) -> None:
    """Refuses invalid options, before JAX is imported."""
    check_limits(options)
    require(options.repeats >= 1, f"--repeats must be at least 1, got {options.repeats}")
    if options.json is not None:
        check_file("--json", options.json)
    others = set(options.parts) - {"networks", "layers"}
    require(
        not (options.peers and others),
        f"--peers compares the parts networks and layers, got {', '.join(sorted(others))}: name one of the two",
    )
    if "data" not in options.parts:
        check_unused(options, ("data_root",), "the part data is not measured", "add data, or leave it out")
    if options.quick:
        check_unused(options, ("repeats",), "--quick makes three runs")
    root = options.data_root
    require(root is None or root.is_dir(), f"--data-root {root}: no such folder")
    check_figure(options.out, name="--out")


def _measure_ratios(part: Part, options: Options, content: dict[str, Any], where: dict[str, Any]) -> None:
    """Measures a part that compares pairs, prints its table, and draws everything measured so far."""
    from ..common.writing import write_json
    from .measure import Row, measure_all
    from .networks import network_cases
    from .operations import layer_cases, operation_cases
    from .report import draw_bars, make_table

    make = {"ops": operation_cases, "layers": layer_cases, "networks": network_cases}
    if options.peers:
        from .peers import layer_peer_cases, network_peer_cases

        make |= {"layers": layer_peer_cases, "networks": network_peer_cases}
    cases = make[part](quick=options.quick)
    rows: list[Row] = []
    repeats = 3 if options.quick else options.repeats
    for measured in measure_all(cases, repeats, say=lambda line: print(line, flush=True)):
        rows += measured
        content["rows"] += [dataclasses.asdict(row) for row in measured]
        if options.json:  # after each case: the next one may fail
            write_json(options.json, {"environment": where, **content})
    beside = "PyTorch" if options.peers else "the layers that are replaced"
    title = f"Cost beside {beside}\n{where['device']}, {where['processor']}"
    draw_bars([Row(**row) for row in content["rows"]], options.out, title=title)
    print(f"\n{make_table(rows)}\n\nBar chart: {options.out}\n", flush=True)


def _measure_data(options: Options, images: Any, content: dict[str, Any]) -> None:
    from .pipeline import pipeline_table

    table, content["data"] = pipeline_table(quick=options.quick, images=images, title=f"images of {options.data_root}")
    print(f"\nThe input pipeline, two threads, batches of 8:\n\n{table}", flush=True)


def _measure_training(options: Options, content: dict[str, Any]) -> None:
    from .training import training_table

    table, content["training"] = training_table(quick=options.quick, repeats=options.repeats)
    print(f"\nA run of the segmentation demo:\n\n{table}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
