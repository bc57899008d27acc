"""Tables in Markdown, CSV and LaTeX."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..common.table import align

Format = Literal["markdown", "csv", "latex"]
_SPECIAL = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": "$-$",
    "<": "$<$",
    ">": "$>$",
}


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
      title: the heading.
      header, rows: the cells.
      notes: sentences below the table, with code between backticks.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def render(tables: Sequence[Table], form: Format) -> str:
    """All tables as one text."""
    write = {"markdown": _markdown, "csv": _csv, "latex": _latex}[form]
    return "\n\n".join(write(table) for table in tables)


def _markdown(table: Table) -> str:
    rows = [[cell.replace("|", r"\|") for cell in row] for row in table.rows]
    body = [align(table.header, rows)] if rows else []
    return "\n\n".join([f"## {table.title}", *body, *table.notes])


def _csv(table: Table) -> str:
    """Title and notes are comments: `pandas.read_csv(path, comment="#")` skips them."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([table.header, *table.rows] if table.rows else [])
    notes = "".join(f"# {note}\n" for note in table.notes)
    return f"# {table.title}\n{out.getvalue()}{notes}".rstrip("\n")


def _latex(table: Table) -> str:
    """A table with the rules of booktabs: text in the first column, numbers in the others."""
    line = lambda cells: " & ".join(map(_escaped, cells)) + r" \\"
    body = [
        r"\begin{tabular}{l" + "r" * (len(table.header) - 1) + "}",
        r"\toprule",
        line(table.header),
        r"\midrule",
        *map(line, table.rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    notes = [rf"{_marked(note)}\par" for note in table.notes]
    return "\n".join([rf"\subsection*{{{_escaped(table.title)}}}", *(body if table.rows else []), *notes])


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(character, character) for character in text)


def _marked(note: str) -> str:
    """The note in LaTeX, with the text between backticks as code."""
    parts = map(_escaped, note.split("`"))
    return "".join(rf"\texttt{{{part}}}" if index % 2 else part for index, part in enumerate(parts))
