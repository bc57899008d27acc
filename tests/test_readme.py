"""The README promises nothing that does not run."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from experiments.segmentation.presets import PRESETS

TEXT = (Path(__file__).resolve().parents[1] / "README.md").read_text()


def _blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("code", _blocks("python"))
def test_examples_run(code, capsys):
    exec(compile(code, "README.md", "exec"), {})
    promised = re.findall(r"print\(.*?\)  # (.*)", code)
    assert capsys.readouterr().out.splitlines() == promised


def test_the_two_commands_are_there():
    assert "pip install -e . && python -m experiments.segmentation " in TEXT
    assert 'pip install -e ".[test]" && pytest ' in TEXT


def test_commands_name_what_exists():
    commands = [shlex.split(line, comments=True) for block in _blocks("sh") for line in block.splitlines()]
    studies = [words[words.index("experiments.segmentation") + 1 :] for words in commands if "-m" in words]
    assert len(studies) > 4
    for words in studies:
        assert not words or words[0] in ("--help", "compare", "train", "evaluate", "predict")
        assert words[:1] not in (["compare"], ["train"]) or words[1] in PRESETS


def test_links_and_extras_exist(repository):
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (repository / target).exists(), target
    extras = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra in re.findall(r"\.\[(\w+)\]", TEXT):
        assert extra in extras
