"""Files of PyTorch, read without it: the values that come back, and no code of theirs runs."""

import collections
import pickle
import warnings
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest

from smoothjax import weights
from tests.weights.torch_files import Global, Named, Storage, save, tensor

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    dtypes = [
        "float64",
        "float32",
        "float16",
        "int64",
        "int32",
        "int16",
        "int8",
        "uint8",
        "bool",
        "complex64",
        jnp.bfloat16,
    ]
    return {np.dtype(dtype).name: (10 * rng.standard_normal((2, 3))).astype(dtype) for dtype in dtypes} | {
        "scalar": np.asarray(3.5, np.float32),
        "empty": np.zeros((0, 4), np.float32),
    }


def _assert_same(actual, expected):
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        assert actual[name].dtype == array.dtype
        np.testing.assert_array_equal(actual[name], array)


def _tensors(arrays):
    return {name: tensor(array) for name, array in arrays.items()}


@FORMATS
@pytest.mark.parametrize("suffix", ["pth", "pt", "th", "bin", "ckpt"])
def test_every_ending(suffix, zipped, tmp_path, arrays, monkeypatch):
    path = tmp_path / f"model.{suffix}"
    save(_tensors(arrays), path, zipped=zipped, monkeypatch=monkeypatch)
    _assert_same(weights.read(path), arrays)


@FORMATS
def test_training_checkpoints(zipped, tmp_path, arrays, monkeypatch):
    tensors = collections.OrderedDict(_tensors(arrays))
    other = {
        "epoch": 3,
        "optimizer": {"state": {0: {"momentum_buffer": tensor(np.ones(2))}}, "groups": [{"lr": 0.1}], "seen": {1, 2}},
        "names": collections.defaultdict(list, a=[1]),
        "size": Named("torch", "Size", (1, 2)),
        "device": Named("torch", "device", "cuda", 0),
        "type": Named("torch", "device", "cpu"),
        "hyper_parameters": Named("lightning.fabric.utilities.data", "AttributeDict"),
    }
    path = tmp_path / "model.pth"
    for content in (
        {"state_dict": tensors},
        {"model": tensors},
        {"model_state_dict": tensors},
        {"model": {"state_dict": tensors}},
    ):
        save(other | content, path, zipped=zipped, monkeypatch=monkeypatch)
        _assert_same(weights.read(path), arrays)


@FORMATS
def test_parts_of_a_storage(zipped, tmp_path, monkeypatch):
    """Tensors that share their values, transposed, repeated, or conjugated without being copied."""
    values = np.arange(24, dtype=np.float32)
    shared, rotated = Storage(values), Storage(np.asarray([1 + 2j, 3 - 1j], np.complex64))
    part = lambda offset, shape, strides: tensor(values, storage=shared, offset=offset, shape=shape, strides=strides)
    conjugated = tensor(rotated.values, storage=rotated)
    conjugated.arguments = (*conjugated.arguments, {"conj": True, "neg": True})
    content = {
        "transposed": part(0, (4, 6), (1, 4)),
        "strided": part(5, (3,), (6,)),
        "repeated": part(7, (2, 5), (1, 0)),
        "parameter": Named("torch._utils", "_rebuild_parameter", part(0, (2,), (1,)), True, collections.OrderedDict()),
        "subclass": Named(
            "torch._tensor",
            "_rebuild_from_type_v2",
            Global("torch._utils", "_rebuild_tensor_v2"),
            0,
            (shared, 1, (2,), (1,)),
            {},
        ),
        "conjugated": conjugated,
    }
    save(content, path := tmp_path / "model.pth", zipped=zipped, monkeypatch=monkeypatch)
    expected = {
        "transposed": values.reshape(6, 4).T,
        "strided": values[5::6][:3],
        "repeated": np.repeat(values[7:9, None], 5, 1),
        "parameter": values[:2],
        "subclass": values[1:3],
        "conjugated": -np.conj(rotated.values),
    }
    _assert_same(weights.read(path), expected)


