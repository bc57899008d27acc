"""What pyproject.toml says once, and other files repeat."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())


@pytest.mark.parametrize("notebook", sorted((ROOT / "colab").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_clone_the_project(notebook):
    """A project that has moved would leave its notebooks behind."""
    first = "".join(json.loads(notebook.read_text())["cells"][0]["source"])
    assert re.findall(r'^REPOSITORY = "(.*?)"', first, re.MULTILINE) == [PROJECT["urls"]["Repository"]]


def test_the_citation_is_of_this_version():
    assert CITATION["version"] == PROJECT["version"]
    assert CITATION["repository-code"] == PROJECT["urls"]["Repository"]
    assert CITATION["license"] == PROJECT["license"]


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
