"""The command line of the study; imports JAX only once it is needed."""

import difflib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro

from .config import Config, Method
from .presets import PRESETS

PROGRAM = "python -m experiments.segmentation"
Options = TypeVar("Options")


@dataclass(frozen=True)
class Train:
    """Trains one run, or continues the one in its folder."""

    config: Annotated[Config, tyro.conf.arg(name="")]
    run: Path | None = None
    """Folder of the run; by default runs/segmentation/PRESET/METHOD-seedSEED."""


@dataclass(frozen=True)
class Compare:
    """Trains each method with each seed, then prints one table and draws two figures."""

    config: Annotated[Config, tyro.conf.arg(name="")]
    methods: tuple[Method, ...] = ("none", "multigrid", "group_interaction", "ss_conv")
    """Degridding methods to compare."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of the runs of each method."""
    out: Path | None = None
    """Folder of the runs and the report; by default runs/segmentation/PRESET."""


@dataclass(frozen=True)
class Evaluate:
    """Scores a run on a split at full image size, class by class."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder of the run."""
    split: str = "val"
    """Folder of the split: train, val or test."""
    checkpoint: Literal["best", "latest"] = "latest"
    """Best on the validation split, or latest."""
    data_root: Path | None = None
    """Folder of the data set, where it has moved since."""


@dataclass(frozen=True)
class Predict:
    """Segments images of any size and mode: coloured masks and overlays."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """Folder of the run."""
    images: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="IMAGES...")] = ()
    """Image files; at least one."""
    out: Path = field(default=Path("predictions"))
    """Folder for NAME_mask.png (class indices, with a palette) and NAME_overlay.png."""
    checkpoint: Literal["best", "latest"] = "latest"
    """Best on the validation split, or latest."""


def main(arguments: Sequence[str]) -> int:
    """Runs a command; returns the exit status."""
    arguments = list(arguments) or ["compare", "demo"]
    if arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0
    command = _choose("command", arguments.pop(0), _COMMANDS)
    try:
        command(arguments)
    except KeyboardInterrupt:
        print("\nstopped; the same command continues from the last checkpoint", file=sys.stderr)
        return 130
    except (ValueError, OSError, FloatingPointError) as error:
        # What a user can mend is told in a sentence; the rest keeps its traceback.
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _train(arguments: list[str]) -> None:
    name, options = _with_preset("train", Train, arguments)
    folder = options.run or _runs(name) / f"{options.config.model.smoothing}-seed{options.config.seed}"
    from .train import train

    result = train(options.config, folder)
    print(
        f"\nmean IoU {100 * result['val']['mean_iou']:.1f} %, pixel accuracy "
        f"{100 * result['val']['pixel_accuracy']:.1f} % (always the most frequent class: "
        f"{100 * result['majority']['mean_iou']:.1f} %, {100 * result['majority']['pixel_accuracy']:.1f} %)"
        f"\n{folder} holds the run. Next:\n  {PROGRAM} predict {folder} IMAGES... --out predictions"
    )


def _compare(arguments: list[str]) -> None:
    name, options = _with_preset("compare", Compare, arguments)
    if not options.methods or not options.seeds:
        raise ValueError("--methods and --seeds must name at least one each")
    out = options.out or _runs(name)
    from .compare import compare

    table = compare(
        options.config, options.methods, options.seeds, out, title=f"Degridding on {options.config.data.name}"
    )
    print(f"\n{table}\n\n{out}/report.md, predictions.png and curves.png show it.")


def _evaluate(arguments: list[str]) -> None:
    options = _parse(Evaluate, arguments, f"{PROGRAM} evaluate")
    from .trained import evaluate

    result = evaluate(options.run, options.split, options.checkpoint, options.data_root)
    for name, iou in result["iou"].items():
        print(f"{name:>20}  {'absent' if iou is None else f'{100 * iou:5.1f}'}")
    print(
        f"{'mean IoU %':>20}  {100 * result['mean_iou']:5.1f}\n{'pixel accuracy %':>20}  "
        f"{100 * result['pixel_accuracy']:5.1f}\n{result['images']} images of {options.split}, step {result['step']}; "
        f"written to {options.run}/evaluation-{options.split}.json"
    )


def _predict(arguments: list[str]) -> None:
    options = _parse(Predict, arguments, f"{PROGRAM} predict")
    if not options.images:
        raise ValueError(f"name the images: {PROGRAM} predict RUN IMAGES... --out DIR")
    from .trained import predict

    for path in predict(options.run, options.images, options.out, options.checkpoint):
        print(path)


_COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "train": _train,
    "compare": _compare,
    "evaluate": _evaluate,
    "predict": _predict,
}


def _with_preset(command: str, kind: type[Options], arguments: list[str]) -> tuple[str, Any]:
    """Parses `PRESET [options]`; the preset gives the defaults."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: {PROGRAM} {command} PRESET [options]\n\n{kind.__doc__}\n\n{_presets(command)}")
        raise SystemExit(0 if arguments else 2)
    name = arguments[0]
    preset = _choose("preset", name, PRESETS)
    default: Any = kind
    program = f"{PROGRAM} {command} {name}"
    return name, _parse(kind, arguments[1:], program, default(preset.config), f"{kind.__doc__} Preset: {preset.note}.")


def _parse(kind: Any, arguments: list[str], program: str, default: Any = None, description: str | None = None) -> Any:
    given = {} if default is None else {"default": default}
    return tyro.cli(kind, args=arguments, prog=program, description=description or kind.__doc__, **given)


def _choose(what: str, name: str, choices: dict[str, Any]) -> Any:
    if name in choices:
        return choices[name]
    close = difflib.get_close_matches(name, choices, 1)
    hint = f"did you mean {close[0]}?" if close else f"choose one of {', '.join(choices)}"
    print(f"error: unknown {what} {name!r}: {hint}", file=sys.stderr)
    raise SystemExit(2)


def _runs(preset: str) -> Path:
    return Path("runs") / "segmentation" / preset


def _presets(command: str) -> str:
    lines = [f"  {name:<14}{preset.note}" for name, preset in PRESETS.items()]
    return "presets:\n" + "\n".join(lines) + f"\n\n{PROGRAM} {command} PRESET --help explains every option."


def _usage() -> str:
    kinds = {"train": Train, "compare": Compare, "evaluate": Evaluate, "predict": Predict}
    arguments = {"train": "PRESET", "compare": "PRESET", "evaluate": "RUN", "predict": "RUN IMAGES..."}
    commands = "\n".join(f"  {name + ' ' + arguments[name]:<24}{kind.__doc__}" for name, kind in kinds.items())
    return f"""usage: {PROGRAM} [COMMAND ...]

Smoothed dilated convolutions against the baseline and multigrid, in semantic segmentation.
Without a command: compare demo, which takes a few minutes on two cores.

commands:
{commands}

{_presets("train")}

examples:
  {PROGRAM}
  {PROGRAM} compare camvid --data.root FOLDER --methods none ss_conv --seeds 0 1 2
  {PROGRAM} train camvid --data.root FOLDER --model.smoothing ss_conv --data.scale 0.5
  {PROGRAM} evaluate runs/segmentation/camvid/ss_conv-seed0 --split test
  {PROGRAM} predict runs/segmentation/camvid/ss_conv-seed0 street.jpg --out predictions"""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
