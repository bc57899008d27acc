"""Names and colours of the classes of a data set."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import parse_json, parse_yaml

IGNORE_LABEL = 255
"""The label of pixels that count neither in the loss nor in the measures."""

Color = tuple[int, int, int]

CLASS_FILES = ("classes.yaml", "classes.yml", "classes.json")
"""Names of the file of classes in a folder data set, the first one to be written."""

CLASSES_EXAMPLE = "road: [128, 64, 128]\ncar: [0, 0, 142]\nperson: [220, 20, 60]"


@dataclass(frozen=True)
class Classes:
    """Names and colours of classes 0 .. K-1, in the order of their labels.

    Args:
      names: K different names.
      colors: K colours, red, green and blue in 0 .. 255. Lists become tuples, so that equal classes compare equal.

    Raises:
      ValueError: no class, more than 255 (label 255 is ignored), one text in place of names, a name twice, a colour
        out of range, or numbers of names and colours that differ.

    Example:
      >>> classes = Classes(("road", "car"), ((128, 64, 128), (0, 0, 142)))
      >>> len(classes), classes.names.index("car")
      (2, 1)
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...]

    def __post_init__(self) -> None:
        if isinstance(self.names, str):
            raise ValueError(f"names must be a tuple of names, got the text {self.names!r}; write ({self.names!r},)")
        object.__setattr__(self, "names", tuple(self.names))
        colors = (tuple(color) if isinstance(color, list) else color for color in self.colors)
        object.__setattr__(self, "colors", tuple(colors))
        if not 1 <= len(self.names) <= IGNORE_LABEL:
            raise ValueError(
                f"a data set has 1 to {IGNORE_LABEL} classes, got {len(self.names)}; label {IGNORE_LABEL} is ignored"
            )
        if len(self.names) != len(self.colors):
            raise ValueError(
                f"there are {len(self.names)} class names and {len(self.colors)} colours; give one colour per name"
            )
        for position, (name, color) in enumerate(zip(self.names, self.colors, strict=True)):
            _check_name(name, position)
            _check_color(color, name)
            if name in self.names[:position]:
                first = self.names.index(name)
                raise ValueError(f"class {name!r} appears twice, at {first} and {position}; names must differ")

    def __len__(self) -> int:
        return len(self.names)


def default_colors(count: int) -> tuple[Color, ...]:
    """Distinct colours for classes that come without: the colours of PASCAL VOC, black first.

    The bits of the class number are dealt in turn to red, green and blue, the highest bit of a colour first, so that
    numbers close to each other get colours far apart.

    Args:
      count: number of colours, 0 to 256.

    Returns:
      `count` different colours, red, green and blue in 0 .. 255.

    Raises:
      ValueError: `count` is out of range.

    Example:
      >>> default_colors(4)
      ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0))
    """
    if not 0 <= count <= 256:
        raise ValueError(f"there are default colours for 0 to 256 classes, got count={count}")
    # Bit 3k + c of the number is bit 7 - k of colour c.
    return tuple((_spread(number), _spread(number >> 1), _spread(number >> 2)) for number in range(count))


def _spread(number: int) -> int:
    """Every third bit of the number, as the highest bits of a byte."""
    return sum((number >> 3 * k & 1) << (7 - k) for k in range(3))


def load_classes(path: str | Path) -> Classes:
    """Reads class names and colours from a YAML or JSON file.

    The order in the file is the order of the labels. Three forms are understood: a mapping of names to colours
    `road: [128, 64, 128]`, a list of `{name: road, color: [128, 64, 128]}`, and a list of names, whose colours are
    then `default_colors`.

    Args:
      path: a file ending in `.yaml`, `.yml` or `.json`.

    Returns:
      The classes.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is of another type, does not parse, or does not describe classes.

    Example:
      >>> import pathlib, tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder, "classes.yaml")
      ...     _ = path.write_text("road: [128, 64, 128]\\ncar: [0, 0, 142]\\n")
      ...     load_classes(path)
      Classes(names=('road', 'car'), colors=((128, 64, 128), (0, 0, 142)))
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; write one class a line, for example\n{CLASSES_EXAMPLE}")
    if path.suffix.lower() not in (".yaml", ".yml", ".json"):
        raise ValueError(
            f"{path}: classes are read from .yaml, .yml or .json, not from {path.suffix or 'a file without suffix'}"
        )
    return parse_classes(path.read_bytes(), str(path))


def parse_classes(content: bytes, name: str) -> Classes:
    """`load_classes` of the content of a file; `name` is what errors call it, its suffix says the format."""
    try:
        parsed = parse_json(content, name) if name.lower().endswith(".json") else parse_yaml(content, name)
    except ValueError as error:
        raise ValueError(f"{error}; write one class a line, for example\n{CLASSES_EXAMPLE}") from error
    try:
        return Classes(*_names_and_colors(parsed))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _names_and_colors(content: Any) -> tuple[tuple[str, ...], tuple[Color, ...]]:
    if isinstance(content, dict):
        entries = list(content.items())
    elif isinstance(content, list) and all(isinstance(entry, dict) for entry in content):
        for position, entry in enumerate(content):
            if set(entry) != {"name", "color"}:
                raise ValueError(f"entry {position} must have the keys name and color, got {sorted(map(str, entry))}")
        entries = [(entry["name"], entry["color"]) for entry in content]
    elif isinstance(content, list):
        entries = list(zip(content, default_colors(min(len(content), 256)), strict=False))
    else:
        raise ValueError(
            f"expected a mapping or a list of classes, got {type(content).__name__}; write for example\n"
            f"{CLASSES_EXAMPLE}"
        )
    return tuple(name for name, _ in entries), tuple(color for _, color in entries)


def _check_name(name: Any, position: int) -> None:
    # YAML reads an unquoted `no` as false and `1` as a number.
    if not isinstance(name, str) or not name:
        raise ValueError(f"the name of class {position} must be text, got {name!r}; put it in quotation marks")


def _check_color(color: Any, name: str) -> None:
    valid = isinstance(color, tuple) and len(color) == 3
    if not valid or not all(type(value) is int and 0 <= value <= 255 for value in color):
        raise ValueError(f"the colour of class {name!r} must be three integers 0 .. 255, got {color!r}")
