"""Markdown of the API pages, and links to them from whatever names a public function in backticks."""

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from . import reference

#: Fenced code and code in backticks, which no rule for text may touch. The latter may go on in the next line.
CODE = re.compile(r"^ *```.*?^ *```$|`+(?:[^`\n]|\n(?!\s*\n))+`+", re.MULTILINE | re.DOTALL)
_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Yields|Example|References):$")
_ITEM = re.compile(r"^  (\*{0,2}\w[\w, .*]*): +")
_REFERENCE = re.compile(r"\[(`[^`\n]+`)\]\[smoothjax\.(\w+)\.(\w+)\]")
#: An item of arguments or attributes, and their names.
_NAMED = re.compile(r"^- ((?:`\*{0,2}[a-z_]\w*`(?:, )?)+):", re.MULTILINE)
_LINKED = re.compile(r"(?<!\[)`(smoothjax\.)?([\w.]+?)(?:\(\))?`(?!\])")


def page(package: str, address: Callable[[str, int], str | None]) -> str:
    """The API page of one package; `address` gives the place of a line of source on the web, or None."""
    docstring = reference.package_docstring(package)
    lines = [f"# smoothjax.{package}", "", *_docstring(docstring), ""]
    for group in reference.groups(package):
        lines += [f"## {group.heading or 'Functions'}", ""]
        for entry in group.entries:
            lines += _entry(package, entry, address(entry.file, entry.line))
    return "\n".join(lines) + "\n"


def names() -> dict[str, list[str]]:
    """The public names of each package."""
    return {
        package: [entry.name for group in reference.groups(package) for entry in group.entries]
        for package in reference.PACKAGES
    }


def link(text: str, place: str, public: Mapping[str, Sequence[str]], package: str | None = None) -> str:
    """Links public names in backticks, outside of code blocks and headings, to their entries.

    `place` is the page's own path. `ops.ss_conv` is linked everywhere, and a bare name where only one package has it
    and it can't be a word of English; on the page of `package` its own names come first, and the arguments and
    attributes of an entry are no links. A reference such as [`words`][smoothjax.ops.ss_conv] also becomes a link.

    Raises:
      ValueError: a reference names nothing public.
    """
    owners: dict[str, list[str]] = {}
    for owner, own in public.items():
        for name in own:
            owners.setdefault(name, []).append(owner)

    arguments: set[str] = set()

    def target(name: str) -> str | None:
        head, _, rest = name.partition(".")
        if rest and head in public:
            name = rest.split(".")[0]
            return f"{head}.md#smoothjax.{head}.{name}" if name in public[head] else None
        if name in arguments:
            return None
        if package and name in public[package]:
            return f"{package}.md#smoothjax.{package}.{name}"
        if len(owners.get(name, ())) == 1 and ("_" in name or re.search("[A-Z]", name[1:])):
            return f"{owners[name][0]}.md#smoothjax.{owners[name][0]}.{name}"
        return None

    def replace(match: re.Match[str]) -> str:
        found = f"{match[2]}.md" if match[1] and match[2] in public else target(match[2])
        return match[0] if found is None else f"[{match[0]}]({posixpath.relpath(f'api/{found}', _folder(place))})"

    def refer(match: re.Match[str]) -> str:
        if match[3] not in public.get(match[2], ()):
            raise ValueError(f"{place} refers to smoothjax.{match[2]}.{match[3]}, which is not public")
        found = target(f"{match[2]}.{match[3]}")
        return f"[{match[1]}]({posixpath.relpath(f'api/{found}', _folder(place))})"

    def line(text: str) -> str:
        return text if text.startswith("#") else _LINKED.sub(replace, _REFERENCE.sub(refer, text))

    linked: list[str] = []
    for entry in re.split(r"^(?=### )", text, flags=re.MULTILINE) if package else [text]:
        named = "".join(_NAMED.findall(entry)) if package else ""
        arguments = set(re.findall(r"\w+", named))
        for part in re.split(r"(^ *```.*?^ *```$)", entry, flags=re.MULTILINE | re.DOTALL):
            code = part.lstrip().startswith("```")
            linked.append(part if code else "".join(map(line, part.splitlines(keepends=True))))
    return "".join(linked)


def _folder(place: str) -> str:
    return posixpath.dirname(place) or "."


def _entry(package: str, entry: reference.Entry, address: str | None) -> Iterator[str]:
    yield from (f"### `{entry.name}` {{ #smoothjax.{package}.{entry.name} }}", "")
    yield from ("```python", _double_quoted(entry.signature), "```", "")
    yield from _docstring(entry.docstring)
    for member in entry.members:
        # Markdown would read the underscores of `__call__`, also in an attribute.
        anchor = f"smoothjax.{package}.{entry.name}.{member.name.strip('_')}"
        yield from (f"#### `{entry.name}.{member.name}` {{ #{anchor} }}", "")
        yield from ("```python", _double_quoted(member.signature), "```", "")
        yield from _docstring(member.docstring)
    source = f"[{entry.file}]({address})" if address else entry.file
    yield from (f"*Source: {source}, line {entry.line}.*", "")


def _double_quoted(code: str) -> str:
    return re.sub(r"'([^'\"\\]*)'", r'"\1"', code)


def _docstring(text: str) -> Iterator[str]:
    """A docstring in Google's form as Markdown."""
    sections: list[tuple[str, list[str]]] = [("", [])]
    for line in text.splitlines():
        if match := _SECTION.match(line):
            sections.append((match[1], []))
        else:
            sections[-1][1].append(line)
    for title, lines in sections:
        if title:
            yield from (f"**{'Arguments' if title == 'Args' else title}**", "")
        if title in ("Args", "Attributes", "Raises"):
            yield from _items(lines)
        else:
            yield from _text([line.removeprefix("  ") if title else line for line in lines])
        yield ""


def _items(lines: Sequence[str]) -> Iterator[str]:
    """`name: what it is`, which may go on below."""
    for line in lines:
        if match := _ITEM.match(line):
            named = ", ".join(f"`{name}`" for name in match[1].split(", "))
            yield f"- {named}: {line[match.end() :]}"
        elif line.strip():
            yield f"  {line.strip()}"


def _text(lines: Sequence[str]) -> Iterator[str]:
    """Text, with its doctests and indented blocks as code."""
    code: str | None = None
    previous = ""
    for line in lines:
        opens = "pycon" if line.startswith(">>>") else "text" if line.startswith("    ") else None
        if code is None and opens and (opens == "pycon" or not previous.strip()):
            code = opens
            yield f"```{code}"
        elif code and (not line.strip() or (code == "text" and not opens)):
            code = None
            yield from ("```", "")
        yield line.removeprefix("    ") if code == "text" else line.removesuffix("::")
        previous = line
    if code:
        yield "```"
