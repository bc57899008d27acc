"""python -m smoothjax.data: prepare, info, show."""

import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from smoothjax import data
from smoothjax.datasets.__main__ import main
from smoothjax.datasets.builders import BUILDERS
from tests.datasets.archives import labels, pixels, png, unpack


def _streets(root):
    """CamVid in the layout of SegNet, with three streets in train and one in val."""
    files = {}
    for split, count in (("train", 3), ("val", 1)):
        for i in range(count):
            files |= {f"{split}/{i}.png": png(pixels(i)), f"{split}annot/{i}.png": png(labels(i, [0, 3, 8, 11]))}
    return unpack(root, files)


@pytest.fixture
def streets(tmp_path, monkeypatch):
    """The streets in a folder of their own, where commands run."""
    _streets(tmp_path / "CamVid")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(capsys, *arguments):
    """The exit status of a command, and its output on each stream."""
    try:
        status = main(arguments)
    except SystemExit as error:
        status = error.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_help_waits_for_nothing():
    """Neither JAX nor the reader of records is imported."""
    heavy = {"jax", "tensorflow_datasets", "grain", "matplotlib", "scipy", "pycocotools"}
    code = f"""
import sys
from smoothjax.datasets.__main__ import main
assert main(["--help"]) == 0
for arguments in (["prepare", "--help"], ["prepare", "folder", "--help"], ["info", "--help"], ["show", "x", "--help"]):
    try:
        main(arguments)
    except SystemExit as error:
        assert error.code == 0, arguments
assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    for name in BUILDERS:
        assert name in result.stdout
    assert "--val-fraction" in result.stdout
    assert "--images INT" in result.stdout


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_each_help_shows_what_a_source_holds(capsys, name):
    status, out, _ = _run(capsys, "prepare", name, "--help")
    assert status == 0
    assert BUILDERS[name].name == name
    for entry in BUILDERS[name]().expected():
        assert entry.line.split()[0] in out


def test_from_the_archives_to_a_picture(streets, capsys):
    status, out, err = _run(capsys, "prepare", "camvid", "--source", "CamVid")
    assert status == 0
    assert "data/camvid holds camvid: train 3, val 1. Next:\n  python -m smoothjax.data info camvid\n" in out
    assert "warning: split train has 3 examples, the published one 367" in err
    assert len(data.PreparedSource("camvid", "train")) == 3

    status, out, _ = _run(capsys, "info", "camvid")
    assert status == 0
    assert out.startswith("data/camvid\n\nsplit ")
    assert " 8 car " in out

    status, out, _ = _run(capsys, "show", "camvid", "--out", "pictures/grid.png", "--split", "val")
    assert (status, out) == (0, "pictures/grid.png\n")
    with Image.open(streets / "pictures/grid.png") as picture:
        shown = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    for label in (0, 3, 8):
        assert (shown == data.CAMVID.colors[label]).all(1).sum() > 1000


def test_another_place(streets, capsys):
    assert _run(capsys, "prepare", "camvid", "--source", "CamVid", "--out", "fast/streets")[0] == 0
    outputs = [
        _run(capsys, "info", *arguments)[1]
        for arguments in (
            ("camvid", "--data", "fast/streets"),
            ("streets", "--data", "fast"),
            ("fast/streets",),
        )
    ]
    assert outputs[0] == outputs[1] == outputs[2] != ""
    # They tell how to read a folder, and were ignored.
    for options in (("--mask-suffix", "_mask"), ("--white", "4095"), ("--classes", "camvid")):
        err = f"error: {options[0]} would change nothing, since fast/streets is prepared: leave it out\n"
        assert _run(capsys, "show", "camvid", "--data", "fast/streets", *options) == (1, "", err)
    assert _run(capsys, "prepare", "camvid", "--source", "CamVid", "--out", "fast/streets") == (
        1,
        "",
        f"error: {streets}/fast/streets holds a prepared data set already; use it, or prepare it again with "
        "--overwrite (overwrite=True in Python), or choose another folder (--out)\n",
    )
    assert _run(capsys, "prepare", "camvid", "--source", "CamVid", "--out", "fast/streets", "--overwrite")[0] == 0


def test_a_place_with_a_space_can_be_pasted(streets, capsys):
    _, out, _ = _run(capsys, "prepare", "camvid", "--source", "CamVid", "--out", "my streets")
    assert out.endswith("info camvid --data 'my streets'\n  python -m smoothjax.data show camvid --data 'my streets'\n")
    assert "--source DIR --out 'no streets/camvid'\n" in _run(capsys, "info", "camvid", "--data", "no streets")[2]


def test_options_of_a_data_set(streets, capsys):
    files = {f"photos/{i}.png": png(pixels(i)) for i in range(4)}
    files |= {f"masks/{i}.png": png(labels(i, [0, 1])) for i in range(4)}
    unpack(streets / "in", files)
    arguments = ["--source", "in", "--images", "photos", "--masks", "masks", "--val-fraction", "0.5"]
    status, out, err = _run(capsys, "prepare", "folder", *arguments)
    assert status == 0, err
    assert "data/folder holds folder: train 2, val 2" in out
    assert "masks hold labels up to 1" in err


def test_a_folder_that_is_not_prepared(streets, capsys):
    files = {}
    for split in ("test", "train"):
        files |= {f"{split}/images/a.png": png(pixels(0)), f"{split}/labels/a.png": png(labels(0, [0, 1]))}
    unpack(streets / "in", files)
    assert "or name classes: --classes voc2012, cityscapes, coco2015, camvid or a file" in _run(capsys, "show", "in")[2]
    status, out, _ = _run(capsys, "info", "in")
    assert status == 0
    assert "in: images and masks in the splits train, test, which are read as they are\n" in out
    assert "missing: classes.yaml, the names of the classes; the masks hold 0, 1\n" in out
    assert out.endswith("next:    python -m smoothjax.data info in, once this is there\n")
    status, out, _ = _run(capsys, "info", "in", "--classes", "camvid")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()[3:5]] == ["train", "test"]
    (streets / "names.json").write_text('["x", "y"]')
    assert _run(capsys, "show", "in", "--classes", "names.json")[:2] == (0, "grid.png\n")


def test_masks_of_black_and_white_are_read_without_preparation(streets, capsys):
    """What is missing is written out, and then read: preparing the folder was proposed, which needs none."""
    files = {}
    for split in ("train", "val"):
        files |= {f"{split}/images/a.png": png(pixels(0)), f"{split}/labels/a_mask.png": png(labels(0, [0, 255]))}
    unpack(streets / "in", files)
    _, out, _ = _run(capsys, "info", "in")
    assert "in the splits train, val, which are read as they are\n" in out
    example = re.findall(r"^ +(\S+: \{values: \[\d+\]\})$", out, re.MULTILINE)
    assert example == ["background: {values: [0]}", "object: {values: [255]}"]
    again = "next:    python -m smoothjax.data info in --mask-suffix _mask"
    assert f"{again}, once this is there\n" in out
    (streets / "in/classes.yaml").write_text("\n".join(example))
    _, out, _ = _run(capsys, "info", "in")
    assert "problem: in/train: the names of all masks end in _mask; take --data.mask-suffix _mask" in out
    assert out.endswith(f"{again}\n")
    assert " 1 object " in _run(capsys, "info", "in", "--mask-suffix", "_mask")[1]


def test_masks_as_photographs_are_no_published_data_set(streets, capsys):
    """JPEG masks in splits were taken for CamVid, and the preparation of that was advised."""
    files = {}
    for split in ("train", "val"):
        files |= {f"{split}/{kind}/a.jpg": png(pixels(0)) for kind in ("images", "labels")}
    unpack(streets / "in", files)
    _, out, _ = _run(capsys, "info", "in")
    assert out.startswith("in: images, and masks that are not PNG (jpg)\n")
    assert "  train/images  " in out
    assert " 1 image (jpg)" in out
    assert "missing: masks as PNG in train/labels and val/labels: other kinds change class indices\n" in out
    assert out.endswith("next:    python -m smoothjax.data info in, once they are PNG\n")


def _layout(root, **folders):
    """Folders of images, or of masks where numbers are given; a suffix of names after a colon."""
    files = {}
    for place, (names, numbers) in folders.items():
        for index, name in enumerate(names):
            picture = pixels(index) if numbers is None else labels(index, numbers)
            files[f"{place.replace('__', '/')}/{name}.png"] = png(picture)
    return unpack(root, files)


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (
            {"photos": ("abc", None), "masks": (["b_mask", "c_mask"], [0, 255])},
            [
                "in: images and masks in photos and masks, to be prepared",
                "a mask in masks for 1 of 3 images of photos (a)",
                "255 is ignored unless a class there has {values: [255]}",
                "prepare folder --source in --images photos --masks masks --mask-suffix _mask",
            ],
        ),
        ({"pictures": ("ab", None)}, ["in: images without masks", "  pictures", "2 images (png)"]),
        (
            {"all": (["a", "b"], None), "all_": ([], None)},
            ["missing: a mask of the same name for each image", "once masks are there"],
        ),
        (
            {"VOCdevkit__VOC2012__JPEGImages": ("ab", None), "VOCdevkit__VOC2012__SegmentationClass": ("ab", [0, 1])},
            [
                "in: the data set voc2012, as its authors distribute it, incomplete",
                "missing: ImageSets/Segmentation/train.txt, val.txt",
                "next:    python -m smoothjax.data prepare voc2012 --source in",
            ],
        ),
        (
            {"train": ("ab", None), "trainannot": ("ab", [0, 3]), "valannot": ("a", [0]), "val": ("a", None)},
            ["in: the data set camvid, as its authors distribute it\n", "prepare camvid --source in"],
        ),
        ({}, ["in: no images, and no data set that is known"]),
    ],
)
def test_a_raw_folder_is_described(streets, capsys, folders, expected):
    """It only printed an error about missing preparation."""
    (streets / "in").mkdir()
    _layout(streets / "in", **folders)
    status, out, err = _run(capsys, "info", "in")
    assert (status, err) == (0, "")
    for words in expected:
        assert words in out


def test_an_archive_of_a_common_name_makes_no_data_set(streets, capsys):
    """Photographs beside the images.tar.gz that they came in are no Oxford pets."""
    unpack(streets / "in", {"images.tar.gz": b"", "photos/a.png": png(pixels(0))})
    assert "in: images without masks\n" in _run(capsys, "info", "in")[1]
    unpack(streets / "in", {"annotations.tar.gz": b""})
    assert "in: the data set oxford_iiit_pet, as its authors" in _run(capsys, "info", "in")[1]


@pytest.mark.parametrize(
    ("archives", "told"),
    [
        (["train2017.zip"], "in: no images, and no data set that is known"),
        (["train2017.zip", "val2017.zip"], "missing: annotations/instances_train2014.json (or 2015, 2017)\n"),
        (["annotations_trainval2017.zip"], "missing: train2014/ (or images/train2014/)\n         val2014/\n"),
        (
            ["train2017.zip", "val2017.zip", "annotations_trainval2017.zip"],
            "the data set coco2015, as its authors distribute it\n",
        ),
        (["gtFine_trainvaltest.zip"], "missing: leftImg8bit/"),
        (["img_align_celeba.zip"], "missing: list_eval_partition.txt"),
        (["VOC2012test.tar"], "no data set that is known"),
        (["VOCtrainval_11-May-2012.tar"], "the data set voc2012, as its authors distribute it\n"),
    ],
)
def test_archives_that_are_missing_are_named(streets, capsys, archives, told):
    """One archive of COCO's three was called the data set, and its preparation was advised."""
    unpack(streets / "in", dict.fromkeys(archives, b""))
    assert told in _run(capsys, "info", "in")[1]


