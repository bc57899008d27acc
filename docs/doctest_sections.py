"""Reads the section `Example:` of our docstrings as the section `Examples:` that Griffe knows: doctests as code."""

import re
from typing import Any

import griffe


class DoctestSections(griffe.Extension):
    """An extension of Griffe, see `mkdocs.yml`."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Called by Griffe for every object that it has read."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^(\s*)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)
