"""Everything in the README and the guides runs; the API reference omits nothing public."""

import ast
import importlib
import inspect
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import tyro

from docs import api, check, reference

ROOT = Path(__file__).resolve().parents[1]
STUDIES = ("segmentation", "pixel_dcn", "vae", "restoration", "sequence", "gridding")
README, STUDIES_PAGE = ROOT / "README.md", ROOT / "docs/pages/studies.md"
PAGES = [README, *sorted((ROOT / "docs" / "pages").glob("**/*.md"))]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def _blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


@each_page
def test_examples_run(page, capsys):
    """A page is read from top to bottom, so its examples share their names."""
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
    """The programs parse every module, command, preset and option; RUN, FOLDER and the like are only names."""
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
    """The batch of a preset may be odd: as in the paper, that of Cityscapes is 3."""
    page = (ROOT / "docs/pages/guides/devices.md").read_text()
    commands = re.findall(r"python -m experiments.*?(?:--distributed|--coordinator).*", page)
    assert commands
    for command in commands:
        assert [int(size) % 8 for size in re.findall(r"--batch-size (\d+)", command)] == [0], command


def test_every_figure_is_in_the_gallery():
    """A figure added to a study and left out there would be seen only by those who run it."""
    gallery = (ROOT / "docs/pages/gallery.md").read_text()
    sources = [*(ROOT / "experiments").rglob("*.py"), *(ROOT / "smoothjax/diagnose").rglob("*.py")]
    drawn = {name for path in sources for name in re.findall(r'"(\w+\.png)"', path.read_text())}
    assert len(drawn) >= 12
    assert drawn <= {*re.findall(r"\w+\.png", gallery)}


def test_every_program_has_its_line():
    seen = {module for module, _ in _commands(STUDIES_PAGE)}
    assert {f"experiments.{name}" for name in (*STUDIES, "timing", "erf", "tables")} <= seen


def test_presets_are_those_of_the_studies():
    for name in STUDIES:
        (row,) = [line for line in STUDIES_PAGE.read_text().splitlines() if line.startswith(f"| `{name}` |")]
        presets = re.findall(r"`([^`]+)`", row.split("|")[3])
        assert presets == list(importlib.import_module(f"experiments.{name}.__main__").PRESETS)


@each_page
def test_links_and_extras_exist(page):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (page.parent / target).exists(), target
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra in re.findall(r"\.\[(\w+)\]", text):
        assert extra in extras


@pytest.fixture(scope="module")
def assembled(tmp_path_factory):
    """All pages, as the site has them."""
    pytest.importorskip("latex2mathml", reason="formulas need it: pip install -e '.[docs]'")
    from docs.__main__ import assemble

    out = tmp_path_factory.mktemp("pages")
    assemble(out)
    return out


def test_every_package_has_its_page(assembled):
    """Nobody would find a public package without a page."""
    import smoothjax

    commands = {"command_line", "diagnose"}  # used from the shell: the guides describe them
    assert {*reference.PACKAGES, "names", *commands} == {*smoothjax._PACKAGES}  # their packages re-export the names
    assert {path.stem for path in (assembled / "api").iterdir()} == {*reference.PACKAGES}


def test_every_page_is_in_the_navigation(assembled):
    navigation = (ROOT / "docs" / "mkdocs.yml").read_text().split("\nnav:\n")[1].split("\nplugins:")[0]
    pages = {path.relative_to(assembled).as_posix() for path in assembled.rglob("*.md")}
    assert set(re.findall(r"[\w./]+\.md", navigation)) == pages


def test_pages_fit_a_phone(assembled):
    """Pictures open at full size, options stay whole, and folded tables are not in the table of contents."""
    home, guide, results = (
        (assembled / name).read_text() for name in ("index.md", "guides/smoothing.md", "results.md")
    )
    assert re.search(r"\[!\[[^]]+\]\((images/receptive_fields.png)\)\]\(\1\)", home)
    assert '<code><span class="option">--wide-vectors</span></code>' in guide
    folded = "".join(re.findall(r"^<details.*?^</details>", results, re.MULTILINE | re.DOTALL))
    assert "\n**segmentation on camvid" in folded
    assert "\n#" not in folded


@pytest.mark.parametrize("package", reference.PACKAGES)
def test_every_public_name_is_in_the_reference_and_documented(package, assembled):
    name = f"smoothjax.{package}"
    entries = [entry for group in reference.groups(package) for entry in group.entries]
    module = importlib.import_module(name)
    public = {key for key, value in vars(module).items() if not key.startswith("_") and not inspect.ismodule(value)}
    # Typing helpers that a lazy package needs are no part of it; lazy names show only when they are asked for.
    public -= {"TYPE_CHECKING", "Any"}
    page = (assembled / "api" / f"{package}.md").read_text()
    assert public <= {key for key in (entry.name for entry in entries) if f"{{ #{name}.{key} }}" in page}
    assert not [entry.name for entry in entries if not entry.docstring]
    for entry in entries:
        assert not re.search(r"\b_[A-Z]", entry.signature)  # neither private bases nor private constants
        value = getattr(module, entry.name)
        assert entry.kind == (
            "class" if inspect.isclass(value) else "function" if inspect.isfunction(value) else "value"
        )
        if inspect.isfunction(value):
            written = [argument.arg for argument in ast.walk(_parsed(entry.signature)) if isinstance(argument, ast.arg)]
            assert set(written) == set(inspect.signature(value).parameters)


