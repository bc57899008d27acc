"""The README and the guides promise nothing that does not run; the API reference leaves out nothing public."""

import ast
import importlib
import importlib.util
import inspect
import itertools
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import tyro

ROOT = Path(__file__).resolve().parents[1]
STUDIES = ("segmentation", "pixel_dcn", "vae", "restoration", "sequence", "gridding")
PACKAGES = ("ops", "nn", "models", "weights", "data", "datasets", "training", "metrics", "analysis")
README, STUDIES_PAGE = ROOT / "README.md", ROOT / "docs/pages/studies.md"
PAGES = [README, *sorted((ROOT / "docs" / "pages").glob("**/*.md"))]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def _blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


@each_page
def test_examples_run(page, capsys):
    """A page is read from top to bottom: its examples share their names."""
    names = {}
    if page.stem == "equinox":
        pytest.importorskip("equinox", reason="the examples of this guide need it: pip install -e '.[test]'")
    for code in _blocks(page, "python"):
        exec(compile(code, page.name, "exec"), names)
        promised = re.findall(r"^\s*print\(.*\)  # (.*)", code, re.MULTILINE)
        printed = capsys.readouterr().out.splitlines()
        assert printed == promised or not promised


def test_the_two_commands_are_there():
    assert "pip install -e . && python -m experiments.segmentation " in README.read_text()
    assert 'pip install -e ".[test]" && pytest ' in README.read_text()


def _commands(page):
    """Module and arguments of every command."""
    lines = [shlex.split(line, comments=True) for block in _blocks(page, "sh") for line in block.splitlines()]
    return [(words[words.index("-m") + 1], words[words.index("-m") + 2 :]) for words in lines if "-m" in words]


class _ParsedError(Exception):
    """Raised where a command line has been read, and work would begin."""


@pytest.fixture
def only_read(monkeypatch):
    read = tyro.cli

    def reads(*arguments, **options):
        read(*arguments, **options)
        raise _ParsedError

    monkeypatch.setattr(tyro, "cli", reads)


@each_page
@pytest.mark.usefixtures("only_read")
def test_commands_are_understood(page, capsys):
    """Every module, command, preset and option, read by the program itself; RUN, FOLDER and the like are only names."""
    for module, words in _commands(page):
        program = importlib.import_module(module)
        if hasattr(program, "__path__"):
            program = importlib.import_module(f"{module}.__main__")
        if "--help" in words:
            assert program.main(words) == 0
            assert "examples:" in capsys.readouterr().out
        elif module == "experiments":
            assert program.main(words) == 0
        else:
            with pytest.raises(_ParsedError):
                program.main(words)


def test_commands_of_many_devices_share_the_batch():
    """The batch of a preset may be odd: that of Cityscapes is 3, as in the paper."""
    page = (ROOT / "docs/pages/guides/devices.md").read_text()
    commands = re.findall(r"python -m experiments.*?(?:--distributed|--coordinator).*", page)
    assert commands
    for command in commands:
        assert [int(size) % 8 for size in re.findall(r"--batch-size (\d+)", command)] == [0], command


def test_every_program_has_its_line():
    seen = {module for module, _ in _commands(STUDIES_PAGE)}
    assert {f"experiments.{name}" for name in (*STUDIES, "timing", "erf", "tables")} <= seen


def test_presets_are_those_of_the_studies():
    for name in STUDIES:
        (row,) = [line for line in STUDIES_PAGE.read_text().splitlines() if line.startswith(f"| `{name}` |")]
        presets = re.findall(r"`([^`]+)`", row.split("|")[3])
        assert presets == list(importlib.import_module(f"experiments.{name}.config").PRESETS)


@each_page
def test_links_and_extras_exist(page):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (page.parent / target).exists(), target
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra in re.findall(r"\.\[(\w+)\]", text):
        assert extra in extras


def _hooks():
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_in_the_reference_and_documented(package):
    name = f"smoothjax.{package}"
    listed = re.findall(r"^::: smoothjax\.\w+\.(\w+)$", "\n".join(_hooks().api_lines(name)), re.MULTILINE)
    module = importlib.import_module(name)
    public = {key for key, value in vars(module).items() if not key.startswith("_") and not inspect.ismodule(value)}
    # Typing helpers that a lazy package needs are no part of it; lazy names show only when they are asked for.
    public -= {"TYPE_CHECKING", "Any"}
    assert public <= set(listed)
    assert f"[[api {name}]]" in (ROOT / "docs" / "pages" / "api" / f"{package}.md").read_text()
    undocumented = [key for key in listed if not _documented(name, getattr(module, key), key)]
    assert not undocumented


def _documented(package, value, key):
    """Whether a function or class has a docstring of its own, a constant a string below it."""
    if inspect.isclass(value) or inspect.isfunction(value):
        return bool(value.__doc__) and not value.__doc__.startswith(f"{key}(")
    init = (ROOT.joinpath(*package.split(".")) / "__init__.py").read_text()
    file = re.search(rf"from \.(\.?)(\w+) import {key} as {key}\n", init)
    assert file
    folder = ROOT.joinpath(*package.split("."))
    body = ast.parse(((folder.parent if file[1] else folder) / f"{file[2]}.py").read_text()).body
    for statement, below in itertools.pairwise(body):
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == key for target in targets):
            return isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
    return False
