"""Writes the API pages from the packages' own lists of public names, so that none is missing.

A page says `[[api smoothjax.ops]]`; in its place come the names that `smoothjax/ops/__init__.py` re-exports, under
headings made of the comments above their groups.
"""

import re
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
_PLACE = re.compile(r"^\[\[api ([\w.]+)\]\]$", re.MULTILINE)
_RE_EXPORT = re.compile(r"^\s*from \.{1,2}\w+ import (\w+) as \1$")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs for every page."""
    return _PLACE.sub(lambda place: "\n".join(api_lines(place[1])), markdown)


def api_lines(package: str) -> list[str]:
    """Markdown for mkdocstrings: a heading for each group, and an entry for each public name."""
    text = (REPOSITORY.joinpath(*package.split(".")) / "__init__.py").read_text()
    lines: list[str] = []
    for line in text.splitlines():
        if match := _RE_EXPORT.match(line):
            lines += [f"::: {package}.{match[1]}", ""]
        elif line.startswith("# ") and not line.startswith("# isort"):
            # A comment that goes on is one heading.
            if lines and lines[-1].startswith("## "):
                lines[-1] += " " + line[2:].rstrip(".")
            else:
                lines += [f"## {line[2:].rstrip('.')}"]
        elif lines and lines[-1].startswith("## "):
            lines.append("")
    return lines
