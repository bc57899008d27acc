"""JSON and YAML from anywhere: limits, and one sentence that names the file."""

import time

import pytest

from smoothjax import files


def test_reads_what_it_should(tmp_path):
    (tmp_path / "a.json").write_text('\ufeff{"a": [1, 2.5, null, "é]]["], "n": NaN}', encoding="utf-8")
    content = files.read_json(tmp_path / "a.json")
    assert isinstance(content, dict)
    assert content["a"] == [1, 2.5, None, "é]]["]
    assert content["n"] != content["n"]
    (tmp_path / "a.yaml").write_text("base: &b {x: 1}\nother: *b\n")
    assert files.read_yaml(tmp_path / "a.yaml") == {"base": {"x": 1}, "other": {"x": 1}}
    (tmp_path / "empty.yaml").write_text("")
    assert files.read_yaml(tmp_path / "empty.yaml") is None


def _aliases(levels):
    lines = ["a0: &a0 [l, l, l, l, l, l, l, l, l]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 65, "more than 64 deep"),
        ("[" * 100_000, "more than 64 deep"),
        ("a: " + "{a: " * 65 + "}" * 65, "more than 64 deep"),
        ("- " * 70 + "a", "more than 64 deep"),
        (_aliases(10), r"stands for [\d,]{9,} values"),
        ("a: &a [*a]", "an alias .* stands for a value that it lies in"),
        ("!!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("a: 2020-99-99", "month must be in 1..12"),
        ("a: 1\na: 2", "'a' appears twice"),
        ("a: [1", "line 1: cannot be read as YAML"),
        ("? [a]\n: b", "unhashable"),
        ("x" * (2**20 + 1), "more than 1,048,576 bytes"),
    ],
)
def test_hostile_yaml_is_refused_at_once(text, message):
    """Aliases that grow hang, nesting overflows the stack, tags would run code."""
    start = time.perf_counter()
    with pytest.raises(ValueError, match=message) as caught:
        files.parse_yaml(text, "given.yaml")
    assert str(caught.value).startswith("given.yaml")
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 65 + "]" * 65, "more than 64 deep"),
        ('{"a":' * 200_000, "more than 64 deep"),
        ('{"a": 1, "a": 2}', "'a' appears twice"),
        ("1" * 5000, "4300"),
        ("", "line 1: cannot be read as JSON"),
        ('{"a": 1,}', "cannot be read as JSON"),
        ('{"a": "', "cannot be read as JSON"),
        (b"\xff\xfe", "no text in UTF-8"),
    ],
)
def test_hostile_json_is_refused(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        files.parse_json(text, "given.json")
    assert str(caught.value).startswith("given.json")


def test_brackets_in_text_are_not_depth():
    text = '["' + "[" * 1000 + '\\"{", ' + "[],{}," * 100 + "1]"
    assert files.parse_json(text, "a.json")


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.json: no such file"):
        files.read_json(tmp_path / "none.json")
    with pytest.raises(ValueError, match="expected a file, found another kind of entry"):
        files.read_json(tmp_path)
    (tmp_path / "large.json").write_text(" " * 101)
    with pytest.raises(ValueError, match=r"large\.json: holds more than 100 bytes"):
        files.read_json(tmp_path / "large.json", max_bytes=100)
