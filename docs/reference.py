"""The public names of a package, read from its source: headings, signatures, docstrings. Nothing is imported."""

import ast
import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("ops", "nn", "models", "weights", "data", "datasets", "training", "metrics", "analysis")
_RE_EXPORT = re.compile(r"^\s*from \.(\.?)(\w+) import (\w+) as \3$")
_WIDTH = 92
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Definition = _Function | ast.ClassDef | ast.Assign | ast.AnnAssign


@dataclass(frozen=True)
class Member:
    """A method or property of a class."""

    name: str
    signature: str
    docstring: str


@dataclass(frozen=True)
class Entry:
    """A public name."""

    name: str
    kind: str  # "function", "class" or "value"
    signature: str
    docstring: str
    file: str  # relative to the repository
    line: int
    members: list[Member] = field(default_factory=list)


@dataclass(frozen=True)
class Group:
    """Names that stand together in the package's list, under the comment above them."""

    heading: str
    entries: list[Entry]


def groups(package: str) -> list[Group]:
    """The public names of `smoothjax.PACKAGE` in the order of its `__init__.py`."""
    found: list[Group] = []
    comment = ""
    for line in (_folder(package) / "__init__.py").read_text().splitlines():
        if match := _RE_EXPORT.match(line):
            if comment or not found:
                found.append(Group(comment, []))
                comment = ""
            folder = _folder(package).parent if match[1] else _folder(package)
            found[-1].entries.append(_entry(folder / f"{match[2]}.py", match[3]))
        elif line.startswith("# ") and not line.startswith("# isort"):
            # A comment that goes on is one heading.
            comment = f"{comment} {line[2:]}".strip().rstrip(".")
    return found


def package_docstring(package: str) -> str:
    """The docstring of a package."""
    return ast.get_docstring(ast.parse((_folder(package) / "__init__.py").read_text())) or ""


def _folder(package: str) -> Path:
    return REPOSITORY / "smoothjax" / package


def _entry(file: Path, name: str) -> Entry:
    body = ast.parse(file.read_text()).body
    for index, statement in reversed(list(enumerate(body))):
        if isinstance(statement, ast.ImportFrom):
            if any((alias.asname or alias.name) == name for alias in statement.names):
                origin = file.parents[max(statement.level, 1) - 1] / f"{(statement.module or '').replace('.', '/')}.py"
                return _entry(origin, name)
        elif name in _names(statement):
            below = body[index + 1] if index + 1 < len(body) else None
            return _describe(_Inlined(body).visit(statement), below, name, file, body)
    raise ValueError(f"{file} does not define {name}, which its package lists: correct the list or the file")


class _Inlined(ast.NodeTransformer):
    """Puts the values of private constants in their places: who reads a signature cannot look them up."""

    def __init__(self, body: Sequence[ast.stmt]) -> None:
        self._values: dict[str, ast.expr] = {}
        for statement in body:
            if isinstance(statement, ast.Assign):
                for target in statement.targets:
                    self._add(target, statement.value)

    def _add(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for one, its in zip(target.elts, value.elts, strict=True):
                self._add(one, its)
        elif isinstance(target, ast.Name) and re.fullmatch("_[A-Z][A-Z_]+", target.id):
            self._values[target.id] = value

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Called for every name."""
        return self._values.get(node.id, node)


def _names(statement: ast.stmt) -> list[str]:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _describe(statement: ast.stmt, below: ast.stmt | None, name: str, file: Path, body: Sequence[ast.stmt]) -> Entry:
    place = (str(file.relative_to(REPOSITORY)), statement.lineno)
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return Entry(name, "function", _function(name, statement), ast.get_docstring(statement) or "", *place)
    if isinstance(statement, ast.ClassDef):
        return Entry(
            name, "class", _class(statement, body), ast.get_docstring(statement) or "", *place, _members(statement)
        )
    value = statement.value if isinstance(statement, (ast.Assign, ast.AnnAssign)) else None
    text = f"{name} = {ast.unparse(value)}" if value else name
    if len(text) > 4 * _WIDTH:
        text = f"{name} = ..."  # tables of classes and the like, which their docstring describes
    return Entry(name, "value", _wrap(text), _string(below), *place)


def _string(statement: ast.stmt | None) -> str:
    """The string below an assignment, which documents it."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        value = statement.value.value
        if isinstance(value, str):
            return inspect.cleandoc(value)
    return ""


def _function(name: str, function: _Function, *, bound: bool = False) -> str:
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    return _call(name, list(_arguments(function.args, bound=bound)), returns)


def _call(name: str, arguments: Sequence[str], returns: str = "") -> str:
    """On one line where it fits, else with a line for each argument."""
    line = f"{name}({', '.join(arguments)}){returns}"
    if len(line) <= _WIDTH or not arguments:
        return line
    return "\n".join([f"{name}(", *(f"    {argument}," for argument in arguments), f"){returns}"])


def _wrap(text: str) -> str:
    """A long value over several lines, broken behind commas."""
    lines = [""]
    for part in re.split(r"(?<=, )|(?<= \| )", text):
        if len(lines[-1]) + len(part) > _WIDTH and lines[-1]:
            lines.append("    ")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)


