"""Facts in pyproject.toml that other files repeat."""

import importlib
import json
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from docs import address

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_the_address_is_repeated_as_it_is():
    """A moved project would leave notebooks, badges and its citation behind: run `python -m docs.address`."""
    for path, text in address.files().items():
        assert path.read_text() == text, path.name
    for path in sorted((ROOT / "colab").glob("*.ipynb")):
        first = "".join(json.loads(path.read_text())["cells"][0]["source"])
        assert re.findall(r'^REPOSITORY = "(.*?)"', first, re.MULTILINE) == [address.address()]


def test_badges_wait_for_the_address():
    """A badge without an address is a broken picture."""
    assert address.published() in (None, PROJECT["urls"]["Repository"])
    text = "# title\n<!-- badges -->\nold\n<!-- /badges -->\ntext\n"
    assert address.readme(text, None) == "# title\n<!-- badges -->\n<!-- /badges -->\ntext\n"
    assert "(https://github.com/a/b/actions/workflows/ci.yml)\n<!--" in address.readme(text, "https://github.com/a/b")
    cells = [
        {"cell_type": "code", "source": ['REPOSITORY = "old"  # the address\n', "import os"]},
        {"cell_type": "markdown", "source": ["# title\n", "text"]},
        {"cell_type": "markdown", "source": ["more"]},
    ]
    plain = json.dumps({"cells": cells}, indent=1) + "\n"
    filled = address.notebook(plain, "colab/01.ipynb", "https://github.com/a/b", "https://github.com/a/b")
    code, title, more = ("".join(cell["source"]) for cell in json.loads(filled)["cells"])
    assert code == 'REPOSITORY = "https://github.com/a/b"  # the address\nimport os'
    assert "https://colab.research.google.com/github/a/b/blob/main/colab/01.ipynb)\n\n# title\ntext" in title
    assert more == "more"
    assert address.notebook(filled, "colab/01.ipynb", "old", None) == plain


@pytest.fixture
def wheel_readme(monkeypatch):
    """The function that writes the README of the wheel; hatchling exists only while a wheel is built."""
    interface = ModuleType("hatchling.metadata.plugin.interface")
    vars(interface)["MetadataHookInterface"] = object
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    monkeypatch.delitem(sys.modules, "docs.wheel_readme", raising=False)
    return importlib.import_module("docs.wheel_readme").wheel_readme


@pytest.mark.parametrize("base", [None, "https://github.com/a/b"])
def test_the_readme_of_the_wheel_stands_by_itself(wheel_readme, base):
    """A package index does not have the files of the repository."""
    readme = (ROOT / "README.md").read_text()
    text = wheel_readme(readme, base)
    assert "stay folders of its\n> repository" in text
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert target == "#citing" or target.startswith(f"{base}/"), target
    assert ("![" in text) == (base is not None)
    for file in re.findall(r"/(?:raw|blob)/main/([^)#]+)", text):
        assert (ROOT / file).exists()
    unlinked = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
    assert unlinked.sub(r"\1", readme).split()[-40:] == unlinked.sub(r"\1", text).split()[-40:]


def test_the_citation_is_of_this_version():
    assert CITATION["version"] == PROJECT["version"]
    assert CITATION["repository-code"] == PROJECT["urls"]["Repository"]
    assert CITATION["license"] == PROJECT["license"]


def test_the_changelog_begins_with_this_version():
    """And its first paragraph is the text of the tag, see CONTRIBUTING.md."""
    title, version, tag, *groups = (ROOT / "CHANGELOG.md").read_text().split("\n\n")
    assert (title, version) == ("# Changelog", f"## {PROJECT['version']}")
    assert not tag.startswith(("#", "-"))
    assert groups[0].startswith("### ")


def test_the_papers_cited_are_those_of_the_readme():
    readme = " ".join((ROOT / "README.md").read_text().split("## Citing")[1].split())
    for paper in CITATION["references"]:
        assert f"*{paper['title']}.*" in readme
        for author in paper["authors"]:
            assert f"{author['given-names']} {author['family-names']}" in readme


def test_every_python_is_tested_and_named():
    """A Python that the classifiers promise and the workflow leaves out would go untested."""
    prefix = "Programming Language :: Python :: "
    pythons = [entry.removeprefix(prefix) for entry in PROJECT["classifiers"] if entry.startswith(prefix)]
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert workflow["jobs"]["run"]["strategy"]["matrix"]["python"] == pythons
    assert PROJECT["requires-python"] == f">={pythons[0]}"
    assert f"Python {pythons[0]} to {pythons[-1]}" in (ROOT / "README.md").read_text()
    both_ends = (ROOT / ".ci/versions").read_text()
    assert re.findall(r"python=([\d.]+)", both_ends) == [pythons[0], pythons[-1]]
