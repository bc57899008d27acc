"""Describes a folder that is not prepared: its kind, its images, what is missing, and the next command."""

import shlex
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data import ARRAY_SUFFIX, CLASS_FILES, IGNORE_LABEL, IMAGE_SUFFIXES, MASK_SUFFIXES, read_mask, read_size
from ..files import printable
from .builders import BUILDERS, Builder, SourceTree, join

_PREPARE = "python -m smoothjax.data prepare"
# Depth of folders to search below the root, and numbers of files per folder to read for sizes and labels.
_DEPTH, _SIZES, _LABELS = 4, 200, 8
# A photograph has more shades of grey than this, a mask fewer labels.
_MOST_LABELS = 64
# The classes of masks with so few are written out as an example.
_FEW_LABELS = 8
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class _Part:
    """A folder that holds images.

    Attributes:
      path: relative to the root; "." for the root itself.
      stems: names of its images, without suffixes.
      sizes: number of images of each height and width, among those whose header was read.
      suffixes: number of images of each suffix.
      labels: the numbers in its files if these may be masks, else None.
      broken: an image that cannot be read.
    """

    path: str
    stems: frozenset[str]
    sizes: Mapping[tuple[int, int], int]
    suffixes: Mapping[str, int]
    labels: frozenset[int] | None
    broken: str | None

    @property
    def count(self) -> int:
        return len(self.stems)

    def line(self, width: int) -> str:
        """Its name, with the number and sizes of its images."""
        kinds = ", ".join(suffix[1:] for suffix in sorted(self.suffixes))
        heights, widths = ([size[axis] for size in self.sizes] or [0] for axis in (0, 1))
        size = " x ".join(f"{min(each)}" + f" .. {max(each)}" * (min(each) < max(each)) for each in (heights, widths))
        plural = "s" if self.count != 1 else ""
        what = f"image{plural}" if self.labels is None else f"masks or grey images, numbers {_numbers(self.labels)}"
        return f"  {printable(self.path):<{width}}{self.count:>9,} {what} ({kinds}), {size} high and wide"


#: A folder of images, the folder of their masks, and the suffix of the masks' names.
_Pair = tuple[_Part, _Part, str]


def describe_raw(root: Path, problem: str = "") -> str:
    """Describes a folder in words: its kind, the number and sizes of its images, what is missing, and the next command.

    Args:
      root: the folder.
      problem: the reason why it cannot be opened directly, if known.

    Returns:
      Lines of text.

    Example:
      >>> import pathlib, tempfile
      >>> from PIL import Image
      >>> with tempfile.TemporaryDirectory() as name:
      ...     for part in ("photos", "masks"):
      ...         pathlib.Path(name, part).mkdir()
      ...         Image.new("RGB" if part == "photos" else "L", (8, 6)).save(pathlib.Path(name, part, "a.png"))
      ...     print(describe_raw(pathlib.Path(name)).splitlines()[-1].partition(" --images")[2])
       photos --masks masks
    """
    parts = list(_parts(root))
    what, missing, following, whole = _judged(root, parts)
    width = max((len(printable(part.path)) for part in parts), default=0) + 1
    lines = [f"{printable(str(root))}: {what}", *(part.line(width) for part in parts)]
    problems = [f"{part.path}: {part.broken}" for part in parts if part.broken]
    other = problem.splitlines() if not missing and not problems and not whole else []
    for word, found in (("missing: ", [*missing, *problems]), ("problem: ", other)):
        lines += [f"{word if index == 0 else ' ' * len(word)}{line}" for index, line in enumerate(found)]
    return "\n".join([*lines, f"next:    {following}"])


def _judged(root: Path, parts: Sequence[_Part]) -> tuple[str, list[str], str, bool]:
    """The kind of a folder, what is missing, the next command, and whether nothing else can be wrong before it."""
    source = shlex.quote(str(root))
    pairs = _pairs(parts)
    # CamVid also exists as images and labels in splits, which need no preparation.
    known = None if parts and all(_is_part_of_split(part) for part in parts) else _known(root)
    if known is not None:
        builder, missing = known
        state = "as its authors distribute it" if not missing else "as its authors distribute it, incomplete"
        return f"the data set {builder.name}, {state}", missing, f"{_PREPARE} {builder.name} --source {source}", True
    if pairs:
        return (*_of_pairs(root, pairs), False)
    images = [part for part in parts if part.labels is None]
    if not parts:
        return (
            "no images, and no data set that is known",
            ["images"],
            f"{_PREPARE} --help lists what can be prepared",
            True,
        )
    what = "images without masks" if images else "masks without images, or grey images without masks"
    need = "a mask of the same name for each image, in a folder of its own: class indices, 255 = ignore, as PNG"
    lossy = [part for part in images if Path(part.path).name in ("labels", "masks") and len(images) > 1]
    if lossy:
        kinds = ", ".join(sorted({suffix[1:] for part in lossy for suffix in part.suffixes}))
        what = f"images, and masks that are not PNG ({kinds})"
        need = f"masks as PNG in {' and '.join(part.path for part in lossy)}: other kinds change class indices"
        return what, [need], f"python -m smoothjax.data info {source}, once they are PNG", True
    if mixed := [(part, ending) for part in images if (ending := _mixed(part))]:
        part, ending = mixed[0]
        what = f"images and masks in the same folder, names of masks with {ending}"
        need = f"a folder of their own for the masks of {part.path}: move *{ending}.* there"
    return what, [need], f"{_PREPARE} folder --source {source}, once masks are there", True


