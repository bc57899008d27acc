"""Small files of any origin, read with limits, and files written into folders of any origin.

A file from elsewhere must neither run code, nor exhaust memory or time, nor end in a traceback. Each fault is a
ValueError of one sentence that names the file and the rule.
"""

import json
import re
from collections.abc import Hashable, Iterable
from pathlib import Path

import yaml

from ._array_files import read_npz as read_npz
from ._system_errors import explain as explain
from ._writing import check_figure as check_figure
from ._writing import check_links as check_links
from ._writing import check_local as check_local
from ._writing import check_writable as check_writable
from ._writing import write_figure as write_figure
from ._writing import write_whole as write_whole

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "check_figure",
    "check_links",
    "check_local",
    "check_writable",
    "explain",
    "parse_json",
    "parse_yaml",
    "printable",
    "read_json",
    "read_npz",
    "read_text",
    "read_yaml",
    "write_figure",
    "write_whole",
]

MAX_BYTES = 64 * 2**20
"""Most bytes of a JSON or text file, unless a reader is given another limit."""

MAX_DEPTH = 64
"""How deep lists and mappings may be nested."""

_MAX_YAML_BYTES = 2**20  # PyYAML reads some 100 kB a second
_MAX_YAML_VALUES = 100_000
_JSON_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)


def read_text(path: str | Path, *, max_bytes: int = MAX_BYTES) -> str:
    """Reads a text file in UTF-8, with or without a byte-order mark.

    Args:
      path: the file.
      max_bytes: the most it may hold.

    Returns:
      Its text.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the path is not a file, or the file is larger, or not UTF-8; the message names it.

    Example:
      >>> import pathlib, tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     _ = pathlib.Path(folder, "note.txt").write_text("ß", encoding="utf-8-sig")
      ...     read_text(f"{folder}/note.txt")
      'ß'
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if not path.is_file():
        raise ValueError(f"{path}: expected a file, found another kind of entry; name a file")
    with path.open("rb") as opened:
        # One byte more than allowed shows that there is more: the size that a file system states may be wrong.
        content = opened.read(max_bytes + 1)
    return _decoded(content, str(path), max_bytes)


def read_json(path: str | Path, *, max_bytes: int = MAX_BYTES) -> object:
    """Reads a JSON file as `parse_json` reads its text; raises FileNotFoundError if there is none.

    Example:
      >>> import pathlib, tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     _ = pathlib.Path(folder, "a.json").write_text('{"steps": 3}')
      ...     read_json(f"{folder}/a.json")
      {'steps': 3}
    """
    return parse_json(read_text(path, max_bytes=max_bytes), str(path), max_bytes=max_bytes)


def read_yaml(path: str | Path) -> object:
    """Reads a YAML file as `parse_yaml` reads its text; raises FileNotFoundError if there is none.

    Example:
      >>> import pathlib, tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     _ = pathlib.Path(folder, "a.yaml").write_text("road: [128, 64, 128]")
      ...     read_yaml(f"{folder}/a.yaml")
      {'road': [128, 64, 128]}
    """
    return parse_yaml(read_text(path, max_bytes=_MAX_YAML_BYTES), str(path))


def parse_json(content: str | bytes, name: str, *, max_bytes: int = MAX_BYTES) -> object:
    """Reads JSON; refuses repeated names in a mapping and nesting deeper than `MAX_DEPTH`.

    Args:
      content: the text, or its bytes in UTF-8.
      name: its name in errors.
      max_bytes: the most it may hold.

    Returns:
      Dicts, lists, text, numbers, booleans and None. `NaN` and `Infinity` are read, as Python writes them.

    Raises:
      ValueError: the text breaks one of these rules, or is not JSON.

    Example:
      >>> parse_json('{"a": 1, "a": 2}', "a.json")
      Traceback (most recent call last):
      ValueError: a.json: 'a' appears twice; names must differ
    """
    text = _decoded(content, name, max_bytes)
    _check_json_depth(text, name)
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _without_repeats(pairs, name))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{name}, line {error.lineno}: cannot be read as JSON ({error.msg}); correct or replace the file"
        ) from error
    except ValueError as error:
        # Python refuses numbers of thousands of digits.
        reason = str(error)
        raise ValueError(reason if reason.startswith(name) else f"{name}: {reason}") from error


def parse_yaml(content: str | bytes, name: str) -> object:
    """Reads plain YAML; refuses repeated names in a mapping, tags that make objects, and excess size and depth.

    Aliases (`*name`) count as often as they are used, so a few lines cannot stand for billions of values.

    Args:
      content: the text, or its bytes in UTF-8.
      name: its name in errors.

    Returns:
      Dicts, lists, text, numbers, dates, booleans and None.

    Raises:
      ValueError: the text breaks one of these rules, or is not YAML.

    Example:
      >>> parse_yaml("road: [128, 64, 128]", "classes.yaml")
      {'road': [128, 64, 128]}
      >>> parse_yaml("[" * 100, "classes.yaml")
      Traceback (most recent call last):
      ValueError: classes.yaml: lists and mappings lie more than 64 deep in each other; ...
    """
    text = _decoded(content, name, _MAX_YAML_BYTES)
    loader = _StrictLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check_values(node, name)
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f", line {error.problem_mark.line + 1}"
        raise ValueError(
            f"{name}{line}: cannot be read as YAML ({error.problem or error.context}); correct or replace the file"
        ) from error
    except (ValueError, ArithmeticError, TypeError, yaml.YAMLError) as error:
        # Dates and numbers that do not exist are errors of Python.
        reason = str(error)
        raise ValueError(reason if reason.startswith(name) else f"{name}: {reason}") from error
    finally:
        loader.dispose()


def printable(text: str) -> str:
    """Text that every stream and file in UTF-8 can hold; names of files may contain bytes that are not text.

    Args:
      text: any text.

    Returns:
      The same text, with the codes of bytes that are not characters.

    Example:
      >>> printable("caf\\udce9.png")
      'caf\\\\udce9.png'
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _decoded(content: str | bytes, name: str, max_bytes: int) -> str:
    if len(content) > max_bytes:
        raise ValueError(
            f"{name}: holds more than {max_bytes:,} bytes, the limit for such a file; is it the right one?"
        )
    if isinstance(content, str):
        return content
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: is not text in UTF-8 ({error}); save it as UTF-8, or replace it") from error