def _arguments(arguments: ast.arguments, *, bound: bool) -> Iterator[str]:
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    for index, (argument, default) in enumerate(zip(positional, defaults, strict=True)):
        if not (bound and index == 0):
            yield _argument(argument, default)
        if index + 1 == len(arguments.posonlyargs) and not (bound and index == 0):
            yield "/"
    if arguments.vararg:
        yield f"*{_argument(arguments.vararg, None)}"
    elif arguments.kwonlyargs:
        yield "*"
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _argument(argument, default)
    if arguments.kwarg:
        yield f"**{_argument(arguments.kwarg, None)}"


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    text = argument.arg + (f": {ast.unparse(argument.annotation)}" if argument.annotation else "")
    if default is None:
        return text
    return f"{text} = {ast.unparse(default)}" if argument.annotation else f"{text}={ast.unparse(default)}"


def _class(definition: ast.ClassDef, body: Sequence[ast.stmt]) -> str:
    """How the class is called: its `__init__` or that of its base in the same file, or the fields of a dataclass."""
    bases = [ast.unparse(base) for base in definition.bases]
    for statement in definition.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            return _function(definition.name, statement, bound=True)
    decorated = any("dataclass" in ast.unparse(decorator) for decorator in definition.decorator_list)
    if decorated or "NamedTuple" in bases:
        return _call(definition.name, list(_fields(definition)))
    for base in body:
        if isinstance(base, ast.ClassDef) and base.name.startswith("_") and base.name in bases:
            return _class(base, body).replace(base.name, definition.name, 1)
    return f"{definition.name}({', '.join(bases)})" if bases else definition.name


def _fields(definition: ast.ClassDef) -> Iterator[str]:
    for statement in definition.body:
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        annotation = ast.unparse(statement.annotation)
        if statement.target.id.startswith("_") or annotation.startswith("ClassVar"):
            continue
        value = statement.value
        if isinstance(value, ast.Call) and ast.unparse(value.func) == "field":
            value = next((option.value for option in value.keywords if option.arg == "default"), None)
        yield f"{statement.target.id}: {annotation}" + (f" = {ast.unparse(value)}" if value else "")


def _members(definition: ast.ClassDef) -> list[Member]:
    """Public methods and properties with docstrings, including `__call__`."""
    found: list[Member] = []
    for statement in definition.body:
        if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        docstring = ast.get_docstring(statement)
        if not docstring or (statement.name.startswith("_") and statement.name != "__call__"):
            continue
        decorators = {ast.unparse(decorator) for decorator in statement.decorator_list}
        if decorators & {"property", "functools.cached_property", "cached_property"}:
            returns = f": {ast.unparse(statement.returns)}" if statement.returns else ""
            signature = f"{statement.name}{returns}"
        else:
            signature = _function(statement.name, statement, bound="staticmethod" not in decorators)
        found.append(Member(statement.name, signature, docstring))
    return found
