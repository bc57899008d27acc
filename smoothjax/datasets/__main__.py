"""Data sets from the command line: prepare, info, show."""

import dataclasses
import difflib
import inspect
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import tyro

from ..command_line import check_unused, choose, parse
from ..data import (
    CAMVID,
    CITYSCAPES,
    COCO,
    DATA_DIR,
    VOC2012,
    FolderSource,
    PreparedSource,
    Source,
    Strengths,
    find_prepared,
    is_prepared,
    load_classes,
    prepared_splits,
)
from ..files import check_figure, check_writable, explain, printable
from ._prepare import expanded, prepare
from .builders import BUILDERS, layout

PROGRAM = "python -m smoothjax.data"
_CLASSES = {
    "voc2012": VOC2012,
    "cityscapes": CITYSCAPES,
    "coco2015": COCO,
    "camvid": CAMVID,
}


def _as_studies(name: str) -> object:
    """Accepts an option under the name that the studies give it, --data.NAME."""
    return tyro.conf.arg(aliases=(f"--data.{name}",))


@dataclass(frozen=True)
class Where:
    """The location of the data, and how to read a folder that is not prepared."""

    data: Path = Path(DATA_DIR)
    """Folder that holds the prepared data sets, or the folder of this one."""
    classes: Annotated[str | None, _as_studies("classes")] = None
    """Classes of a folder {split}/{images,labels}: a file, or voc2012, cityscapes, coco2015, camvid."""
    mask_suffix: Annotated[str, _as_studies("mask-suffix")] = ""
    """Suffix of the names of masks in such a folder, such as _mask for street_mask.png."""
    white: Annotated[int | None, _as_studies("white")] = None
    """Largest value of 16-bit images in such a folder, such as 4095 for 12 bits."""
    channels: Annotated[int, _as_studies("channels")] = 3
    """Channels of the images: 3 for RGB, 1 for grey, or the number in the files of such a folder."""


@dataclass(frozen=True)
class Info(Where):
    """Counts images, sizes and classes, and prints class weights; describes any other folder."""


@dataclass(frozen=True)
class Show(Where):
    """Draws images beside their coloured masks, with a legend."""

    out: Path = Path("grid.png")
    """The picture to write."""
    split: str | None = None
    """The split; by default train, or else the first one."""
    images: int = 8
    """Number of images, spread evenly over the split."""
    augmented: bool = False
    """Whether to augment each image as training does, with the options below."""
    crop_size: tuple[int, int] = (241, 321)
    """Augmented: height and width of the crops in pixels."""
    scale_range: tuple[float, float] = (0.5, 1.5)
    """Augmented: smallest and largest random scale of the images."""
    augment: Strengths = dataclasses.field(default_factory=lambda: _SHOWN)
    seed: int = 0
    """Augmented: seed of all random choices."""


#: Strong enough to be visible.
_SHOWN = Strengths(0.4, 0.4, 0.4, 0.1, 0.4, blur=1.0, jpeg=40, rotate=10.0, balanced=0.5)

W = TypeVar("W", bound=Where)


