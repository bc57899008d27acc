"""Files of weights: the arrays that come back, and the files that are refused."""

import json
import sys
import warnings
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from smoothjax import weights

_NAMES = {"bool": "BOOL", "int8": "I8", "int64": "I64", "uint8": "U8", "float16": "F16", "bfloat16": "BF16"}
_NAMES |= {"float32": "F32", "float64": "F64"}
_MAGIC = bytes.fromhex("57fb808b247547db")


def _header(entries, length=None):
    header = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return (len(header) if length is None else length).to_bytes(8, "little") + header


def _safetensors(arrays):
    header: dict[str, dict[str, Any]] = {"__metadata__": {"format": "np"}}
    content = b""
    for name, array in arrays.items():
        start, content = len(content), content + array.tobytes()
        kind = _NAMES[str(array.dtype)]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [start, len(content)]}
    return _header(header) + content


def _import(name):
    """Imports a module of the extra `convert`, ignoring its own warnings; skips the test without it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name)


def _assert_same(actual, expected):
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        assert actual[name].dtype == array.dtype
        np.testing.assert_array_equal(actual[name], array)


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "kernel": rng.standard_normal((3, 3, 2, 4)).astype(np.float32),
        "a.scalar": np.asarray(3, np.int64),
        "empty": np.zeros((0, 4), np.uint8),
        "flags": np.array([True, False, True]),  # an odd number of bytes: what follows is not aligned
        "half": rng.standard_normal(5).astype(np.float16),
        "double": rng.standard_normal(2),
    }


def test_safetensors(tmp_path, arrays):
    arrays["brain"] = np.asarray([1.0, -2.5, 3e38], jnp.bfloat16)
    (path := tmp_path / "model.safetensors").write_bytes(_safetensors(arrays))
    _assert_same(weights.read(path), arrays)
    _assert_same(weights.read(str(path)), arrays)


def test_npz(tmp_path, arrays):
    np.savez(tmp_path / "model.npz", **arrays)
    np.savez_compressed(tmp_path / "compressed.NPZ.npz", **arrays)
    _assert_same(weights.read(tmp_path / "model.npz"), arrays)
    _assert_same(weights.read(tmp_path / "compressed.NPZ.npz"), arrays)


def test_published_safetensors(shared_data):
    tensors = weights.read(shared_data("gcanet/wacv_gcanet_dehaze.safetensors"))
    assert len(tensors) == 75
    assert tensors["res4.pre_conv1.weight"].shape == (1, 1, 7, 7)


def _entry(**changes):
    return {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        _header({}, length=10**15),
        _header(b"{"),
        _header(b"\xff\xff"),
        _header(b"[]"),
        _header({"x": 1}),
        _header(_entry(data_offsets=[0])),
        _header(_entry(dtype="F7")),
        _header(_entry(shape=[-2])) + bytes(8),
        _header(_entry(shape=[3])) + bytes(8),
        _header(_entry(shape=[2**62])) + bytes(8),
        _header(_entry()) + bytes(7),
        _header(_entry(data_offsets=[4, 12])) + bytes(12),  # a hole
        _header(_entry() | {"y": _entry()["x"]}) + bytes(8),  # both at one place
        _header(_entry()) + bytes(9),  # a rest
        _header(b'{"x": ' + 100_000 * b"["),
    ],
)
def test_damaged_safetensors(tmp_path, content):
    (path := tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"model.safetensors cannot be read: .+; the file is damaged, get it again"):
        weights.read(path)


def test_the_small_floats_of_safetensors(tmp_path):
    kinds = {"F8_E4M3": jnp.float8_e4m3fn, "F8_E5M2": jnp.float8_e5m2}
    expected = {kind: np.asarray([0.5, -2.0], dtype) for kind, dtype in kinds.items()}
    header, content = {}, b""
    for kind, array in expected.items():
        start, content = len(content), content + array.tobytes()
        header[kind] = {"dtype": kind, "shape": [2], "data_offsets": [start, len(content)]}
    (path := tmp_path / "model.safetensors").write_bytes(_header(header) + content)
    _assert_same(weights.read(path), expected)


@pytest.mark.parametrize("suffix", ["safetensors", "npz"])
def test_nan_is_named(tmp_path, suffix):
    """Weights of a diverged training would be loaded silently, and every output would be NaN."""
    arrays = {"good": np.ones(2, np.float32), "bad": np.asarray([1, np.nan], np.float32), "count": np.asarray(3)}
    path = tmp_path / f"model.{suffix}"
    path.write_bytes(_safetensors(arrays)) if suffix == "safetensors" else np.savez(path, **arrays)
    with pytest.warns(UserWarning, match=r"1 of 3 arrays hold NaN \(bad\): was its training sound\?"):
        _assert_same(weights.read(path), arrays)


def test_a_prefix_of_all_names_is_taken_off_and_reported(tmp_path):
    arrays = {name: np.ones(1, np.float32) for name in ("module.encoder.a", "module.encoder.b.c")}
    (path := tmp_path / "model.safetensors").write_bytes(_safetensors(arrays))
    said: list[str] = []
    assert list(weights.read(path, report=said.append)) == ["a", "b.c"]
    assert said == [f"{path}: all 2 names begin with 'module.encoder.', which is taken off"]
    (path := tmp_path / "other.safetensors").write_bytes(_safetensors(arrays | {"head": np.ones(1, np.float32)}))
    assert weights.read(path, report=said.append).keys() == {*arrays, "head"}
    assert len(said) == 1


def test_damaged_npz(tmp_path, arrays):
    np.savez(path := tmp_path / "model.npz", **arrays)
    content = path.read_bytes()
    flipped = content.replace(arrays["kernel"].tobytes()[:8], bytes(8))
    for damaged in (content[:300], content[:-1], content[30:], b"", b"text", b"\x93NUMPY", flipped):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"model.npz cannot be read: .+; the file is damaged, get it again"):
            weights.read(path)


def test_npz_of_objects_is_not_unpickled(tmp_path):
    np.savez(path := tmp_path / "model.npz", x=np.array([{}], object))
    with pytest.raises(ValueError, match="array 'x' holds objects, which may run code"):
        weights.read(path)


def test_no_such_file(tmp_path):
    for name in ("model.safetensors", "model.ckpt-7", "model.ckpt-7.data-00000-of-00001"):
        with pytest.raises(FileNotFoundError, match=rf"{name} does not exist: check the path"):
            weights.read(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="is a folder: name the file in it"):
        weights.read(tmp_path)


def test_unknown_kinds(tmp_path):
    (path := tmp_path / "model.h5").write_bytes(b"something")
    with pytest.raises(
        ValueError, match=r"of an unknown kind: known are .safetensors, .npz, .pth, .pt, .th, .bin, Light"
    ):
        weights.read(path)
    for name in ("model.ckpt", "model.ckpt-7.data-00000-of-00001"):
        (path := tmp_path / name).write_bytes(b"something")
        with pytest.raises(
            ValueError, match=r"not a complete TensorFlow checkpoint, nor one of Lightning: it is damaged, or"
        ):
            weights.read(path)


@pytest.mark.parametrize(
    ("names", "read"),
    [
        (["model.ckpt-7.index"], "model.ckpt-7"),
        (["model.ckpt-7.index", "model.ckpt-7.data-00000-of-00001"], "model.ckpt-7.data-00000-of-00001"),
        (["model.ckpt-7.index"], "model.ckpt-7.index"),
        (["version1.ckpt"], "version1.ckpt"),
    ],
)
def test_the_extra_is_named(tmp_path, monkeypatch, names, read):
    for name in names:
        (tmp_path / name).write_bytes(b"something" + _MAGIC)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ImportError, match=r'is read by tensorflow, which is not .*pip install -e "\.\[convert\]"'):
        weights.read(tmp_path / read)


# --- with the extra ---


@pytest.mark.parametrize("version", [1, 2])
def test_tensorflow(tmp_path, version):
    tf = _import("tensorflow").compat.v1
    expected = {"a/weights": np.arange(6, dtype=np.float32).reshape(2, 3), "step": np.asarray(7, np.int64)}
    with warnings.catch_warnings(), tf.Graph().as_default(), tf.Session() as session:
        warnings.simplefilter("ignore")
        variables = [tf.Variable(value, name=name, use_resource=False) for name, value in expected.items()]
        session.run(tf.global_variables_initializer())
        saver = tf.train.Saver(variables, write_version=version)
        prefix = saver.save(session, str(tmp_path / "model.ckpt"), global_step=7)
    assert prefix.endswith("model.ckpt-7")
    for end in (["", ".meta"], ["", ".index", ".data-00000-of-00001", ".meta"])[version - 1]:
        _assert_same(weights.read(prefix + end), expected)
    first = tmp_path / ("model.ckpt-7" if version == 1 else "model.ckpt-7.index")
    first.write_bytes(first.read_bytes()[-48:])  # only its end, which marks a checkpoint
    with pytest.raises(ValueError, match=r"cannot be read: TensorFlow says: .*; it is damaged, get it again"):
        weights.read(prefix)
