"""The instance annotations of MS-COCO, checked before pycocotools sees them.

pycocotools checks nothing: NaN crashes it, run lengths shorter than the image leave memory uninitialised.
"""

import contextlib
import json
import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...data import COCO, IGNORE_LABEL
from ._file import File

_LISTED = 5
# No photograph of the data set is larger; drawing takes memory in proportion to the size.
_MAX_SIDE = 2**15


@dataclass(frozen=True)
class Picture:
    """An image that the file lists: its number, the name of its file, height and width."""

    number: int
    name: str
    size: tuple[int, int]


@dataclass(frozen=True)
class Thing:
    """An object of an image.

    Attributes:
      label: its class, 255 for a crowd.
      polygons: its outlines, coordinates x and y in turn, each of three corners or more.
      runs: or the lengths of runs outside and inside in turn, down the columns.
    """

    label: int
    polygons: tuple[np.ndarray, ...] = ()
    runs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Instances:
    """The content of an annotation file.

    Attributes:
      pictures: the images, in the order of their names.
      things: the objects of each image by its number, in the order of the file.
      problems: a line for each entry that cannot be used.
      left_out: lines that count the annotations without an area.
    """

    pictures: Sequence[Picture]
    things: Mapping[int, Sequence[Thing]]
    problems: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def read_instances(file: File) -> Instances:
    """Reads and checks an annotation file. Raises ValueError if it is not one."""
    content = _read_json(file)
    problems: list[str] = []
    classes = _classes(content["categories"], file.path, problems)
    pictures = _pictures(content["images"], file.path, problems)
    things: dict[int, list[Thing]] = defaultdict(list)
    unlisted: Counter[str] = Counter()
    empty: list[object] = []
    for place, annotation in enumerate(content["annotations"]):
        where = f"{file.path}: annotations[{place}]"
        if not isinstance(annotation, dict):
            problems.append(f"{where}: must be a mapping, is {type(annotation).__name__}")
            continue
        image = annotation.get("image_id")
        if type(image) is not int:
            problems.append(f"{where}: image_id must be a whole number, is {image!r:.40}")
            continue
        if image not in pictures:
            unlisted[str(image)] += 1
            continue
        picture = pictures[image]
        try:
            thing = _thing(annotation, picture.size, classes)
        except ValueError as error:
            name = f"annotation {annotation.get('id', f'[{place}]')!r:.40}"
            problems.append(f"{file.path}: image {picture.name}: {name} cannot be drawn ({error})")
            continue
        if thing is None:
            empty.append(annotation.get("id", f"[{place}]"))
        else:
            things[image].append(thing)
    problems += [
        f"{file.path}: {count} annotations of an image {image} that it does not list"
        for image, count in unlisted.items()
    ]
    left_out = []
    if empty:
        more = ", ..." if len(empty) > _LISTED else ""
        listed = ", ".join(f"{number!r:.40}" for number in empty[:_LISTED])
        left_out.append(
            f"{file.path}: {len(empty)} of {len(content['annotations'])} annotations are left out, they are empty or "
            f"have fewer than three corners: {listed}{more}"
        )
    ordered = sorted(pictures.values(), key=lambda picture: picture.name)
    return Instances(ordered, things, problems, left_out)


