"""The README promises nothing that does not run."""

import importlib
import importlib.util
import re
import shlex
import tomllib
from pathlib import Path

import pytest

STUDIES = ("segmentation", "pixel_dcn", "vae", "restoration")
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


def _commands():
    """Module and arguments of every command."""
    lines = [shlex.split(line, comments=True) for block in _blocks("sh") for line in block.splitlines()]
    return [(words[words.index("-m") + 1], words[words.index("-m") + 2 :]) for words in lines if "-m" in words]


def test_commands_name_what_exists():
    studies = {
        f"experiments.{name}": importlib.import_module(f"experiments.{name}.__main__").PROGRAM for name in STUDIES
    }
    seen = set()
    for module, words in _commands():
        seen.add(module)
        if module in studies:
            commands = {"--help", "train", "compare", *studies[module].commands}
            assert not words or words[0] in commands, words
            assert words[:1] not in (["compare"], ["train"]) or words[1] in studies[module].presets, words
        else:
            assert importlib.util.find_spec(f"{module}.__main__")
    assert {*studies, "experiments.timing", "smoothjax.data"} <= seen


def test_presets_are_those_of_the_studies():
    for name in STUDIES:
        (row,) = [line for line in TEXT.splitlines() if line.startswith(f"| `{name}` |")]
        presets = re.findall(r"`([^`]+)`", row.split("|")[3])
        assert presets == list(importlib.import_module(f"experiments.{name}.presets").PRESETS)


def test_links_and_extras_exist(repository):
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (repository / target).exists(), target
    extras = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra in re.findall(r"\.\[(\w+)\]", TEXT):
        assert extra in extras