def main(arguments: Sequence[str]) -> int:
    """Runs a command; returns the exit status."""
    arguments = list(arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0
    command = choose("command", arguments.pop(0), _COMMANDS)
    try:
        command(arguments)
    except KeyboardInterrupt:
        print("\nstopped; nothing is left behind: run the same command to start again", file=sys.stderr)
        return 130
    except (ValueError, OSError, ModuleNotFoundError) as error:
        # An error that the user can fix becomes one sentence; any other keeps its traceback.
        print(f"error: {printable(explain(error))}", file=sys.stderr)
        return 1
    return 0


def _prepare(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: {PROGRAM} prepare NAME --source DIR [--out DIR] [options]\n\n{_data_sets()}")
        raise SystemExit(0 if arguments else 2)
    name = arguments.pop(0)
    if name not in BUILDERS and Path(name).exists():
        raise ValueError(
            f"a data set comes before its files: {PROGRAM} prepare NAME --source {shlex.quote(name)}, where NAME is "
            f"one of {', '.join(BUILDERS)}; {PROGRAM} info {shlex.quote(name)} says what is there"
        )
    kind = choose("data set", name, BUILDERS)
    options = parse(_prepare_options(name), arguments, f"{PROGRAM} prepare {name}", description=_about(name))
    out = options.out or Path(DATA_DIR, name)
    check_writable(out, name="--out")
    built = prepare(options.builder, options.source, out, overwrite=options.overwrite, progress=True)
    counts = ", ".join(f"{split} {info.num_examples:,}" for split, info in built.info.splits.items())
    where = "" if out == Path(DATA_DIR, name) else f" --data {shlex.quote(str(out))}"
    print(f"{out} holds {kind().name}: {counts}. Next:\n  {PROGRAM} info {name}{where}\n  {PROGRAM} show {name}{where}")


def _info(arguments: list[str]) -> None:
    name, options = _with_name("info", Info, arguments)
    root = expanded(name, name="the folder")
    try:
        folder, splits = _open(name, options)
    except (FileNotFoundError, ValueError) as error:
        # For a prepared data set that is damaged, the error is the answer.
        if not root.is_dir() or is_prepared(root):
            raise
        from ._raw import describe_raw

        # The question was about this folder, so describe it even though it cannot be opened as a data set.
        print(describe_raw(root, str(error)))
        return
    from ._describe import describe

    print(f"{folder}\n\n{describe(splits, progress=True, channels=options.channels)}")


def _show(arguments: list[str]) -> None:
    name, options = _with_name("show", Show, arguments)
    folder, splits = _open(name, options)
    split = options.split or ("train" if "train" in splits else next(iter(splits)))
    if split not in splits:
        raise ValueError(f"{folder} has no split {split!r}{_close(split, splits)}")
    if options.images < 1:
        raise ValueError(f"--images must be at least 1, got {options.images}: 8 is the default")
    check_figure(options.out, name="--out")
    from ._describe import draw_grid

    # The title names the data set; the command line says where it lies.
    source, title = splits[split], f"{folder.absolute().name}, {split}"
    if options.augmented:
        from ._augmented import AugmentedSource

        options.augment.check("--augment.")
        source = AugmentedSource(source, options.crop_size, options.scale_range, options.augment, options.seed)
        title = f"{title}, augmented with seed {options.seed}"
    else:
        names = ("crop_size", "scale_range", "augment", "seed")
        check_unused(options, names, "images are not augmented", "add --augmented, or leave it out")
    draw_grid(source, options.out, images=options.images, title=title)
    print(options.out)


_COMMANDS: dict[str, Callable[[list[str]], None]] = {"prepare": _prepare, "info": _info, "show": _show}


def _prepare_options(name: str) -> type:
    """The options of `prepare` for one data set: its own, and those common to all."""

    folder = tyro.conf.arg(metavar="DIR", help="Folder of the archives or of their contents, or one archive.")
    result = tyro.conf.arg(metavar="DIR", help=f"Folder of the result; by default {DATA_DIR}/{name}.")
    overwrite = tyro.conf.arg(help="Whether to replace an existing data set.")
    return dataclasses.make_dataclass(
        "Prepare",
        [
            ("builder", Annotated[BUILDERS[name], tyro.conf.arg(name="")], dataclasses.field(default=BUILDERS[name]())),
            ("source", Annotated[Path | None, folder], None),
            ("out", Annotated[Path | None, result], None),
            ("overwrite", Annotated[bool, overwrite], False),
        ],
        frozen=True,
    )


def _open(name: str, options: Where) -> tuple[Path, dict[str, Source]]:
    """The folder of a data set, prepared or laid out as `{split}/{images,labels}`, and its splits."""
    data, classes = options.data, options.classes
    folder = data if is_prepared(data) else find_prepared(name, data)
    if is_prepared(folder):
        check_unused(options, ("classes", "mask_suffix", "white"), f"{folder} is prepared")
        return folder, {
            split: PreparedSource(folder, split, channels=options.channels) for split in prepared_splits(folder)
        }
    root = expanded(name, name="the folder")
    if root.is_file() or (root.name != name and not root.exists() and not is_prepared(folder)):
        raise FileNotFoundError(
            f"{name} is {'a file' if root.is_file() else 'not there'}: name a folder, or a data set"
        )
    splits = sorted(path.parent.name for path in root.glob("*/images") if (path.parent / "labels").is_dir())
    # The usual order.
    splits.sort(key=lambda split: {"train": 0, "val": 1, "test": 2}.get(split, 3))
    if splits:
        named = None if classes is None else _CLASSES[classes] if classes in _CLASSES else load_classes(classes)
        try:
            return root, {
                split: FolderSource(
                    root,
                    split,
                    named,
                    mask_suffix=options.mask_suffix,
                    white=options.white,
                    channels=options.channels,
                )
                for split in splits
            }
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{error}\nor name classes: --classes {', '.join(_CLASSES)} or a file") from error
    there = [path.name for path in data.iterdir() if is_prepared(path)] if data.is_dir() else []
    if folder.name not in BUILDERS and (hint := _close(folder.name, [*there, *BUILDERS])):
        raise FileNotFoundError(f"there is no prepared data set in {folder}{hint}")
    if there and folder.name not in BUILDERS:
        raise FileNotFoundError(f"there is no prepared data set in {folder}; {data} holds {', '.join(sorted(there))}")
    return folder, {split: PreparedSource(folder, split) for split in prepared_splits(folder)}


def _with_name(command: str, kind: type[W], arguments: list[str]) -> tuple[str, W]:
    """Parses `NAME [options]`."""
    program = f"{PROGRAM} {command}"
    if not arguments or arguments[0].startswith("-"):
        if arguments and arguments[0] in ("-h", "--help"):
            parse(kind, ["--help"], f"{program} NAME", description=f"{kind.__doc__} NAME is a data set or a folder.")
        print(f"error: name the data set or its folder: {program} NAME [options]", file=sys.stderr)
        raise SystemExit(2)
    return arguments[0], parse(kind, arguments[1:], f"{program} {arguments[0]}", description=kind.__doc__)


def _close(name: str, choices: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(choices), 1)
    return f": did you mean {close[0]}?" if close else ""


def _about(name: str) -> str:
    builder = BUILDERS[name]()
    summary = re.split(r"\n\n(?:Args|Raises|Example):", inspect.getdoc(builder) or "")[0]
    return f"{summary}\n\nA source holds:\n{layout(builder)}"


def _data_sets() -> str:
    lines = [f"  {name:<18}{kind().note}" for name, kind in BUILDERS.items()]
    more = f"{PROGRAM} prepare NAME --help shows the options and the files that a source holds."
    return "\n".join(["data sets:", *lines, "", more])


def _usage() -> str:
    return f"""usage: {PROGRAM} COMMAND NAME [options]

Prepares data sets from the archives that their authors distribute, and inspects them.

commands:
  prepare NAME --source DIR [--out DIR]   checks every file and writes {DATA_DIR}/NAME, or DIR
  info NAME [--data DIR]                  {Info.__doc__}
  show NAME --out grid.png [--augmented]  {Show.__doc__}

info and show also accept a folder {{train,val,test}}/{{images,labels}} as NAME.

{_data_sets()}

examples:
  {PROGRAM} prepare voc2012 --source ~/VOCdevkit
  {PROGRAM} prepare cityscapes --source ~/cityscapes --out /fast/cityscapes
  {PROGRAM} prepare folder --source photos --masks masks --val-fraction 0.2 --out {DATA_DIR}/photos
  {PROGRAM} info voc2012
  {PROGRAM} show cityscapes --data /fast/cityscapes --split val --out grid.png"""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
