"""Names and colours of the classes of a data set."""

import reprlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..files import parse_json, parse_yaml

IGNORE_LABEL = 255
"""The label of pixels that losses and metrics ignore."""

Color = tuple[int, int, int]

CLASS_FILES = ("classes.yaml", "classes.yml", "classes.json")
"""Names of the file of classes in a folder data set; messages suggest the first."""

CLASSES_EXAMPLE = "road: [128, 64, 128]\ncar: [0, 0, 142]\nperson: [220, 20, 60]"


IGNORED = "ignored"
"""In a file of classes, the name of the entry for mask values or a colour that do not count."""


@dataclass(frozen=True)
class MaskCoding:
    """The coding of classes in masks on disk, if it is not by index.

    Args:
      values: for each class the grey values or palette indices that stand for it.
      ignored: values of pixels that do not count; includes 255 unless a class has it.
      ignored_color: colour of such pixels in coloured masks, if any.

    Raises:
      ValueError: a value is out of 0 .. 255, or stands for two things.

    Example:
      >>> MaskCoding(((0,), (255,)), ignored=(128,)).table()[[0, 128, 255, 7]].tolist()
      [0, 255, 1, -1]
    """

    values: tuple[tuple[int, ...], ...]
    ignored: tuple[int, ...] = ()
    ignored_color: Color | None = None

    def __post_init__(self) -> None:
        named = [*(value for values in self.values for value in values), *self.ignored]
        if any(type(value) is not int or not 0 <= value <= 255 for value in named):
            raise ValueError(f"values of masks must be integers 0 .. 255, got {shortened(named)}")
        if repeated := sorted({value for value in named if named.count(value) > 1}):
            raise ValueError(f"value {repeated[0]} of masks stands for two classes; give each value to one of them")

    def table(self) -> np.ndarray:
        """int16 `[256]`: the class of each value, 255 for ignored values, -1 for undeclared ones."""
        table = np.full(256, -1, np.int16)
        table[IGNORE_LABEL] = IGNORE_LABEL
        table[list(self.ignored)] = IGNORE_LABEL
        for label, values in enumerate(self.values):
            table[list(values)] = label
        return table