def test_masks_among_images_are_to_be_moved(streets, capsys):
    files = {f"{name}.png": png(pixels(0)) for name in "ab"} | {
        f"{name}_mask.png": png(labels(0, [0])) for name in "ab"
    }
    unpack(streets / "in", files)
    assert "a folder of their own for the masks of .: move *_mask.* there" in _run(capsys, "info", "in")[1]


def test_images_of_other_channels(streets, capsys):
    """train is drawn, whichever split comes first."""
    for split in ("a", "train"):
        for part in ("images", "labels"):
            (streets / "in" / split / part).mkdir(parents=True)
        np.save(streets / f"in/{split}/images/0.npy", np.zeros((6, 9, 5), np.uint8))
        (streets / f"in/{split}/labels/0.png").write_bytes(png(labels(0, [0, 1], (6, 9))))
    (streets / "in/classes.yaml").write_text("x: [1, 2, 3]\ny: [4, 5, 6]\n")
    drawn = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("smoothjax.datasets._describe.draw_grid", lambda source, out, images, title: drawn.append(title))
        assert _run(capsys, "show", "in", "--data.channels", "5")[0] == 0  # as the studies call it
    assert drawn == ["in, train"]
    status, out, _ = _run(capsys, "info", "in", "--channels", "5")
    assert status == 0
    assert " 1 y " in out


