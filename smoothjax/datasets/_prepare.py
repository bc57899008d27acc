"""Turns the archives of a data set into checked records that are quick to read."""

import dataclasses
import difflib
import errno
import os
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..data import DATA_DIR, Classes, InvalidDataError, LabelCounts, Metadata, SplitMetadata, open_builder
from ..files import printable
from ..progress import Progress
from ._check import label_problem
from ._encode import Encoded, encode
from ._incomplete import whole_folder
from ._records import RecordWriter
from .builders import BUILDERS, Builder, Example, Plan, SourceTree, fetch, layout, wrong_folder

if TYPE_CHECKING:
    from tensorflow_datasets.core import DatasetBuilder

_REPORTED = 50
_AHEAD = 32

A = TypeVar("A")
B = TypeVar("B")


def prepare(
    data_set: str | Builder,
    source: str | Path | None = None,
    out: str | Path | None = None,
    *,
    overwrite: bool = False,
    progress: bool = False,
    **options: Any,
) -> "DatasetBuilder":
    """Reads a data set as its authors distribute it, checks every file, and writes it as records of TFDS.

    JPEG and PNG images in upright RGB, on which all readers agree, are stored as encoded; all others without loss as
    the visible RGB. Masks are stored as PNG of class indices. `PreparedSource` and TFDS read the result without
    TensorFlow.

    The result appears atomically: it is written beside `out` and renamed at the end. A run that was killed can simply
    be started again.

    Warnings, such as a number of images that differs from the published one, are printed.

    Args:
      data_set: name of the data set, one of `data.DATA_SETS`, or a builder.
      source: folder of the archives or of their content, or one archive; None downloads the data set if that is
        allowed.
      out: folder of the result; None is `data/NAME`. A link stays, and its target folder is made.
      overwrite: whether to replace an existing data set in `out`.
      progress: whether to show a progress bar, on a terminal.
      **options: fields of the builder, if `data_set` is a name.

    Returns:
      The builder of TFDS that reads the result, see its `as_data_source`.

    Raises:
      InvalidDataError: files cannot be used; `problems` holds a line for each, the message the first 50.
      FileNotFoundError: `source` is missing, or not this data set; the message shows the expected content.
      FileExistsError: `out` exists already.
      ValueError: the data set or an option is unknown, `out` cannot be made, or an archive is damaged.

    Example:
      >>> import pathlib, tempfile
      >>> from PIL import Image
      >>> from smoothjax.data import PreparedSource
      >>> with tempfile.TemporaryDirectory() as root:
      ...     for kind, mode in (("train", "RGB"), ("trainannot", "L")):
      ...         pathlib.Path(root, "CamVid", kind).mkdir(parents=True)
      ...         Image.new(mode, (4, 3)).save(pathlib.Path(root, "CamVid", kind, "street.png"))
      ...     _ = prepare("camvid", f"{root}/CamVid", f"{root}/prepared")
      ...     source = PreparedSource(f"{root}/prepared", "train")
      ...     len(source), source.name(0), source[0]["label"].shape
      (1, 'street', (3, 4))
    """
    builder = _builder(data_set, options)
    out = _resolved(Path(DATA_DIR, builder.name) if out is None else out)
    problems_file = out.with_name(f"{out.name}.problems.txt")
    with _space_on_disk(out), whole_folder(out, overwrite=overwrite) as place:
        if source is None:
            source = _download(builder, out.with_name(f"{out.name}.downloads"), progress)
        root = expanded(source, name="--source")
        with closing(SourceTree(root, builder.archives, place / "archives")) as tree:
            plan = builder.plan(tree)
            if not plan.splits:
                raise wrong_folder(builder, tree)
            for line in [*plan.warnings, *_unusual_counts(plan)]:
                print(f"warning: {line}", file=sys.stderr)
            problems_file.unlink(missing_ok=True)
            problems = _write(builder, plan, place / "data", progress)
            if problems:
                raise InvalidDataError(tuple(problems), _report(builder, root, problems, problems_file))
    return open_builder(out)


def _builder(data_set: str | Builder, options: dict[str, Any]) -> Builder:
    if not isinstance(data_set, str):
        if options:
            raise ValueError(f"options {', '.join(options)} go into the builder, such as Folder(masks='masks')")
        return data_set
    if data_set not in BUILDERS:
        close = difflib.get_close_matches(data_set, BUILDERS, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(BUILDERS)}"
        raise ValueError(f"unknown data set {data_set!r}: {hint}")
    known = [field.name for field in dataclasses.fields(cast(Any, BUILDERS[data_set]))]
    if unknown := [option for option in options if option not in known]:
        close = difflib.get_close_matches(unknown[0], known, 1)
        choices = f"its options are {', '.join(known)}" if known else "it has none"
        hint = f"did you mean {close[0]!r}?" if close else choices
        raise ValueError(f"unknown option {unknown[0]!r} of {data_set}: {hint}")
    return BUILDERS[data_set](**options)


