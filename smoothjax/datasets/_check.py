"""Reading a whole split once, to report all its problems together."""

import contextlib
import os
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..data import Classes, FileSource, InvalidDataError, LabelCounts, Record, Source, label_problems
from ..progress import track

#: Results for sources that have been read, and what they hold for; the check, class weights and balanced crops all need
#: them.
_COUNTED: "weakref.WeakKeyDictionary[Source, tuple[_State, LabelCounts]]" = weakref.WeakKeyDictionary()
_REPORTED = 20
_LISTED = 5

_State = tuple[int, list[tuple[int, ...]]]
"""The channels that were asked for, and the sizes of the files of each example."""


def check_source(source: Source, *, progress: bool = False, channels: int = 3) -> LabelCounts:
    """Reads every example, counts its labels, and reports all problems in one error.

    This finds files that do not decode, masks whose size differs from their image, and labels outside the classes
    within minutes, instead of one by one during training.

    Args:
      source: the split to check.
      progress: whether to show progress, after five seconds.
      channels: required number of channels of every image.

    Returns:
      The class counts, for `check_labels`.

    Raises:
      InvalidDataError: there are problems; the message lists the first 20, `problems` holds all.

    Example:
      >>> from smoothjax.data import ShapesSource
      >>> counts = check_source(ShapesSource(length=3, size=(32, 32)))
      >>> int(counts.pixels.sum()) + counts.ignored
      3072
    """
    counts, found, state = LabelCounts.none(len(source.classes)), [], _state(source, channels)
    # Decoding is done outside Python's lock.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        results = pool.map(lambda index: _read(source, index, channels), range(len(source)))
        for result in track(results, "check", len(source), unit="images", shown=progress):
            if isinstance(result, LabelCounts):
                counts += result
            else:
                found.append(result)
    problems = tuple(problem for example in found for problem in example)
    if not problems:
        with contextlib.suppress(TypeError):  # of sources that cannot be referred to weakly
            _COUNTED[source] = state, counts
        return counts
    lines = [f"{len(found)} of {len(source)} examples cannot be used:", *problems[:_REPORTED]]
    if len(problems) > _REPORTED:
        lines.append(f"and {len(problems) - _REPORTED} more")
    raise InvalidDataError(problems, "\n".join(lines))


def counted(source: Source, channels: int) -> LabelCounts | None:
    """The counts of `check_source` for this source object; None if it has not been read, or not as it is now."""
    try:
        known = _COUNTED.get(source)
    except TypeError:
        return None
    return known[1] if known is not None and known[0] == _state(source, channels) else None


def _state(source: Source, channels: int) -> _State:
    files = source if isinstance(source, FileSource) else None
    return channels, [] if files is None else [files.file_sizes(index) for index in range(len(files))]


def check_labels(counts: LabelCounts, classes: Classes, where: str, *, every_class: bool = True) -> None:
    """Refuses labels without anything to learn, often a sign of wrongly coded masks.

    Masks of 0 and 255, for example, hold one class and ignored pixels, on which every network scores 100 %.

    Args:
      counts: class counts, see `check_source`.
      classes: the classes.
      where: the name of the split in the message, such as "split train".
      every_class: whether each class must have a pixel, and whether there must be two.

    Raises:
      InvalidDataError: no pixel is labelled, or a class has none; the message gives the shares found and the remedy.

    Example:
      >>> import numpy as np
      >>> classes = Classes(("background", "disk"), ((0, 0, 0), (255, 0, 0)))
      >>> counts = LabelCounts.of(np.array([[0, 0, 0, 255]], np.uint8), 2)
      >>> check_labels(counts, classes, "split train")
      Traceback (most recent call last):
      smoothjax.data._source.InvalidDataError: split train: no pixel is of class 'disk' (found: background 75 %, ...
    """
    if problem := label_problem(counts, classes, where, every_class=every_class):
        raise InvalidDataError((problem,))


def label_problem(counts: LabelCounts, classes: Classes, where: str, *, every_class: bool) -> str:
    """The error of `check_labels` as a line; empty if there is none."""
    absent = [name for name, pixels in zip(classes.names, counts.pixels, strict=True) if not pixels]
    remedy = (
        f"state how the masks name the classes, such as {classes.names[-1]}: {{values: [255]}} in classes.yaml"
        if counts.ignored
        else "correct the masks"
    )
    if len(absent) == len(classes):
        return f"{where}: no pixel is labelled ({_shares(counts, classes)}); {remedy}, or label some"
    if not every_class:
        return ""
    if absent:
        listed = ", ".join(map(repr, absent[:_LISTED])) + (", ..." if len(absent) > _LISTED else "")
        which = f"class {listed}" if len(absent) == 1 else f"the {len(absent)} classes {listed}"
        return (
            f"{where}: no pixel is of {which} ({_shares(counts, classes)}); {remedy}, take such classes out of it, or "
            "accept them with the option allow-empty-classes"
        )
    if len(classes) == 1:
        return (
            f"{where}: there is only one class ({_shares(counts, classes)}), and nothing to distinguish; name the "
            f"others, such as background, and {remedy}"
        )
    return ""


def _shares(counts: LabelCounts, classes: Classes) -> str:
    total = max(int(counts.pixels.sum()) + counts.ignored, 1)
    most = sorted(zip(counts.pixels.tolist(), classes.names, strict=True), key=lambda pair: -pair[0])[:_LISTED]
    shares = [f"{name} {100 * pixels / total:.3g} %" for pixels, name in most]
    return f"found: {', '.join(shares)}, 255 ignored {100 * counts.ignored / total:.3g} %"


def _read(source: Source, index: int, channels: int) -> LabelCounts | tuple[str, ...]:
    """The label counts of an example, or its problems."""
    name = f"example {index}"
    try:
        name = source.name(index)
        record = source[index]
        if problems := record_problems(record, source.classes, name, channels):
            return problems
        size, shape = source.size(index), record["label"].shape
        if size != shape:
            return (f"{name}: size() says {size}, the label is {shape}",)
        return LabelCounts.of(record["label"], len(source.classes))
    except InvalidDataError as error:
        return error.problems
    # A custom source may raise anything; the report must still cover the other examples.
    except Exception as error:
        return (f"{name}: {type(error).__name__}: {error}",)


def record_problems(record: Record, classes: Classes, name: str, channels: int = 3) -> tuple[str, ...]:
    """A line for a fault that makes an example unusable as a record, if there is one."""
    if missing := [key for key in ("image", "label") if key not in record]:
        keys = ", ".join(map(repr, record)) or "nothing"
        return (f"{name}: the record has no {' and no '.join(map(repr, missing))}, it holds {keys}",)
    image, label = record["image"], record["label"]
    if image.dtype != np.uint8 or label.dtype != np.uint8 or image.shape != (*label.shape, channels) or label.ndim != 2:
        return (
            f"{name}: expected an image uint8 [H, W, {channels}] and a label uint8 [H, W], got {image.dtype} "
            f"{image.shape} and {label.dtype} {label.shape}",
        )
    return label_problems(label, classes, name)