def test_faces_have_attributes_and_no_labels(streets, capsys):
    files = {"img_align_celeba/1.jpg": png(pixels(0)), "list_eval_partition.txt": b"1.jpg 0\n"}
    unpack(streets / "in", {**files, "list_attr_celeba.txt": b"1\nBald Young\n1.jpg -1 1\n"})
    # There is no face to validate or test with.
    status, _, err = _run(capsys, "prepare", "celeba", "--source", "in")
    assert (status, err.count("is empty")) == (1, 2)
    (streets / "in/list_eval_partition.txt").write_text("1.jpg 0\n2.jpg 1\n3.jpg 2\n")
    (streets / "in/list_attr_celeba.txt").write_text("3\nBald Young\n1.jpg -1 1\n2.jpg 1 1\n3.jpg 1 1\n")
    for i in (2, 3):
        (streets / f"in/img_align_celeba/{i}.jpg").write_bytes(png(pixels(i)))
    assert _run(capsys, "prepare", "celeba", "--source", "in")[0] == 0
    status, out, _ = _run(capsys, "info", "celeba")
    assert "2 attributes: Bald, Young\n\nno pixel is labelled" in out
    assert _run(capsys, "show", "celeba", "--images", "1")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["prepair"], 2, "unknown command 'prepair': did you mean prepare?"),
        (["x"], 2, "unknown command 'x': choose one of prepare, info, show"),
        (["prepare", "voc"], 2, "unknown data set 'voc': did you mean voc2012?"),
        (["prepare", "voc2012"], 1, "say where voc2012 lies (--source DIR"),
        (["prepare", "voc2012", "--source", "CamVid"], 1, "JPEGImages/NAME.jpg"),
        (["info"], 2, "name the data set or its folder: python -m smoothjax.data info NAME"),
        (["info", "camvi"], 1, "no prepared data set in data/camvi: did you mean camvid?"),
        (["info", "~no-one/x"], 1, "the folder ~no-one/x: that home folder is not known, write the path in full"),
        (["prepare", "camvid", "--source", "~no-one/x"], 1, "--source ~no-one/x: that home folder is not known"),
        (["info", "no/such"], 1, "no/such is not there: name a folder, or a data set"),
        (["info", "CamVid/train/0.png"], 1, "CamVid/train/0.png is a file: name a folder, or a data set"),
        (
            ["prepare", "CamVid", "--out", "x"],
            1,
            "a data set comes before its files: python -m smoothjax.data prepare NAME",
        ),
        (["info", "camvid"], 1, "prepare camvid --source DIR --out data/camvid"),
        (["info", "nosuch"], 1, "prepare NAME --source DIR --out data/nosuch\nNAME is one of voc2012, cityscapes"),
        (
            ["prepare", "camvid", "--source", "CamVid", "--out", ""],
            1,
            "the folder of the result is '.', the folder that",
        ),
        (["show", "camvid", "--split", "train"], 1, "prepare camvid --source DIR --out data/camvid"),
    ],
)
def test_mistakes(streets, capsys, arguments, status, message):
    code, _, err = _run(capsys, *arguments)
    assert code == status
    assert err.startswith("error: ")
    assert message in err


