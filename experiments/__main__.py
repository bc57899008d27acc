"""Lists the studies: `python -m experiments`."""

import ast
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path

_HERE = Path(__file__).parent


def programs() -> dict[str, str]:
    """Names that run as `python -m experiments.NAME`, each with the first line of its docstring."""
    modules = {path.parent.name: path.with_name("__init__.py") for path in _HERE.glob("*/__main__.py")}
    modules |= {path.stem: path for path in _HERE.glob("[!_]*.py")}
    texts = {name: ast.get_docstring(ast.parse(path.read_text())) or "" for name, path in modules.items()}
    lines = {name: text.partition("\n")[0] for name, text in texts.items()}
    return dict(sorted(lines.items(), key=lambda item: (not item[1].startswith("Study"), item[1])))


def main(arguments: Sequence[str]) -> int:
    """Prints the list, or a suggestion for a wrong name; returns the exit status."""
    found = programs()
    if arguments and arguments[0] not in ("-h", "--help"):
        close = difflib.get_close_matches(arguments[0], found, 1)
        hint = f"python -m experiments.{close[0]}" if close else f"experiments.NAME, one of {', '.join(found)}"
        print(f"error: `python -m experiments` takes no arguments, got {arguments[0]!r}: run {hint}", file=sys.stderr)
        return 2
    width = max(map(len, found)) + 2
    lines = [f"  python -m experiments.{name:<{width}}{summary}" for name, summary in found.items()]
    print("The studies and their tools; each has --help, and every study has a demonstration:\n")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
