"""Reading a whole split once, to report everything wrong with it together."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tqdm import tqdm

from ..data import Classes, InvalidDataError, Record, Source, label_problems

_REPORTED = 20


def check_source(source: Source, *, progress: bool = False) -> None:
    """Reads every example and reports all problems in one error.

    Files that do not decode, masks of another size than their image, and labels outside the classes are found in
    minutes this way, instead of one by one in the middle of a training.

    Args:
      source: the split to check.
      progress: whether to show a progress bar, on a terminal.

    Raises:
      InvalidDataError: there are problems; the message lists the first 20, `problems` holds all.

    Example:
      >>> from smoothjax.data import ShapesSource
      >>> check_source(ShapesSource(length=3, size=(32, 32)))
    """
    # Decoding is done outside Python's lock.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        results = pool.map(lambda index: _problems(source, index), range(len(source)))
        found = list(tqdm(results, "check", len(source), unit="image", disable=None if progress else True))
    problems = tuple(problem for example in found for problem in example)
    if not problems:
        return
    affected = sum(bool(example) for example in found)
    lines = [f"{affected} of {len(source)} examples cannot be used:", *problems[:_REPORTED]]
    if len(problems) > _REPORTED:
        lines.append(f"and {len(problems) - _REPORTED} more")
    raise InvalidDataError(problems, "\n".join(lines))


def _problems(source: Source, index: int) -> tuple[str, ...]:
    name = f"example {index}"
    try:
        name = source.name(index)
        record = source[index]
        if problems := record_problems(record, source.classes, name):
            return problems
        size, shape = source.size(index), record["label"].shape
        return () if size == shape else (f"{name}: size() says {size}, the label is {shape}",)
    except InvalidDataError as error:
        return error.problems
    # A user's own source may raise anything; the report must still cover the other examples.
    except Exception as error:
        return (f"{name}: {type(error).__name__}: {error}",)


def record_problems(record: Record, classes: Classes, name: str) -> tuple[str, ...]:
    """One line for what makes an example unfit for everything that takes records, if there is such a thing."""
    if missing := [key for key in ("image", "label") if key not in record]:
        keys = ", ".join(map(repr, record)) or "nothing"
        return (f"{name}: the record has no {' and no '.join(map(repr, missing))}, it holds {keys}",)
    image, label = record["image"], record["label"]
    if image.dtype != np.uint8 or label.dtype != np.uint8 or image.shape != (*label.shape, 3) or label.ndim != 2:
        return (
            f"{name}: expected an image uint8 [H, W, 3] and a label uint8 [H, W], got {image.dtype} {image.shape} and "
            f"{label.dtype} {label.shape}",
        )
    return label_problems(label, classes, name)