@contextmanager
def _space_on_disk(out: Path) -> Iterator[None]:
    """Turns the errors of a full disk, at any level, into one error that names the place."""
    try:
        yield
    except Exception as error:
        chain: BaseException | None = error
        while chain is not None:
            # The writer of records raises its own errors.
            if getattr(chain, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(chain):
                raise OSError(
                    errno.ENOSPC,
                    "the disk is full, nothing is left behind; free space there or name another folder (--out), and "
                    "start the same command again",
                    str(out),
                ) from error
            chain = chain.__cause__ or chain.__context__
        raise


def expanded(path: str | Path, *, name: str) -> Path:
    """A path with the home folder in the place of `~`.

    Raises:
      ValueError: there is no such home folder; the message begins with `name`.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{name} {path}: that home folder is not known, write the path in full") from error


def _resolved(out: str | Path) -> Path:
    """The folder itself, not a link to it: the renaming at the end would replace the link."""
    try:
        path = expanded(out, name="--out").resolve()
    except RuntimeError as error:  # links in a circle
        raise ValueError(f"{out}: no folder can be made there ({error}); name another one (--out)") from error
    # The folder is replaced, which takes it away from programs running in it, such as the user's shell.
    if path in (Path(path.anchor), Path.cwd()):
        what = "the root of the file system" if path == Path(path.anchor) else "the folder that this runs in"
        raise ValueError(
            f"the folder of the result is {str(out)!r}, {what}; name a new folder, such as data/NAME (--out)"
        )
    return path


def _download(builder: Builder, folder: Path, progress: bool) -> Path:
    """The folder with the downloaded archives, which stay there for the next time."""
    if not builder.downloads:
        raise FileNotFoundError(
            f"say where {builder.name} lies (--source DIR, source= in Python); it is\n  {builder.note}\nand expected "
            f"there is\n{layout(builder)}"
        )
    fetch(builder.downloads, folder, progress=progress)
    return folder


def _unusual_counts(plan: Plan) -> list[str]:
    """A line for each split whose number of examples differs from the published one."""
    counts = {split: len(examples) for split, examples in plan.splits.items()}
    return [
        f"split {split} has {count:,} examples, the published one {plan.published[split]:,}"
        for split, count in counts.items()
        if plan.published.get(split, count) != count
    ]


def _report(builder: Builder, root: Path, problems: list[str], file: Path) -> str:
    one = len(problems) == 1
    lines = [f"{builder.name} cannot be prepared from {root}, {len(problems)} problem{'' if one else 's'}:"]
    lines += problems[:_REPORTED]
    if len(problems) > _REPORTED:
        file.write_text(printable("\n".join(problems)) + "\n", encoding="utf-8")
        lines.append(f"and {len(problems) - _REPORTED} more; {file} lists all")
    return "\n".join(lines)


def _write(builder: Builder, plan: Plan, folder: Path, progress: bool) -> list[str]:
    """Writes all records and the metadata; returns the problems, in which case they are incomplete."""
    problems = list(plan.problems)
    for split, examples in plan.splits.items():
        if not examples:
            problems.append(f"split {split} is empty")
        if not re.fullmatch(r"\w+", split) or split == "all":
            problems.append(f"split {split!r} must have a name of letters, digits and _, other than all")
    if problems and not any(plan.splits.values()):
        return problems
    writer = RecordWriter(builder.name, builder.note, folder, list(plan.splits), len(plan.attributes), plan.has_labels)
    total = sum(map(len, plan.splits.values()))
    splits = {}
    bar = Progress(total, f"prepare {builder.name}", unit="images", shown=progress)
    with bar, closing(writer), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for split, examples in plan.splits.items():
            names, sizes, counts = [], [], LabelCounts.none(len(plan.classes))
            for result in _in_order(pool, partial(_try_to_encode, classes=plan.classes), examples):
                bar.update()
                if isinstance(result, InvalidDataError):
                    problems += result.problems
                elif not problems:
                    # After a problem, only search for more.
                    writer.add(split, result)
                    names.append(printable(result.name))
                    sizes.append(result.size)
                    counts += result.counts
            splits[split] = SplitMetadata(tuple(names), tuple(sizes), counts)
            # After other problems, not all labels have been counted.
            if not problems and split.startswith(("train", "val")) and any(example.mask for example in examples):
                every = split == plan.every_class_in
                if problem := label_problem(counts, plan.classes, f"split {split}", every_class=every):
                    problems.append(problem)
        writer.metadata = Metadata(
            builder.name, plan.classes, splits, plan.attributes, plan.has_labels, repr(builder)
        ).to_json()
    # An image may be in several splits.
    return list(dict.fromkeys(problems))


def _try_to_encode(example: Example, classes: Classes) -> Encoded | InvalidDataError:
    try:
        return encode(example, classes)
    except InvalidDataError as error:
        return error


def _in_order(pool: ThreadPoolExecutor, function: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """Maps in several threads, with just enough waiting results to keep them busy; `pool.map` would hold all."""
    waiting: deque[Future[B]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) == _AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