def _of_pairs(root: Path, pairs: Sequence[_Pair]) -> tuple[str, list[str], str]:
    """Folders of images with folders of masks."""
    source, missing = shlex.quote(str(root)), list[str]()
    for images, masks, ending in pairs:
        lonely = sorted(stem for stem in images.stems if stem + ending not in masks.stems)
        if lonely:
            names = ", ".join(map(printable, lonely[:3])) + ", ..." * (len(lonely) > 3)
            missing.append(
                f"a mask in {masks.path} for {len(lonely)} of {images.count} images of {images.path} ({names})"
            )
    if not any((root / name).is_file() for name in CLASS_FILES):
        labels = frozenset[int]().union(*(masks.labels or () for _, masks, _ in pairs))
        missing.append(f"{CLASS_FILES[0]}, the names of the classes; the masks hold {_numbers(labels)}")
        if IGNORE_LABEL in labels and len(labels) == 2:
            missing.append(f"of these, {IGNORE_LABEL} is ignored unless a class there has {{values: [{IGNORE_LABEL}]}}")
        missing += _example_of_classes(labels)
    endings = {ending for _, _, ending in pairs if ending}
    suffix = f" --mask-suffix {shlex.quote(endings.pop())}" if len(endings) == 1 else ""
    firsts = [Path(images.path) for images, _, _ in pairs]
    seconds = [Path(masks.path) for _, masks, _ in pairs]
    if all(map(_is_split, pairs)):
        splits = [first.parts[0] for first in firsts]
        what = f"images and masks in the splits {', '.join(sorted(splits, key=_order))}, which are read as they are"
        # Nothing is to be prepared.
        again = f"python -m smoothjax.data info {source}{suffix}"
        return what, missing, f"{again}, once this is there" if missing else again
    names = {(first.parts[0], second.parts[0]) for first, second in zip(firsts, seconds, strict=True) if first.parts}
    named = ""
    if len(names) == 1 and all(part.parts for part in seconds):
        images, masks = names.pop()
        named = f" --images {shlex.quote(images)} --masks {shlex.quote(masks)}"
    where = "in the same folder" if not named else f"in {firsts[0]} and {seconds[0]}"
    what = f"images and masks {where}{', and others' * (len(pairs) > 1)}, to be prepared"
    return what, missing, f"{_PREPARE} folder --source {source}{named}{suffix}"


def _example_of_classes(labels: frozenset[int]) -> list[str]:
    """The lines of a file of classes for masks of these numbers; none if there are many."""
    # Of two numbers, 255 is the object in masks of black and white.
    meant = sorted(labels if len(labels) == 2 else labels - {IGNORE_LABEL})
    if not 2 <= len(meant) <= _FEW_LABELS:
        return []
    names = ["background", "object"] if len(meant) == 2 else [f"class {number}" for number in meant]
    return ["for example", *(f"  {name}: {{values: [{value}]}}" for name, value in zip(names, meant, strict=True))]


def _order(split: str) -> int:
    return _SPLITS.index(split) if split in _SPLITS else len(_SPLITS)


def _is_part_of_split(part: _Part) -> bool:
    """Whether it is SPLIT/images or SPLIT/labels, as in a folder that needs no preparation."""
    path = Path(part.path)
    return len(path.parts) == 2 and path.name in ("images", "labels")


def _is_split(pair: _Pair) -> bool:
    """Whether these are SPLIT/images and SPLIT/labels."""
    images, masks = Path(pair[0].path), Path(pair[1].path)
    return images.parent == masks.parent != Path() and (images.name, masks.name) == ("images", "labels")


