"""JSON, YAML and arrays from anywhere: limits, and errors of one sentence that name the file."""

import time
import zipfile

import numpy as np
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
        ("a: &a [*a]", "an alias .* stands for a value that contains it"),
        ("!!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("a: 2020-99-99", "month must be in 1..12"),
        ("a: 1\na: 2", "'a' appears twice"),
        ("a: [1", "line 1: cannot be read as YAML"),
        ("? [a]\n: b", "unhashable"),
        ("x" * (2**20 + 1), "more than 1,048,576 bytes"),
    ],
)
def test_hostile_yaml_is_refused_at_once(text, message):
    """Growing aliases hang, nesting overflows the stack, tags would run code."""
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
        (b"\xff\xfe", "not text in UTF-8"),
    ],
)
def test_hostile_json_is_refused(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        files.parse_json(text, "given.json")
    assert str(caught.value).startswith("given.json")


def test_brackets_in_text_are_not_depth():
    text = '["' + "[" * 1000 + '\\"{", ' + "[],{}," * 100 + "1]"
    assert files.parse_json(text, "a.json")


def _npz(path, header, content=b"12345678"):
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", array)
    return path


def test_arrays(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(3), empty=np.zeros((0, 3)), scalar=np.float32(2), order=np.ones((2, 3)).T)
    found = files.read_npz(tmp_path / "a.npz")
    assert {name: array.shape for name, array in found.items()} == {
        "x": (3,),
        "empty": (0, 3),
        "scalar": (),
        "order": (3, 2),
    }
    assert found["x"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"{'descr': '<f8', 'fortran_order': False, 'shape': (100000000000,)}\n", r"states the shape .* and has 8"),
        (b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}\n", "holds objects, which may run code"),
        (b"{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1)}\n", "states the shape"),
        (b"{'descr': '<f8'}\n", "cannot be read as an archive of arrays"),
        (b"(" * 5000, "cannot be read as an archive of arrays"),
    ],
)
def test_arrays_that_claim_too_much(tmp_path, header, message):
    """Otherwise memory for 10^11 numbers would be allocated before one is read."""
    with pytest.raises(ValueError, match=message) as caught:
        files.read_npz(_npz(tmp_path / "a.npz", header))
    assert str(caught.value).startswith(str(tmp_path / "a.npz"))


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04"])
def test_what_is_no_archive_of_arrays(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npz: cannot be read as an archive of arrays"):
        files.read_npz(tmp_path / "a.npz")
    with pytest.raises(FileNotFoundError, match=r"b\.npz: no such file"):
        files.read_npz(tmp_path / "b.npz")


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.json: no such file"):
        files.read_json(tmp_path / "none.json")
    with pytest.raises(ValueError, match="expected a file, found another kind of entry"):
        files.read_json(tmp_path)
    (tmp_path / "large.json").write_text(" " * 101)
    with pytest.raises(ValueError, match=r"large\.json: holds more than 100 bytes"):
        files.read_json(tmp_path / "large.json", max_bytes=100)