@FORMATS
def test_floats_of_eight_bits(zipped, tmp_path, monkeypatch):
    values = np.asarray([0.5, -2.0], jnp.float8_e4m3fn)
    stored = Storage(values.view(np.uint8))
    dtype = Global("torch", "float8_e4m3fn")
    arguments = (stored, 0, (2,), (1,), False, collections.OrderedDict(), dtype)
    content = {"a": Named("torch._utils", "_rebuild_tensor_v3", *arguments)}
    save(content, path := tmp_path / "model.pth", zipped=zipped, monkeypatch=monkeypatch)
    _assert_same(weights.read(path), {"a": values})


@FORMATS
def test_nothing_in_a_file_is_run(zipped, tmp_path, monkeypatch):
    trace = tmp_path / "trace"
    good = {"a": tensor(np.ones(2, np.float32))}
    hostile = [
        Named("builtins", "open", str(trace), "w"),
        Named("os", "system", f"touch {trace}"),
        Named("builtins", "eval", f"open({str(trace)!r}, 'w')"),
        Named("builtins", "getattr", 1, "real"),
        Named("pathlib", "PosixPath", "a"),
    ]
    path = tmp_path / "model.pth"
    for bad in hostile:
        # Among the tensors, beside them, and as a name.
        for content in ({"a": bad}, {"state_dict": good, "other": [bad]}, {"state_dict": good, (bad,): 1}):
            if any(isinstance(key, tuple) for key in content) and bad.name in ("open", "getattr"):
                continue
            save(content, path, zipped=zipped, monkeypatch=monkeypatch)
            with pytest.raises(
                ValueError, match=r"model.pth cannot be read: it holds an object of .+weights_only=False\), and save"
            ):
                weights.read(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"cos\nsystem\n(S'touch trace'\ntR.", "an object of os.system"),
        (b"(S'touch trace'\nios\nsystem\n.", "an object of os.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0btouch trace\x85R.", "an object of os.system"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n}S'__code__'\nI1\nsb.", "cannot be followed"),  # a function changed
        (b"ctorch._utils\n_rebuild_tensor_v2\n(N}S'x'\nI1\nstb.", "cannot be followed"),
        (b"Nr\xff\xff\xff\x7f.", "is out of reach"),
        (b"\x80\x02\x82\x01.", "cannot be followed"),  # an extension that nobody registered
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.", "cannot be followed"),  # a text longer than any memory
        (b"(" * 100_000, "cannot be followed"),
        (b"", "cannot be followed"),
    ],
)
def test_hostile_pickles(body, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", body)
    legacy = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {}))
    for content in (path.read_bytes(), legacy + body, body):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"model.pth cannot be read: ") as raised:
            weights.read(path)
        assert content == body or message in str(raised.value)
    assert not (tmp_path / "trace").exists()


@FORMATS
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": (3,)}, "a tensor of shape .3. ends at value 2 of 2"),
        ({"offset": 1}, "ends at value 2 of 2"),
        ({"offset": -1}, r"offset \(-1,\) must be ints of at least 0"),
        ({"strides": (-1,)}, "strides"),
        ({"shape": (2, 2), "strides": (1,)}, "a tensor of shape"),
        ({"shape": (1 << 40,), "strides": (0,)}, "a tensor of shape"),  # a terabyte out of eight bytes
        ({"shape": "ab"}, "a tensor of shape"),
        ({"storage": None}, "a tensor without a storage"),
        ({"storage": Storage(np.ones(2, np.float32), count=1 << 40)}, "a storage of"),
        ({"storage": Storage(np.ones(2, np.float32), count=-1)}, "a storage '0' of -1 values"),
    ],
)
def test_tensors_that_lie_about_their_values(changes, message, zipped, tmp_path, monkeypatch):
    """NumPy would read memory beyond the storage."""
    array = np.ones(2, np.float32)
    content = {"a": tensor(array, **changes)}
    save(content, path := tmp_path / "model.pth", zipped=zipped, monkeypatch=monkeypatch)
    with pytest.raises(
        ValueError, match=rf"model.pth cannot be read: .*{message}.*; the file is damaged, get it again"
    ):
        weights.read(path)