def _known(root: Path) -> tuple[Builder, list[str]] | None:
    """The published data set in a folder, perhaps incomplete, and its missing parts."""
    with tempfile.TemporaryDirectory() as scratch:
        tree = SourceTree(root, (), Path(scratch))  # archives are not opened
        for name, kind in BUILDERS.items():
            builder = kind()
            if name == "folder":
                continue
            required = [entry for entry in builder.expected() if not entry.optional]
            packed = {pattern for pattern in builder.archives if any(path.is_file() for path in root.glob(pattern))}
            # The archives of data sets with downloads have common names, such as images.tar, which prove nothing.
            if builder.downloads and len(packed) < len(builder.archives):
                packed.clear()
            absent = [
                entry.line.strip()
                for entry in required
                if packed.isdisjoint(builder.archives if entry.packed_in is None else entry.packed_in)
                and not any(tree.has(join(base, path)) for base in builder.bases for path in entry.paths)
            ]
            # With two layouts of a data set, half of the entries may exist.
            if len(required) - len(absent) >= max(1 if packed else 2, (len(required) + 1) // 2):
                alternatives = any(entry.line.startswith("or ") for entry in required)
                return builder, [] if alternatives else absent
    return None


def _parts(root: Path) -> Iterator[_Part]:
    """The folders that hold images, the root first."""
    pending = [root]
    while pending:
        folder = pending.pop(0)
        try:
            entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith((".", "__MACOSX")))
        except OSError:
            continue
        if len(folder.relative_to(root).parts) < _DEPTH:
            pending += [entry for entry in entries if entry.is_dir() and not entry.is_symlink()]
        files = [entry for entry in entries if entry.suffix.lower() in (*IMAGE_SUFFIXES, ARRAY_SUFFIX)]
        if files:
            yield _part(root, folder, files)


def _part(root: Path, folder: Path, files: Sequence[Path]) -> _Part:
    sizes, broken = Counter[tuple[int, int]](), None
    for path in _spread(files, _SIZES):
        try:
            sizes[read_size(path)] += 1
        except (OSError, ValueError) as error:
            broken = broken or str(error)
    return _Part(
        str(folder.relative_to(root)),
        frozenset(path.stem for path in files),
        sizes,
        Counter(path.suffix.lower() for path in files),
        _labels(files),
        broken,
    )


def _labels(files: Sequence[Path]) -> frozenset[int] | None:
    """The numbers in some files of a folder; None unless all of these may be masks."""
    if not all(path.suffix.lower() in MASK_SUFFIXES for path in files):
        return None
    found = set[int]()
    for path in _spread(files, _LABELS):
        try:
            found |= set(np.unique(read_mask(path)).tolist())
        except (OSError, ValueError):
            return None
    return frozenset(found) if len(found) <= _MOST_LABELS else None


def _spread(files: Sequence[Path], most: int) -> list[Path]:
    count = min(len(files), most)
    return [files[index * len(files) // count] for index in range(count)]


def _pairs(parts: Sequence[_Part]) -> list[_Pair]:
    """Folders of images, each with the folder of masks whose names fit best, and the suffix of the masks' names."""
    found = list[_Pair]()
    for images in (part for part in parts if part.labels is None):
        fitting = list[tuple[int, _Part, str]]()
        for masks in (part for part in parts if part.labels is not None):
            ending = _ending(images.stems, masks.stems)
            shared = sum(stem + ending in masks.stems for stem in images.stems)
            if 2 * shared > min(images.count, masks.count):
                near = sum(
                    one == other for one, other in zip(Path(images.path).parts, Path(masks.path).parts, strict=False)
                )
                fitting.append((shared + near, masks, ending))
        if fitting:
            _, masks, ending = max(fitting, key=lambda each: each[0])
            found.append((images, masks, ending))
    return found


def _mixed(part: _Part) -> str:
    """The suffix of the names of masks in the folder of their images; empty if there are none."""
    endings = Counter(
        other.removeprefix(stem)
        for stem in sorted(part.stems)[:_SIZES]
        for other in part.stems
        if other != stem and other.startswith(f"{stem}_")
    )
    ending, count = endings.most_common(1)[0] if endings else ("", 0)
    return ending if 3 * count >= min(part.count, _SIZES) else ""


def _ending(images: frozenset[str], masks: frozenset[str]) -> str:
    """The most frequent suffix of the masks' names after those of their images."""
    endings = Counter[str]()
    for stem in sorted(images)[:_SIZES]:
        fitting = [name.removeprefix(stem) for name in masks if name.startswith(stem)]
        endings[min(fitting, key=len, default="")] += 1
    return max(endings, key=lambda ending: (endings[ending], -len(ending)), default="")


def _numbers(labels: frozenset[int]) -> str:
    listed = sorted(labels)
    return (
        ", ".join(map(str, listed))
        if len(listed) <= _FEW_LABELS
        else f"{listed[0]} .. {listed[-1]} ({len(listed)} of them)"
    )
