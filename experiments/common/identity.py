"""Identifies the data and the initial weights of a run by their content, not by their place.

The names of its examples identify a split of images, together with the sizes of their files or, for a prepared split,
the metadata of its records. Nothing is decoded, so this takes a fraction of a second, but a file that changes and keeps
its size goes unnoticed. Imports no JAX.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from .run_files import Json, read_data
from .run_folder import starts_anew

if TYPE_CHECKING:
    from smoothjax.data import Named

# In larger splits only this many files, spread evenly, are asked for their sizes: each is a call to the file system.
_SIZES = 16384
_PART_OF_TENSORFLOW = re.compile(r"\.(index|meta|data-\d+-of-\d+)$")


def describe_split(source: "Named") -> Json:
    """A split: the number of its images, and digests of their names and of their sizes."""
    # Imported here: the package reads images, and `--help` should not wait for it.
    from smoothjax.data import CountedSource, FileSource

    count = len(source)
    described: Json = {"images": count, "names_sha256": _digest(source.name(i) for i in range(count))}
    if isinstance(source, FileSource):
        asked = min(count, _SIZES)
        sizes = (list(source.file_sizes(i * count // asked)) for i in range(asked))
        described["files_sha256"] = _digest(sizes)
    elif isinstance(source, CountedSource):
        # Prepared data store the height and width of each image, and the counted pixels of each class.
        sizes = (list(source.size(i)) for i in range(count))
        described["records_sha256"] = _digest([*sizes, source.counts.pixels.tolist()])
    return described


def describe_weights(path: Path) -> Json:
    """A file of weights: its name and SHA-256; for a TensorFlow checkpoint, the SHA-256 of all its files.

    Raises:
      FileNotFoundError: there is no such file.
    """
    prefix = path.with_name(_PART_OF_TENSORFLOW.sub("", path.name))
    index = prefix.with_name(f"{prefix.name}.index")
    files = [index, *sorted(prefix.parent.glob(f"{prefix.name}.data-*"))] if index.is_file() else [path]
    found = hashlib.sha256()
    for file in files:
        if not file.is_file():
            where = "is a folder: name the file in it" if file.is_dir() else "does not exist: check the path"
            raise FileNotFoundError(f"{file} {where} (of a TensorFlow checkpoint the prefix, its index or a data file)")
        with file.open("rb") as opened:
            found.update(hashlib.file_digest(opened, "sha256").digest())
    return {"name": prefix.name if index.is_file() else path.name, "sha256": found.hexdigest()}


def check_data(folder: Path, described: Mapping[str, object]) -> None:
    """Refuses to continue a run on other data or initial weights; `described` comes from `Study.describe_data`.

    Keys missing on either side are ignored: a prepared split and the same one as files have different digests.

    Raises:
      ValueError: the folder holds a run on other data; the message names what differs.
    """
    if starts_anew(folder):
        return  # nothing has been learnt
    before = read_data(folder)
    differing = differences(before, described)
    if differing:
        names = [f"{known['name']} " if "name" in known else "" for known in (before, described)]
        raise ValueError(
            f"{folder} holds a run on other data: what it has learnt from, {names[0]}there, and {names[1]}now differ in"
            "\n  "
            + "\n  ".join(differing)
            + "\nname the first ones (with --data.root, --data.train-split, --data.file or --init.checkpoint), or "
            "another folder with --run (or --out)"
        )


def differences(before: Mapping[str, object], now: Mapping[str, object], prefix: str = "") -> list[str]:
    """Lines about the keys whose values differ; keys missing on either side and names of places are ignored."""
    lines: list[str] = []
    for key, then in before.items():
        if key == "name" or key not in now or then == now[key]:
            continue
        found = now[key]
        if isinstance(then, Mapping) and isinstance(found, Mapping):
            lines += differences(then, found, f"{prefix}{key}.")
        else:
            lines.append(f"{prefix}{key}: {_in_words(then)} there, {_in_words(found)} now")
    return lines


def is_other_data(
    folder: Path, split: str, open_split: Callable[[str], "Named"], described: Mapping[str, object] | None = None
) -> bool:
    """Whether a data set differs from that of a run, by the split val and, if the run recorded it, the scored split.

    `described` describes the scored split, if the caller has it already. False if the folder has no record of the
    data, as for drawn images.
    """
    known = read_data(folder).get("splits", {})
    for name in dict.fromkeys(("val", split)):
        if name not in known:
            continue
        try:
            found = described if described is not None and name == split else describe_split(open_split(name))
        except (OSError, ValueError):
            return True
        if differences(known[name], found):
            return True
    return False


def summarized(described: Mapping[str, object]) -> dict[str, str | None]:
    """The part of a description for tables: training split, and short digests of data and weights; None if unknown."""
    data = {key: value for key, value in described.items() if key not in ("name", "weights")}
    weights = described.get("weights")
    digest = weights.get("sha256") if isinstance(weights, Mapping) else None
    split = described.get("train_split")
    return {
        "train_split": split if isinstance(split, str) else None,
        "sha256": short_digest(data) if data else None,
        "weights_sha256": digest[:12] if isinstance(digest, str) else None,
    }


def short_digest(content: object) -> str:
    """Twelve digits that identify plain values."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _digest(lines: Iterable[object]) -> str:
    found = hashlib.sha256()
    for line in lines:
        found.update(json.dumps(line).encode() + b"\n")
    return found.hexdigest()


def _in_words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