@dataclass(frozen=True)
class Classes:
    """Names and colours of classes 0 .. K-1, in the order of their labels.

    Args:
      names: K different names.
      colors: K colours, red, green and blue in 0 .. 255. Lists become tuples, so that equal classes compare equal.
      masks: coding of classes in masks on disk; None for indices.

    Raises:
      ValueError: no class, more than 255 (label 255 is ignored), one text in place of names, a repeated name, a colour
          out of range, or different numbers of names and colours.

    Example:
      >>> classes = Classes(("road", "car"), ((128, 64, 128), (0, 0, 142)))
      >>> len(classes), classes.names.index("car")
      (2, 1)
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...]
    masks: MaskCoding | None = None

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

        if self.masks is not None and len(self.masks.values) != len(self.names):
            raise ValueError(
                f"there are {len(self.names)} class names and values of masks for {len(self.masks.values)}; give some "
                "for each name"
            )

    def __len__(self) -> int:
        return len(self.names)

    def by_index(self) -> "Classes":
        """The same classes for label maps of indices."""
        return self if self.masks is None else Classes(self.names, self.colors)


def default_colors(count: int) -> tuple[Color, ...]:
    """Distinct colours for classes without colours: those of PASCAL VOC, black first.

    The bits of the class number go in turn to red, green and blue, the highest bit of a colour first, so that close
    numbers get distant colours.

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

    The order in the file is the order of the labels. The file may have three forms: a mapping of names to colours
    `road: [128, 64, 128]`, a list of `{name: road, color: [128, 64, 128]}`, and a list of names, whose colours are then
    `default_colors`. In the first two a class may also have its values in masks, such as `road: {values: [255]}`, with
    or without a `color`; without values its value is its place in the file. The entry `ignored: {values: [128]}`
    declares values, or a colour, of pixels that do not count. Coloured masks are read by the colours of the classes.

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
      Classes(names=('road', 'car'), colors=((128, 64, 128), (0, 0, 142)), masks=None)
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
    """`load_classes` of the content of a file; `name` is its name in errors, and its suffix gives the format."""
    try:
        parsed = parse_json(content, name) if name.lower().endswith(".json") else parse_yaml(content, name)
    except ValueError as error:
        raise ValueError(f"{error}; write one class a line, for example\n{CLASSES_EXAMPLE}") from error
    try:
        return _classes_of(parsed)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _classes_of(content: object) -> Classes:
    if isinstance(content, dict):
        entries = list(content.items())
    elif isinstance(content, list) and all(isinstance(entry, dict) for entry in content):
        entries = []
        for position, entry in enumerate(content):
            if "name" not in entry or not set(entry) <= {"name", "color", "values"}:
                raise ValueError(
                    f"entry {position} must have the keys name and color, got "
                    f"{shortened(sorted(map(str, entry)))}; values is optional"
                )
            entries.append((entry["name"], {key: value for key, value in entry.items() if key != "name"}))
    elif isinstance(content, list):
        entries = [(name, {}) for name in content]
    else:
        raise ValueError(
            f"expected a mapping or a list of classes, got {type(content).__name__}; write for example\n"
            f"{CLASSES_EXAMPLE}"
        )
    ignored = [entry for name, entry in entries if name == IGNORED and isinstance(entry, dict)]
    entries = [(name, entry) for name, entry in entries if not (name == IGNORED and isinstance(entry, dict))]
    defaults = default_colors(min(len(entries), 256))
    names, colors, values = [], [], []
    coded = bool(ignored)
    for position, (name, entry) in enumerate(entries):
        details = entry if isinstance(entry, dict) else {"color": entry}
        _check_name(name, position)
        if unknown := sorted(map(str, set(details) - {"color", "values"})):
            raise ValueError(f"class {name!r} may have color and values, got {shortened(unknown)}")
        names.append(name)
        colors.append(details.get("color", defaults[position] if position < 256 else None))
        values.append(_values(details["values"], name) if "values" in details else None)
        coded = coded or "values" in details
    if not coded:
        return Classes(tuple(names), tuple(colors))
    others = ignored[0] if ignored else {}
    if unknown := sorted(map(str, set(others) - {"color", "values"})):
        raise ValueError(f"{IGNORED} may have color and values, got {shortened(unknown)}")
    if "color" in others:
        _check_color(tuple(others["color"]) if isinstance(others["color"], list) else others["color"], IGNORED)
    # A class without values has its index, as in masks without a coding.
    filled = tuple((position,) if given is None else given for position, given in enumerate(values))
    coding = MaskCoding(
        filled,
        _values(others["values"], IGNORED) if "values" in others else (),
        tuple(others["color"]) if "color" in others else None,
    )
    return Classes(tuple(names), tuple(colors), coding)


def _values(value: object, name: str) -> tuple[int, ...]:
    given = value if isinstance(value, list) else [value]
    values = tuple(entry for entry in given if type(entry) is int and 0 <= entry <= 255)
    if not given or len(values) != len(given):
        raise ValueError(f"the values of {name!r} must be integers 0 .. 255, got {shortened(value)}")
    return values


def shortened(value: object) -> str:
    """A value for an error message; values from a file may be very long."""
    return reprlib.repr(value)


def _check_name(name: object, position: int) -> None:
    # YAML reads an unquoted `no` as false and `1` as a number.
    if not isinstance(name, str) or not name:
        raise ValueError(f"the name of class {position} must be text, got {shortened(name)}; put it in quotation marks")


def _check_color(color: object, name: str) -> None:
    parts = color if isinstance(color, tuple) else ()
    if len(parts) != 3 or not all(type(value) is int and 0 <= value <= 255 for value in parts):
        raise ValueError(f"the colour of class {name!r} must be three integers 0 .. 255, got {shortened(color)}")
