"""Checks a built site: `python -m docs.check docs/site`. Prints what is wrong, and exits with 1.

Every link leads to a page and a place on it, every picture exists and has a description, nothing is loaded from
elsewhere, each page declares its width for phones, and no text shows the signs of Markdown or TeX.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

_LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src"}
#: Links of these kinds are fetched with the page; others, such as `canonical`, are not.
_FETCHED = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch", "modulepreload", "manifest"}
_STYLE_LOAD = re.compile(r"""(?:@import\s+(?:url\()?|url\()\s*['"]?((?:https?:)?//[^'")\s]+)""")
#: Elements whose text is no prose.
_VERBATIM = {"code", "pre", "script", "style", "math"}
#: Bold text, an attribute, a link, code or a formula that was not recognised.
_SIGNS = re.compile(r"\*\*|\{:? *#|\]\(|\]\[|`|\$[^$]{1,60}\$")


class _Page(HTMLParser):
    """The references of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.without_text: list[str] = []
        self.viewport = False
        self.signs: list[str] = []
        self._verbatim = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called for every element."""
        attributes = {key: value or "" for key, value in attrs}
        self._verbatim += tag in _VERBATIM
        self.names |= {attributes[key] for key in ("id", "name") if key in attributes}
        self.loads += _STYLE_LOAD.findall(attributes.get("style", ""))
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])
        elif tag == "link" and _FETCHED & set(attributes.get("rel", "").split()):
            self.loads.append(attributes.get("href", ""))
        elif tag in _LOADED and _LOADED[tag] in attributes:
            self.loads.append(attributes[_LOADED[tag]])
            if tag == "img" and not attributes.get("alt"):
                self.without_text.append(attributes["src"])
        elif tag == "meta" and attributes.get("name") == "viewport":
            self.viewport = "width=device-width" in attributes.get("content", "")

    def handle_endtag(self, tag: str) -> None:
        """Called at the end of every element."""
        self._verbatim -= tag in _VERBATIM

    def handle_data(self, data: str) -> None:
        """Called for text."""
        if not self._verbatim and (found := _SIGNS.search(data)):
            self.signs.append(" ".join(data[max(0, found.start() - 20) : found.end() + 20].split()))


def problems(site: Path) -> list[str]:
    """One line for each fault of the pages below a folder."""
    site = site.resolve()
    pages = {path: _Page(path.read_text()) for path in sorted(site.rglob("*.html"))}
    found: list[str] = [] if pages else [f"{site} holds no page: build it with mkdocs build -f docs/mkdocs.yml"]
    for path, page in pages.items():
        name = path.relative_to(site)
        if not page.viewport:
            found.append(f"{name}: no viewport, so a phone shows it at the width of a desk")
        found += [f"{name}: the picture {source} has no text" for source in page.without_text]
        found += [f"{name}: shows signs of Markdown or TeX: {text}" for text in page.signs]
        for target in page.loads:
            if _elsewhere(target):
                found.append(f"{name}: loads {target} from elsewhere")
            elif not target.startswith("data:") and not _file(site, path, target).exists():
                found.append(f"{name}: loads {target}, which does not exist")
        for target in page.links:
            if _elsewhere(target) or target.startswith(("mailto:", "javascript:")):
                continue
            file, anchor = _file(site, path, target), unquote(target.partition("#")[2])
            if not file.exists():
                found.append(f"{name}: links to {target}, which does not exist")
            elif anchor and file in pages and anchor not in pages[file].names:
                found.append(f"{name}: links to {target}, a place that the page does not have")
    for path in sorted(site.rglob("*.css")):
        loads = _STYLE_LOAD.findall(path.read_text())
        found += [f"{path.relative_to(site)}: loads {target} from elsewhere" for target in loads]
    return found


def _elsewhere(target: str) -> bool:
    return target.startswith(("http://", "https://", "//"))


def _file(site: Path, page: Path, target: str) -> Path:
    """The file that a link means; a folder means its index."""
    place = unquote(re.split("[?#]", target)[0])
    if not place:
        return page
    file = (site / place.lstrip("/") if place.startswith("/") else page.parent / place).resolve()
    return file / "index.html" if file.is_dir() else file


if __name__ == "__main__":
    faults = problems(Path(sys.argv[1]))
    print(*faults or ["every link and picture is there, and nothing is loaded from elsewhere"], sep="\n")
    sys.exit(bool(faults))
