"""Archives with names, links and sizes that are hostile, or only unusual."""

import io
import os
import tarfile
import zipfile

import pytest

from smoothjax import data, datasets
from smoothjax.datasets.builders import SourceTree, _archive
from tests.datasets.archives import labels, pixels, png, tarred, unpack, zipped


def _tree(path, scratch):
    return SourceTree(path, ("*.zip", "*.tar*"), scratch)


def _tar(path, *members):
    """A tar archive of members given as TarInfo and content."""
    with tarfile.open(path, "w:") as archive:
        for info, content in members:
            info.size = len(content) if info.isreg() else info.size
            archive.addfile(info, io.BytesIO(content))
    return path


def _info(name, kind=tarfile.REGTYPE, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("name", ["a//b/1.png", "./a/b/1.png", "a/./b//1.png", "/a/b/1.png", "a\\b\\1.png"])
def test_spellings_of_one_place(tmp_path, name):
    path = zipped(tmp_path / "x.zip", {name: b"1", "a/2.png": b"2"})
    tree = _tree(path, tmp_path)
    assert {key: file.read() for key, file in tree.walk("").items()} == {"a/2.png": b"2", "a/b/1.png": b"1"}
    assert tree.folders("") == ["a"]
    tree.close()


def test_the_archive_with_double_slashes(shared_data, tmp_path):
    """This once ended in a RecursionError."""
    datasets.prepare("folder", shared_data("cases/zip_double_slash/s.zip"), tmp_path / "out")
    source = data.PreparedSource(tmp_path / "out", "train")
    assert "x" in [source.name(index) for index in range(len(source))]


def test_hard_links_are_the_files_that_they_link_to(shared_data, tmp_path):
    datasets.prepare("folder", shared_data("cases/hard_links.tar"), tmp_path / "out")
    source = data.PreparedSource(tmp_path / "out", "val")
    assert [source.name(index) for index in range(len(source))] == ["good0", "good1", "good2", "twin"]


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE])
def test_links(tmp_path, kind):
    """Links to other members work, also if they come first; others are named when they are read."""
    target = "a/1.png" if kind == tarfile.LNKTYPE else "1.png"
    first = "a/2.png" if kind == tarfile.LNKTYPE else "2.png"
    path = _tar(
        tmp_path / "x.tar",
        (_info("a/3.png", kind, first), b""),
        (_info("a/2.png", kind, target), b""),
        (_info("a/1.png"), b"one"),
        (_info("a/4.png", kind, "a/5.png" if kind == tarfile.LNKTYPE else "../../etc/passwd"), b""),
        (_info("a/6.png", kind, "a/6.png" if kind == tarfile.LNKTYPE else "6.png"), b""),
    )
    tree = _tree(path, tmp_path)
    files = tree.files("a")
    assert [files[name].read() for name in ("1.png", "2.png", "3.png")] == [b"one"] * 3
    for name in ("4.png", "6.png"):
        with pytest.raises(ValueError, match=rf"x\.tar:a/{name}: is a link to .*, which the archive does not hold"):
            files[name].read()
    tree.close()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a/../../b.png"], r"b\.png: leads out of the archive"),
        (["/".join("a" * 3000) + "/b.png"], "lies more than 64 folders deep"),
        (["a//b.png", "a/b.png"], "a//b.png and a/b.png are the same place"),
    ],
)
def test_names_that_are_refused(tmp_path, names, message):
    for path in (
        zipped(tmp_path / "x.zip", dict.fromkeys(names, b"")),
        tarred(tmp_path / "x.tar", dict.fromkeys(names, b"")),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            _tree(path, tmp_path)
        assert str(caught.value).startswith(str(path))
        assert len(str(caught.value)) < 500


def test_more_members_than_any_data_set(tmp_path, monkeypatch):
    monkeypatch.setattr(_archive, "_MAX_MEMBERS", 3)
    with pytest.raises(ValueError, match=r"x\.zip: holds more than 3 members"):
        _tree(zipped(tmp_path / "x.zip", dict.fromkeys("abcd", b"")), tmp_path)


@pytest.mark.parametrize("compression", ["gz", "bz2", "xz"])
def test_a_tar_that_decompresses_to_very_much(tmp_path, monkeypatch, compression):
    monkeypatch.setattr(_archive, "_FREE_BYTES", 1000)
    monkeypatch.setattr(_archive, "_MAX_RATIO", 20)
    monkeypatch.setattr(_archive, "_BLOCK", 1000)
    path = tarred(tmp_path / f"x.tar.{compression}", {"a.png": bytes(300_000)}, compression)
    with pytest.raises(ValueError, match=r"decompresses from [\d,]+ to more than [\d,]+ bytes"):
        _tree(path, tmp_path / "scratch")
    assert (tmp_path / "scratch" / f"x.tar.{compression}.tar").stat().st_size < 100_000
    tarred(tmp_path / f"y.tar.{compression}", {"a.png": os.urandom(30_000)}, compression)
    _tree(tmp_path / f"y.tar.{compression}", tmp_path / "scratch").close()


def test_a_zip_member_that_decompresses_to_very_much(tmp_path, monkeypatch):
    """Only reading it is refused: an unused member does no harm."""
    monkeypatch.setattr(_archive, "_FREE_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(300_000))
        archive.writestr("b.png", b"b")
    tree = _tree(tmp_path / "x.zip", tmp_path)
    assert tree.files("")["b.png"].read() == b"b"
    with pytest.raises(ValueError, match=r"x\.zip:a\.png: decompresses from \d+ to 300,000 bytes"):
        tree.files("")["a.png"].read()
    tree.close()


def test_members_with_holes_and_devices(tmp_path):
    """Their place in the file does not hold their content."""
    sparse = _info("a.png")
    sparse.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "a.png"}
    sparse.pax_headers["GNU.sparse.realsize"] = "100"
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w:", format=tarfile.PAX_FORMAT) as archive:
        content = b"1\n0\n100\n".ljust(512, b"\0") + b"x" * 100
        sparse.size = len(content)
        archive.addfile(sparse, io.BytesIO(content))
        archive.addfile(_info("b.png", tarfile.FIFOTYPE))
    tree = _tree(path, tmp_path)
    with pytest.raises(ValueError, match=r"x\.tar:a\.png: is stored with holes"):
        tree.files("")["a.png"].read()
    with pytest.raises(ValueError, match=r"x\.tar:b\.png: is neither a file nor a folder"):
        tree.files("")["b.png"].read()
    tree.close()


def test_a_tar_cut_short(tmp_path):
    path = tarred(tmp_path / "x.tar.gz", {"a.png": os.urandom(5000)}, "gz")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"x\.tar\.gz: cannot be opened as an archive"):
        _tree(path, tmp_path / "scratch")


def test_links_of_a_folder_to_an_unmounted_disk_are_named(tmp_path):
    """Two of five pairs were silently left out."""
    files = {f"images/{i}.png": png(pixels(i)) for i in range(3)}
    files |= {f"labels/{i}.png": png(labels(i, [0, 1])) for i in range(3)}
    root = unpack(tmp_path / "in", files)
    for i in (3, 4):
        (root / f"images/{i}.png").symlink_to(f"/unmounted/{i}.png")
        (root / f"labels/{i}.png").symlink_to(f"/unmounted/mask-{i}.png")
    with pytest.raises(data.InvalidDataError) as caught:
        datasets.prepare("folder", root, tmp_path / "out", val_fraction=0)
    assert len(caught.value.problems) == 4
    assert f"{root}/images/4.png: is a link to /unmounted/4.png, where nothing is" in str(caught.value)


def test_folders_deeper_than_any_data_set(tmp_path):
    unpack(tmp_path, {"/".join("a" * 70) + "/1.png": b""})
    with pytest.raises(ValueError, match="folders lie more than 64 deep"):
        _tree(tmp_path, tmp_path).walk("")