def _read_json(file: File) -> dict[str, list[object]]:
    try:
        content = json.loads(file.read(), object_hook=_compact)
        if not isinstance(content, dict):
            raise ValueError(f"it is a {type(content).__name__}")
        for key in ("images", "annotations", "categories"):
            if not isinstance(content.get(key), list):
                raise ValueError(f"{key} must be a list, is {type(content.get(key)).__name__}")
        return content
    except (ValueError, RecursionError, MemoryError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else error
        raise ValueError(
            f"{file.path}: not the instance annotations of MS-COCO ({reason}); download it again"
        ) from error


def _compact(entry: dict[str, object]) -> dict[str, object]:
    """Outlines as arrays, when they are parsed: a quarter of the memory of lists of numbers, which are gigabytes."""
    outlines = entry.get("segmentation")
    if isinstance(outlines, list):
        # A value that is not a list of numbers is refused later, with its number.
        with contextlib.suppress(TypeError, OverflowError):
            entry["segmentation"] = [array("d", outline) for outline in outlines]
    return entry


def _classes(categories: list[object], path: str, problems: list[str]) -> dict[int, int]:
    classes: dict[int, int] = {}
    for place, category in enumerate(categories):
        number = category.get("id") if isinstance(category, dict) else None
        name = category.get("name") if isinstance(category, dict) else None
        if type(number) is not int or not isinstance(name, str):
            problems.append(f"{path}: categories[{place}] must have a whole number id and a text name")
        elif name not in COCO.names[1:]:
            problems.append(f"{path}: category {name[:80]!r} is not one of the 80 of MS-COCO")
        elif number in classes:
            problems.append(f"{path}: category id {number} appears twice")
        else:
            classes[number] = COCO.names.index(name)
    return classes


def _pictures(images: list[object], path: str, problems: list[str]) -> dict[int, Picture]:
    pictures: dict[int, Picture] = {}
    names: set[str] = set()
    for place, image in enumerate(images):
        where = f"{path}: images[{place}]"
        if not isinstance(image, dict):
            problems.append(f"{where}: must be a mapping, is {type(image).__name__}")
            continue
        number, name, height, width = (image.get(key) for key in ("id", "file_name", "height", "width"))
        if type(number) is not int:
            problems.append(f"{where}: id must be a whole number, is {number!r:.40}")
        elif not isinstance(name, str) or not name:
            problems.append(f"{where}: file_name must be text, is {name!r:.40}")
        elif (
            type(height) is not int
            or type(width) is not int
            or not 0 < min(height, width) <= _MAX_SIDE >= max(height, width)
        ):
            problems.append(
                f"{where}: height and width of {name[:80]} must be whole numbers 1 .. {_MAX_SIDE}, are {height!r:.40} "
                f"and {width!r:.40}"
            )
        elif number in pictures or name in names:
            problems.append(f"{where}: image {name[:80]} with id {number} is listed twice; keep one of them")
        else:
            names.add(name)
            pictures[number] = Picture(number, name.rpartition("/")[2], (height, width))
    return pictures


def _thing(annotation: Mapping[str, object], size: tuple[int, int], classes: Mapping[int, int]) -> Thing | None:
    """One object, None if it has no area. Raises ValueError with what is wrong."""
    category, crowd = annotation.get("category_id"), annotation.get("iscrowd", 0)
    if type(category) is not int:
        raise ValueError(f"its category_id must be a whole number, is {category!r:.40}")
    if category not in classes:
        raise ValueError(f"its category_id is {category}, which the file does not define")
    if crowd not in (0, 1):
        raise ValueError(f"its iscrowd must be 0 or 1, is {crowd!r:.40}")
    label = IGNORE_LABEL if crowd else classes[category]
    outline = annotation.get("segmentation")
    if isinstance(outline, list):
        polygons = tuple(polygon for part in outline if (polygon := _polygon(part, size)) is not None)
        return Thing(label, polygons=polygons) if polygons else None
    if isinstance(outline, dict):
        runs = _runs(outline, size)
        return Thing(label, runs=runs) if sum(runs[1::2]) else None
    raise ValueError(f"its segmentation must be a list of polygons or run lengths, is {type(outline).__name__}")


def _polygon(part: object, size: tuple[int, int]) -> np.ndarray | None:
    """Coordinates of a polygon, None if it has fewer than three corners: four numbers would be taken for a box."""
    if not isinstance(part, array):
        if isinstance(part, (int, float)):
            raise ValueError("its polygons must be lists of numbers, are numbers; put them into another list")
        raise ValueError("a polygon must be a list of numbers x, y, x, y, ..., holds something else")
    if len(part) % 2:
        raise ValueError("a polygon has an odd number of coordinates")
    if len(part) < 6:
        return None
    if not all(map(math.isfinite, part)):
        raise ValueError("a polygon has a coordinate that is not finite")
    longest = max(size)
    # Some outlines leave the image a little; far away ones would take all memory.
    if min(part) < -longest or max(part) > 2 * longest:
        raise ValueError(
            f"a polygon has coordinates from {min(part):g} to {max(part):g}, far outside the image of "
            f"{size[0]} x {size[1]}"
        )
    return np.frombuffer(part)


def _runs(outline: Mapping[str, object], size: tuple[int, int]) -> tuple[int, ...]:
    stated, counts = outline.get("size"), outline.get("counts")
    if not isinstance(stated, list) or len(stated) != 2 or any(type(side) is not int for side in stated):
        raise ValueError(f"the size of its mask must be height and width, is {stated!r:.40}")
    if tuple(stated) != size:
        raise ValueError(f"its mask is {stated[0]} x {stated[1]} pixels high and wide, its image {size[0]} x {size[1]}")
    if isinstance(counts, str):
        runs = _decoded(counts)
    elif isinstance(counts, list) and all(type(run) is int for run in counts):
        runs = counts
    else:
        raise ValueError("its run lengths must be a list of whole numbers or a text")
    if min(runs, default=0) < 0:
        raise ValueError(f"a run has the length {min(runs)}")
    if sum(runs) != size[0] * size[1]:
        raise ValueError(f"its runs are {sum(runs):,} pixels long together, its image has {size[0] * size[1]:,}")
    return tuple(runs)


def _decoded(text: str) -> list[int]:
    """Run lengths from their text: five bits a character, from the third on as the difference to the last but one."""
    runs: list[int] = []
    number = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 30:
            raise ValueError(f"its run lengths hold {character!r}, which stands for no number")
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            number -= 1 << shift
        runs.append(number + (runs[-2] if len(runs) > 2 else 0))
        number = shift = 0
    if shift:
        raise ValueError("its run lengths end in the middle of a number")
    return runs