def test_mistakes_about_what_is_there(streets, capsys):
    _run(capsys, "prepare", "camvid", "--source", "CamVid")
    assert "has no split 'vall': did you mean val?" in _run(capsys, "show", "camvid", "--split", "vall")[2]
    assert "images must be at least 1, got 0" in _run(capsys, "show", "camvid", "--images", "0")[2]
    assert "no prepared data set in data/nosuch; data holds camvid\n" in _run(capsys, "info", "nosuch")[2]
    assert _run(capsys, "prepare")[0] == 2


def test_the_module_is_a_command(streets):
    command = [sys.executable, "-m", "smoothjax.data", "prepare", "camvid", "--source", "CamVid"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    assert data.is_prepared("data/camvid")


def test_interrupted(streets, capsys, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("smoothjax.datasets.__main__.prepare", interrupt)
    status, _, err = _run(capsys, "prepare", "camvid", "--source", "CamVid")
    assert (status, err) == (130, "\nstopped; nothing is left behind: run the same command to start again\n")


def test_show_augmented(streets, capsys):
    """Crops as training sees them, the same for one seed; a strength out of range is named as the option it is."""
    assert _run(capsys, "prepare", "camvid", "--source", "CamVid")[0] == 0
    shown = ["show", "camvid", "--augmented", "--crop-size", "24", "32"]
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert _run(capsys, *shown, "--seed", str(seed), "--out", f"{name}.png")[0] == 0
    a, b, c = (np.asarray(Image.open(streets / f"{name}.png")) for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)
    status, _, err = _run(capsys, *shown, "--augment.hue", "0.7")
    assert (status, err) == (1, "error: --augment.hue must be from 0 to 0.5, got 0.7: 0 turns it off\n")
    status, _, err = _run(capsys, "show", "camvid", "--seed", "1", "--augment.hue", "0.2")
    why = "since images are not augmented: add --augmented, or leave it out"
    assert (status, err) == (1, f"error: --augment and --seed would change nothing, {why}\n")