def _too_deep(name: str) -> ValueError:
    return ValueError(
        f"{name}: lists and mappings lie more than {MAX_DEPTH} deep in each other; no file of this kind needs that, "
        "replace it"
    )


def _check_json_depth(text: str, name: str) -> None:
    # Most files have few brackets, so they cannot be too deep and need no closer look.
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for match in _JSON_BRACKETS.finditer(text):
        symbol = match[0]
        if symbol in ("[", "{"):
            depth += 1
            if depth > MAX_DEPTH:
                raise _too_deep(name)
        elif symbol in ("]", "}"):
            depth -= 1


def _check_values(root: yaml.Node, name: str) -> None:
    """Refuses aliases that stand for very many values, or for a value that contains them."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node) -> int:
        # The depth is limited already, so this may call itself.
        if id(node) in open_nodes:
            raise ValueError(f"{name}: an alias (*name) stands for a value that contains it; write the value out")
        if id(node) not in sizes:
            open_nodes.add(id(node))
            inside: list[yaml.Node] = []
            if isinstance(node, yaml.SequenceNode):
                inside = node.value
            elif isinstance(node, yaml.MappingNode):
                inside = [part for pair in node.value for part in pair]
            sizes[id(node)] = 1 + sum(map(size, inside))
            open_nodes.discard(id(node))
        return sizes[id(node)]

    try:
        count = size(root)
    except RecursionError:
        raise _too_deep(name) from None
    if count > _MAX_YAML_VALUES:
        raise ValueError(
            f"{name}: stands for {count:,} values, aliases (*name) counted as often as they are used; at most "
            f"{_MAX_YAML_VALUES:,} are read: write the values out"
        )


def _without_repeats(pairs: Iterable[tuple[Hashable, object]], name: str = "") -> dict[Hashable, object]:
    mapping: dict[Hashable, object] = {}
    for key, value in pairs:
        if key in mapping:
            raise ValueError(f"{name}: {key!r} appears twice; names must differ".removeprefix(": "))
        mapping[key] = value
    return mapping


class _StrictLoader(yaml.SafeLoader):
    """Plain YAML in which a repeated name is an error; otherwise the last one would win silently, and labels shift."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise yaml.YAMLError(str(_too_deep("")).removeprefix(": "))
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


_StrictLoader.add_constructor(
    yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG,
    lambda loader, node: _without_repeats(loader.construct_pairs(node, deep=True)),
)
