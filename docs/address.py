"""The address of the repository: said once, in pyproject.toml, and written from there wherever it is repeated.

`python -m docs.address` writes it into README.md, CITATION.cff and the notebooks; a test compares them.
"""

import json
import re
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
_BADGES = re.compile(r"<!-- badges -->\n.*?<!-- /badges -->\n", re.DOTALL)
_NOTEBOOK_ADDRESS = re.compile(r'^REPOSITORY = ".*?"', re.MULTILINE)
_NOTEBOOK_BADGE = re.compile(r"\A\[!\[Open in Colab\].*\n\n")


def address() -> str:
    """The address in `[project.urls]`, whether anything is there yet or not."""
    return _pyproject()["project"]["urls"]["Repository"]


def published() -> str | None:
    """The address if `[tool.smoothjax] published` is true; None before publication."""
    return address() if _pyproject()["tool"]["smoothjax"]["published"] else None


def source_address(file: str, line: int | None = None) -> str | None:
    """The web address of a file of the repository; None before publication."""
    base = published()
    return base and f"{base}/blob/main/{file}" + (f"#L{line}" if line else "")


def badges(base: str | None) -> str:
    """The badge of continuous integration in Markdown, between the README's marks; empty without an address."""
    workflow = f"{base}/actions/workflows/ci.yml"
    badge = f"[![Tests]({workflow}/badge.svg)]({workflow})\n" if base else ""
    return f"<!-- badges -->\n{badge}<!-- /badges -->\n"


def colab_badge(notebook: str, base: str | None) -> str:
    """The badge above a notebook's title that opens it in Colab; empty without an address on GitHub."""
    if base is None or not base.startswith("https://github.com/"):
        return ""
    place = f"https://colab.research.google.com/github/{base.removeprefix('https://github.com/')}/blob/main/{notebook}"
    return f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({place})\n\n"


def readme(text: str, base: str | None) -> str:
    """The README with these badges."""
    return _BADGES.sub(lambda _: badges(base), text)


def notebook(text: str, name: str, repository: str, base: str | None) -> str:
    """A notebook's JSON whose first cell clones `repository`, and whose first text begins with the badge."""
    content = json.loads(text)
    for cell in content["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            changed = _NOTEBOOK_ADDRESS.sub(f'REPOSITORY = "{repository}"', source)
        else:
            changed = source
            if cell is next(cell for cell in content["cells"] if cell["cell_type"] == "markdown"):
                changed = colab_badge(name, base) + _NOTEBOOK_BADGE.sub("", source)
        if changed != source:
            cell["source"] = changed.splitlines(keepends=True)
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def files() -> dict[Path, str]:
    """Every file that repeats the address, as it should be."""
    texts = {REPOSITORY / "README.md": readme((REPOSITORY / "README.md").read_text(), published())}
    citation = REPOSITORY / "CITATION.cff"
    line = f"repository-code: {address()}"
    texts[citation] = re.sub(r"^repository-code: .*$", line, citation.read_text(), flags=re.MULTILINE)
    for path in sorted((REPOSITORY / "colab").glob("*.ipynb")):
        texts[path] = notebook(path.read_text(), f"colab/{path.name}", address(), published())
    return texts


def _pyproject() -> dict:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text())


if __name__ == "__main__":
    for path, text in files().items():
        if path.read_text() != text:
            path.write_text(text)
            print(f"{path.relative_to(REPOSITORY)}: written")
