"""Gives the wheel a README that can be read apart from the repository; hatchling runs it, see pyproject.toml.

Links and pictures of README.md are files of the repository. Once that is published they become addresses; before, links
become their words, and pictures are left out.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_PICTURE = re.compile(r"^!\[[^\]\n]*\]\((?!https?://)[^)\s]+\)\n\n?", re.MULTILINE)
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://)([^)\s]+)\)")
_NOTE = """
> This is the package `smoothjax`. The studies, `python -m experiments...`, and the notebooks stay folders of its
> repository: clone that to run them.
"""


def wheel_readme(text: str, base: str | None) -> str:
    """README.md with `base`, the address of the published repository, in front of relative links."""
    title, rest = text.split("\n", 1)
    text = f"{title}\n{_NOTE}{rest}"
    if base is None:
        return _LINK.sub(lambda match: match[0] if match[3].startswith("#") else match[2], _PICTURE.sub("", text))

    def absolute(match: re.Match[str]) -> str:
        if match[3].startswith("#"):
            return match[0]
        return f"{match[1]}[{match[2]}]({base}/{'raw' if match[1] else 'blob'}/main/{match[3]})"

    return _LINK.sub(absolute, text)


class WheelReadme(MetadataHookInterface):
    """A hook of hatchling: fills in the field `readme`, which is dynamic."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Called with the project's metadata."""
        root = Path(self.root)
        published = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["smoothjax"]["published"]
        base = metadata["urls"]["Repository"] if published else None
        text = wheel_readme((root / "README.md").read_text(), base)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
