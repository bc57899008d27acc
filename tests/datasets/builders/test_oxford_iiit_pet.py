"""Oxford-IIIT Pet: archives and folders, trimaps, the split val, and the download."""

import hashlib
import http.server
import threading
from functools import partial
from typing import ClassVar

import numpy as np
import pytest

from smoothjax import data, datasets
from smoothjax.datasets.builders import Download, OxfordIIITPet
from tests.datasets.archives import assert_holds, assert_refused, below, jpeg, labels, pixels, png, tarred, unpack

_TRAINVAL = ("Abyssinian_100", "beagle_1", "pug_7", "Siamese_2")
_TEST = ("Bengal_3", "boxer_4")
# Some images of this data set are not JPEG, despite their names.
_IMAGES = {name: (png if name == "pug_7" else jpeg)(pixels(i)) for i, name in enumerate((*_TRAINVAL, *_TEST))}
_TRIMAPS = {name: labels(i, [1, 2, 3]) for i, name in enumerate(_IMAGES)}
_FILES = {
    **{f"images/{name}.jpg": content for name, content in _IMAGES.items()},
    "images/Abyssinian_100.mat": b"stray",
    **{f"annotations/trimaps/{name}.png": png(label) for name, label in _TRIMAPS.items()},
    "annotations/trimaps/._Abyssinian_100.png": b"stray",
    "annotations/trainval.txt": "".join(f"{name} 1 1 1\n" for name in _TRAINVAL).encode(),
    "annotations/test.txt": "".join(f"{name} 2 2 1\n" for name in _TEST).encode(),
}


def _expected(names):
    return {name: np.array([0, 1, 0, 255], np.uint8)[_TRIMAPS[name]] for name in names}


def test_folders(tmp_path, capsys):
    datasets.prepare("oxford_iiit_pet", unpack(tmp_path / "in", _FILES), tmp_path / "out")
    assert data.prepared_splits(tmp_path / "out") == ("train", "test")
    assert_holds(tmp_path / "out", "train", _IMAGES, _expected(_TRAINVAL))
    assert_holds(tmp_path / "out", "test", _IMAGES, _expected(_TEST))
    assert "split train has 4 examples, the published one 3,680" in capsys.readouterr().err


# The authors' archives have been both, under the same names.
@pytest.mark.parametrize("compression", ["gz", "", "xz", "bz2"])
def test_archives(tmp_path, compression):
    for kind in ("images", "annotations"):
        tarred(tmp_path / f"in/{kind}.tar.gz", below(_FILES, f"{kind}/"), compression)
    datasets.prepare("oxford_iiit_pet", tmp_path / "in", tmp_path / "out")
    assert_holds(tmp_path / "out", "train", _IMAGES, _expected(_TRAINVAL))
    assert_holds(tmp_path / "out", "test", _IMAGES, _expected(_TEST))


def test_val_on_request(tmp_path):
    datasets.prepare(OxfordIIITPet(val_fraction=0.5), unpack(tmp_path / "in", _FILES), tmp_path / "out")
    train, val = (data.PreparedSource(tmp_path / "out", split) for split in ("train", "val"))
    names = [[source.name(i) for i in range(len(source))] for source in (train, val)]
    assert sorted(names[0] + names[1]) == sorted(_TRAINVAL)
    assert len(train) == len(val) == 2
    assert_holds(tmp_path / "out", "val", _IMAGES, _expected(names[1]))
    with pytest.raises(ValueError, match=r"val_fraction must be in \[0, 1\), got 1"):
        OxfordIIITPet(val_fraction=1)


def test_what_is_wrong(tmp_path):
    root = unpack(tmp_path / "in", _FILES)
    (root / "images/pug_7.jpg").unlink()
    (root / "annotations/trimaps/boxer_4.png").unlink()
    (root / "annotations/trimaps/beagle_1.png").write_bytes(png(labels(0, [0, 1])))
    assert_refused(
        "oxford_iiit_pet",
        root,
        tmp_path / "out",
        "images/pug_7.jpg: missing image, named by",
        "trimaps/boxer_4.png: missing mask, named by",
        "beagle_1.png: label 0 is not one of the labels of this data set (1-3)",
    )


def test_too_few_images_for_a_split(tmp_path):
    """The requested split is made, or refused by name."""
    root = unpack(tmp_path / "in", _FILES)
    (root / "annotations/trainval.txt").write_text("beagle_1 1 1 1\n")
    with pytest.raises(data.InvalidDataError, match=r"split val is empty: .*trainval\.txt names 1 example, too few"):
        datasets.prepare("oxford_iiit_pet", root, tmp_path / "out", val_fraction=0.5)
    datasets.prepare("oxford_iiit_pet", root, tmp_path / "out")
    assert data.prepared_splits(tmp_path / "out") == ("train", "test")
    (root / "annotations/test.txt").write_text("# nothing\n")
    with pytest.raises(data.InvalidDataError, match="split test is empty"):
        datasets.prepare("oxford_iiit_pet", root, tmp_path / "none")


def test_another_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"images/NAME\.jpg +found\n +annotations/trimaps/NAME\.png +MISSING\n"):
        datasets.prepare("oxford_iiit_pet", unpack(tmp_path / "in", below(_FILES, "images/")), tmp_path / "out")


def test_damaged_archives(tmp_path):
    for kind in ("images", "annotations"):
        path = tarred(tmp_path / f"in/{kind}.tar.gz", below(_FILES, f"{kind}/"), "gz")
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"\.tar\.gz: cannot be opened as an archive.*; download it again"):
        datasets.prepare("oxford_iiit_pet", tmp_path / "in", tmp_path / "out")


@pytest.fixture
def server(tmp_path):
    """A stand-in for the web: the list of requests, and a builder that makes them."""
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *args):
            requests.append(args[0])

    for kind in ("images", "annotations"):
        tarred(tmp_path / f"web/{kind}.tar.gz", below(_FILES, f"{kind}/"), "gz")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path / "web")) as web:
        thread = threading.Thread(target=web.serve_forever, args=(0.01,))
        thread.start()

        local = {
            path.name: Download(
                f"http://127.0.0.1:{web.server_port}/{path.name}", hashlib.sha256(path.read_bytes()).hexdigest()
            )
            for path in (tmp_path / "web").iterdir()
        }

        class Local(OxfordIIITPet):
            downloads: ClassVar = local

        yield requests, Local()
        web.shutdown()
        thread.join()


def test_downloads_itself_once(tmp_path, server):
    requests, builder = server
    datasets.prepare(builder, out=tmp_path / "out")
    assert_holds(tmp_path / "out", "train", _IMAGES, _expected(_TRAINVAL))
    assert len(requests) == 2
    datasets.prepare(builder, out=tmp_path / "out", overwrite=True)
    assert len(requests) == 2
    assert {path.name for path in (tmp_path / "out.downloads").iterdir()} == {"images.tar.gz", "annotations.tar.gz"}


def test_download_that_is_another_file(tmp_path, server):
    _, builder = server
    (tmp_path / "web/images.tar.gz").write_bytes(b"sorry, we have moved")
    with pytest.raises(ValueError, match=r"images\.tar\.gz is not the file that was published: its SHA-256"):
        datasets.prepare(builder, out=tmp_path / "out")
    (tmp_path / "web/images.tar.gz").unlink()
    with pytest.raises(OSError, match=r"cannot be fetched .*; fetch it elsewhere, .* --source DIR"):
        datasets.prepare(builder, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_data_sets_do_not_download(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"(?s)say where voc2012 lies \(--source DIR.*JPEGImages/NAME\.jpg"):
        datasets.prepare("voc2012", out=tmp_path / "out")