@pytest.mark.parametrize(
    ("module", "name", "message"),
    [
        ("torch._utils", "_rebuild_sparse_tensor", r"a tensor is sparse: call .to_dense\(\) on it before saving"),
        ("torch._utils", "_rebuild_qtensor", r"a tensor is quantized: call .dequantize\(\)"),
        ("torch._utils", "_rebuild_meta_tensor_no_storage", "a tensor has a shape and no values"),
        ("torch", "QInt8Storage", "it holds tensors of QInt8Storage, which NumPy lacks: convert them"),
        ("torch", "float4_e2m1fn_x2", "it holds tensors of float4_e2m1fn_x2, which NumPy lacks"),
        (
            "torchvision.models.resnet",
            "ResNet",
            r"it holds an object of torchvision.models.resnet.ResNet, .* model.state_dict\(\)",
        ),
    ],
)
def test_what_is_no_plain_tensor_names_the_way_out(module, name, message, tmp_path, monkeypatch):
    save({"a": Named(module, name)}, path := tmp_path / "model.pth", zipped=True, monkeypatch=monkeypatch)
    with pytest.raises(ValueError, match=rf"model.pth cannot be read: {message}"):
        weights.read(path)


@FORMATS
def test_contents_that_are_no_state_dict(zipped, tmp_path, monkeypatch):
    path = tmp_path / "model.pth"
    for content, message in (
        ({"lr": 0.1}, "'lr' is a float, no tensor: save model.state_dict"),
        ([1], "it holds a list, where a dict from names to tensors belongs"),
        (tensor(np.ones(1)), "it holds a single tensor, where a dict"),
        ({"state_dict": {"a": None}}, "'a' is a NoneType, no tensor"),
    ):
        save(content, path, zipped=zipped, monkeypatch=monkeypatch)
        with pytest.raises(ValueError, match=message):
            weights.read(path)


def test_archives_that_torch_does_not_write(tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"model.pth cannot be read: it is empty; get it again"):
        weights.read(path)
    for entries, compression, message in (
        (["a.txt"], zipfile.ZIP_STORED, "it is a zip archive, and none that torch.save wrote"),
        (["m/data.pkl", "m/constants.pkl"], zipfile.ZIP_STORED, "it is a program of TorchScript: save torch.jit.load"),
        (["m/data.pkl"], zipfile.ZIP_DEFLATED, "its entries are compressed or overlap"),
    ):
        with zipfile.ZipFile(path, "w", compression) as archive:
            for entry in entries:
                archive.writestr(entry, pickle.dumps({}))
        with pytest.raises(ValueError, match=message):
            weights.read(path)


@FORMATS
def test_any_damage_is_one_error(zipped, tmp_path, arrays, monkeypatch):
    """A file truncated or changed anywhere is read, or refused by a ValueError with its path."""
    save(_tensors(arrays), path := tmp_path / "model.pth", zipped=zipped, monkeypatch=monkeypatch)
    content, rng = path.read_bytes(), np.random.default_rng(0)
    damaged = [content[:length] for length in range(0, len(content), len(content) // 40)]
    for place in rng.integers(0, len(content), 150):
        changed = bytearray(content)
        changed[place] ^= 1 << rng.integers(8)
        damaged.append(bytes(changed))
    refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # some values become NaN
        for one in damaged:
            path.write_bytes(one)
            try:
                weights.read(path)
            except ValueError as error:
                refused += 1
                assert str(error).startswith(f"{path} cannot be read: ")  # noqa: PT017
    assert refused > 40


@FORMATS
def test_as_torch_itself(zipped, tmp_path, arrays):
    """Files written by PyTorch itself, of every type and form; the only test here that needs it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch = pytest.importorskip("torch")
    tensors = {
        name: torch.tensor(array.astype(np.float32)).to(torch.bfloat16)
        if name == "bfloat16"
        else torch.from_numpy(array)
        for name, array in arrays.items()
    }
    base = torch.arange(24.0).reshape(2, 3, 4)
    tensors |= {"view": base[:, 1:, ::2], "turned": base.permute(2, 0, 1), "parameter": torch.nn.Parameter(base[0])}
    for content in (tensors, {"state_dict": tensors, "epoch": 3}):
        torch.save(content, path := tmp_path / "model.pth", _use_new_zipfile_serialization=zipped)
        found = weights.read(path)
        assert found.keys() == tensors.keys()
        for name, expected in tensors.items():
            assert str(expected.dtype) == f"torch.{found[name].dtype}"
            np.testing.assert_array_equal(
                found[name].astype(np.complex128), expected.detach().to(torch.complex128).numpy()
            )
