"""Writes all pages of the documentation into docs/_pages: `python -m docs`, before `mkdocs build -f docs/mkdocs.yml`.

Pages come from docs/pages, from documents elsewhere in the repository, and from the source of the package. Links
between them are made to fit, pictures are copied and lead to their full size, formulas become MathML, and public names
in backticks lead to their entries.
"""

import html
import re
import shutil
import sys
from pathlib import Path, PurePosixPath
from posixpath import relpath

from . import address, api, maths

REPOSITORY = Path(__file__).resolve().parents[1]
_SOURCE, _OUT = REPOSITORY / "docs" / "pages", REPOSITORY / "docs" / "_pages"
#: Documents elsewhere that are also pages.
_ELSEWHERE = {
    "experiments/RESULTS.md": "results.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
#: Pages of wide tables and pictures, whose part of the navigation names only themselves.
_WIDE = {"gallery.md", "results.md", "costs.md"}
_FOLDED = re.compile(r"^<details.*?^</details>", re.MULTILINE | re.DOTALL)
_OPTION = re.compile(r"(?<![\w.-])--?[a-z][\w.-]*")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s]+)\)")
_PICTURES = (".png", ".jpg", ".svg", ".gif")


def assemble(out: Path = _OUT) -> None:
    """Writes every page and what it shows into a folder of its own."""
    pages = {path: path.relative_to(_SOURCE).as_posix() for path in sorted(_SOURCE.rglob("*.md"))}
    pages |= {REPOSITORY / source: place for source, place in _ELSEWHERE.items()}
    shutil.rmtree(out, ignore_errors=True)
    for path in sorted(_SOURCE.rglob("*")):
        if path.is_file() and path.suffix != ".md":
            _copy(path, out / path.relative_to(_SOURCE))
    public = api.names()
    for path, place in pages.items():
        text = _whole_options(_without_folded_headings(_links(path, place, pages, out)))
        head = "---\nhide: [navigation]\n---\n" if place in _WIDE else ""
        _write(out / place, head + maths.render(api.link(text, place, public)))
    for package in public:
        text = api.page(package, address.source_address)
        _write(out / f"api/{package}.md", maths.render(api.link(text, f"api/{package}.md", public, package)))


def _links(path: Path, place: str, pages: dict[Path, str], out: Path) -> str:
    """The text of a page whose relative links hold at its new place.

    Pictures from outside docs/pages are copied, and each leads to itself, since on a phone its words are too small to
    read; other files are linked to the repository on the web if that is published, and named otherwise.
    """
    folder = str(PurePosixPath(place).parent)

    def replace(match: re.Match[str]) -> str:
        image, label, (target, mark, anchor) = match[1], match[2], match[3].partition("#")
        if "://" in target or not target:
            return match[0]
        file = (path.parent / target).resolve()
        if not file.exists():
            raise FileNotFoundError(f"{path.relative_to(REPOSITORY)} links to {target}, which does not exist")
        if file in pages:
            return f"{image}[{label}]({relpath(pages[file], folder)}{mark}{anchor})"
        if file.suffix in _PICTURES:
            within = file.relative_to(_SOURCE if file.is_relative_to(_SOURCE) else REPOSITORY).as_posix()
            _copy(file, out / within)
            picture = relpath(within, folder)
            return f"[![{label}]({picture})]({picture})" if image else f"[{label}]({picture})"
        where = address.source_address(file.relative_to(REPOSITORY).as_posix())
        return f"[{label}]({where})" if where else label

    return "".join(
        part if index % 2 else _LINK.sub(replace, part)
        for index, part in enumerate(re.split(r"(^ *```.*?^ *```$)", path.read_text(), flags=re.MULTILINE | re.DOTALL))
    )


def _without_folded_headings(text: str) -> str:
    """Headings inside of folded blocks as bold lines: those of the results would fill the table of contents."""
    return _FOLDED.sub(lambda block: _HEADING.sub(r"**\1**", block[0]), text)


def _whole_options(text: str) -> str:
    """Options in a line of text as HTML, which keeps a browser from breaking the line behind their hyphens."""

    def replace(match: re.Match[str]) -> str:
        code = " ".join(match[0].strip("`").split("\n"))
        if "```" in match[0] or not _OPTION.search(code):
            return match[0]
        code = _OPTION.sub(r'<span class="option">\g<0></span>', html.escape(code, quote=False))
        for sign in "*_[]$":  # which Markdown or the formulas would read
            code = code.replace(sign, f"&#{ord(sign)};")
        return f"<code>{code}</code>"

    return api.CODE.sub(replace, text)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


if __name__ == "__main__":
    assemble(Path(sys.argv[1]) if len(sys.argv) > 1 else _OUT)