def _parsed(signature):
    """A signature as Python parses it."""
    return ast.parse(f"def {signature}: ...")


def test_a_docstring_becomes_markdown():
    """Arguments over several lines, examples and formulas become Markdown."""
    (entry,) = [
        entry for group in reference.groups("ops") for entry in group.entries if entry.name == "ss_dilated_conv"
    ]
    lines = list(api._entry("ops", entry, None))
    assert "- `kernel`: `[*K, C_in, C_out]`, cast to x's dtype." in lines
    assert "- `ValueError`: rate or padding is invalid, shapes do not match, or no output is left." in lines
    assert lines[lines.index("```pycon") + 1] == ">>> import jax.numpy as jnp"
    assert lines.count("```") == 2


def test_names_in_backticks_lead_to_their_entries():
    public = {"ops": ["ss_conv", "reinterlace"], "analysis": ["dependence"]}
    text = "# `ops.ss_conv`\n`ss_conv` `ops.reinterlace` `dependence` `none`\n```sh\n`ss_conv`\n```\n"
    linked = api.link(text, "guides/page.md", public)
    assert linked.splitlines()[1] == (
        "[`ss_conv`](../api/ops.md#smoothjax.ops.ss_conv) [`ops.reinterlace`](../api/ops.md#smoothjax.ops.reinterlace)"
        " `dependence` `none`"
    )
    assert linked.count("](") == 2  # neither the heading nor the code
    entry = "### `f`\n\n- `ss_conv`: its filter.\n\nNeeds `ss_conv` and `ops.ss_conv`.\n\n### `g`\n\nAs `ss_conv`.\n"
    linked = api.link(entry, "api/ops.md", public, "ops")  # what is an argument of the first is a function elsewhere
    assert linked.splitlines()[2:5:2] == [
        "- `ss_conv`: its filter.",
        "Needs `ss_conv` and [`ops.ss_conv`](ops.md#smoothjax.ops.ss_conv).",
    ]
    assert linked.endswith("As [`ss_conv`](ops.md#smoothjax.ops.ss_conv).\n")
    reference = "[`a filter`][smoothjax.ops.ss_conv]"
    assert api.link(reference, "page.md", public) == "[`a filter`](api/ops.md#smoothjax.ops.ss_conv)"
    with pytest.raises(ValueError, match=r"page.md refers to smoothjax.ops.gone, which is not public"):
        api.link("[`gone`][smoothjax.ops.gone]", "page.md", public)


def test_formulas_need_no_script():
    pytest.importorskip("latex2mathml", reason="formulas need it: pip install -e '.[docs]'")
    from docs import maths

    rendered = maths.render("$w$ of `$S` costs $5 and\n\n$$F_1 * k$$\n\n```sh\necho $a $b\n```\n")
    assert rendered.startswith("<span><math><mrow><mi>w</mi></mrow></math></span> of `$S` costs $5 and\n")
    assert rendered.endswith("```sh\necho $a $b\n```\n")
    assert '<div class="formula"><math display="block">' in rendered
    assert "*" not in rendered
    broken = maths.render("a `rate\nof $x` and $k +\n1$ cost $5\n\nand $6")
    assert broken.startswith("a `rate\nof $x` and <span><math>")
    assert broken.endswith("</math></span> cost $5\n\nand $6")


def test_the_check_of_the_site_finds_what_is_wrong(tmp_path):
    page = '<meta name="viewport" content="width=device-width">'
    (tmp_path / "here.html").write_text(f'{page}<p id="place"><a href="https://elsewhere.org">a link loads nothing</a>')
    assert check.problems(tmp_path) == []
    (tmp_path / "site.css").write_text("@import url(https://fonts.org/a.css); p { background: url(data:image/png) }")
    (tmp_path / "page.html").write_text(
        '<a href="gone.html"></a><a href="here.html#place"></a><a href="here.html#gone"></a><img src="gone.png">'
        '<script src="https://cdn.org/a.js"></script><link rel="stylesheet" href="//cdn.org/a.css">'
        "<h4><code>f.__call__</code> { #f.<strong>call</strong> }</h4><p>a size of $k +\n1$</p><pre>**options</pre>"
        "<p>the rate $r$ <b>x</b></p>"
    )
    assert check.problems(tmp_path) == [
        "page.html: no viewport, so a phone shows it at the width of a desk",
        "page.html: the picture gone.png has no text",
        "page.html: shows signs of Markdown or TeX: { #f.",
        "page.html: shows signs of Markdown or TeX: a size of $k + 1$",
        "page.html: shows signs of Markdown or TeX: the rate $r$",
        "page.html: loads gone.png, which does not exist",
        "page.html: loads https://cdn.org/a.js from elsewhere",
        "page.html: loads //cdn.org/a.css from elsewhere",
        "page.html: links to gone.html, which does not exist",
        "page.html: links to here.html#gone, a place that the page does not have",
        "site.css: loads https://fonts.org/a.css from elsewhere",
    ]
    assert check.problems(tmp_path / "empty") != []
