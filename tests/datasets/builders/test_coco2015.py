"""MS-COCO: polygons and run lengths, the order of overlapping objects, crowds, both layouts."""

import json
import re
import sys
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coder

from smoothjax import data, datasets
from smoothjax.datasets.__main__ import main
from smoothjax.datasets.builders import Coco2015
from tests.datasets.archives import assert_holds, assert_refused, below, jpeg, pixels, unpack, zipped

_SIZE = (12, 16)
# Ids of MS-COCO have gaps: there is no 12, and stop sign is 13.
_CATEGORIES = [
    {"id": 1, "name": "person"},
    {"id": 13, "name": "stop sign"},
    {"id": 67, "name": "dining table"},
    {"id": 90, "name": "toothbrush"},
]


def _box(top, left, bottom, right):
    """A polygon that covers the pixels top .. bottom - 1, left .. right - 1, and its mask."""
    mask = np.zeros(_SIZE, bool)
    mask[top:bottom, left:right] = True
    return [[left, top, right, top, right, bottom, left, bottom]], mask


def _run_lengths(mask):
    """Uncompressed run lengths down the columns, zeros first."""
    flat = np.concatenate([[0], mask.ravel(order="F").astype(int), [2]])
    changes = np.flatnonzero(np.diff(flat))
    counts = np.diff(np.concatenate([[0], changes])).tolist()
    return {"size": list(mask.shape), "counts": counts}


def _compressed(mask):
    coded: Any = coder.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": coded["counts"].decode()}


class _Instances:
    """A file of annotations under construction."""

    def __init__(self):
        self.images, self.annotations = [], []

    def image(self, name, *objects, size=_SIZE):
        number = len(self.images) + 40
        self.images.append({"id": number, "file_name": name, "height": size[0], "width": size[1]})
        for category, segmentation, crowd in objects:
            entry = {"id": len(self.annotations), "image_id": number, "category_id": category, "iscrowd": crowd}
            # The area in the file is not what decides: it is that of the outline, or absent.
            self.annotations.append({**entry, "segmentation": segmentation, "area": 1.0})
        return self

    def json(self):
        content = {"images": self.images, "annotations": self.annotations, "categories": _CATEGORIES}
        return json.dumps({"info": {}, **content}).encode()


def _files(year, instances, images):
    prefix = "COCO_train2014_" if year == 2014 else ""
    return {
        f"annotations/instances_train{year}.json": instances.json(),
        **{f"train{year}/{prefix}{name}.jpg": content for name, content in images.items()},
    }


def _prepared(tmp_path, *objects, **options):
    """Prepares one image with these objects; returns its label map."""
    files = _files(2017, _Instances().image("1.jpg", *objects, **options), {"1": jpeg(pixels(0))})
    datasets.prepare("coco2015", unpack(tmp_path / "in", files), tmp_path / "out", overwrite=True)
    return data.PreparedSource(tmp_path / "out", "train")[0]["label"]


@pytest.mark.parametrize("code", [None, _run_lengths, _compressed], ids=["polygon", "counts", "compressed"])
def test_each_code_pixel_for_pixel(tmp_path, code):
    polygon, mask = _box(2, 3, 7, 12)
    label = _prepared(tmp_path, (90, polygon if code is None else code(mask), 0))
    np.testing.assert_array_equal(label, np.where(mask, 80, 0))
    assert data.COCO.names[80] == "toothbrush"


def test_any_shape_in_run_lengths(tmp_path):
    mask = np.random.default_rng(0).random(_SIZE) < 0.4
    np.testing.assert_array_equal(_prepared(tmp_path, (13, _run_lengths(mask), 0)), np.where(mask, 12, 0))


def test_the_smaller_thing_lies_on_top(tmp_path):
    table, person, brush = _box(1, 1, 11, 15), _box(3, 3, 9, 9), _box(4, 6, 6, 14)
    things = [(67, table[0], 0), (1, person[0], 0), (90, brush[0], 0)]
    expected = np.zeros(_SIZE, np.uint8)
    for mask, name in ((table[1], "dining table"), (person[1], "person"), (brush[1], "toothbrush")):
        expected[mask] = data.COCO.names.index(name)
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        np.testing.assert_array_equal(_prepared(tmp_path, *(things[i] for i in order)), expected)


def test_crowds_are_ignored(tmp_path):
    """A crowd lies on the table, and below the outlined person."""
    table, crowd, person = _box(0, 0, 12, 16), _box(2, 2, 10, 10), _box(4, 4, 6, 6)
    label = _prepared(tmp_path, (1, _run_lengths(crowd[1]), 1), (67, table[0], 0), (1, person[0], 0))
    expected = np.full(_SIZE, data.COCO.names.index("dining table"))
    expected[crowd[1]] = 255
    expected[person[1]] = 1
    np.testing.assert_array_equal(label, expected)


def test_several_parts_and_parts_without_area(tmp_path):
    first, second = _box(0, 0, 4, 4), _box(6, 8, 12, 16)
    label = _prepared(tmp_path, (1, first[0] + second[0] + [[3, 3, 9, 9]], 0), (90, [], 0), (90, [[1, 1, 2, 2]], 0))
    np.testing.assert_array_equal(label, (first[1] | second[1]).astype(int))


def test_layout_of_2014(tmp_path):
    """train and val in archives; images without objects are background; names in the order of the files."""
    images = {"COCO_train2014_000000000009": jpeg(pixels(1)), "COCO_train2014_000000000003": jpeg(pixels(2))}
    train = _Instances().image("COCO_train2014_000000000009.jpg", (1, _box(0, 0, 2, 2)[0], 0))
    train.image("COCO_train2014_000000000003.jpg")
    val = _Instances().image("COCO_val2014_000000000001.jpg")
    root = tmp_path / "in"
    zipped(root / "train2014.zip", {f"train2014/{name}.jpg": content for name, content in images.items()})
    zipped(root / "val2014.zip", {"val2014/COCO_val2014_000000000001.jpg": jpeg(pixels(3))})
    annotations = {"instances_train2014": train.json(), "instances_val2014": val.json(), "captions_val2014": b"{}"}
    files = {f"annotations/{name}.json": content for name, content in annotations.items()}
    zipped(root / "annotations_trainval2014.zip", files)
    datasets.prepare("coco2015", root, tmp_path / "out")
    expected = np.zeros(_SIZE, np.uint8)
    expected[:2, :2] = 1
    held = {"COCO_train2014_000000000003": np.zeros(_SIZE), "COCO_train2014_000000000009": expected}
    assert_holds(tmp_path / "out", "train", images, held)
    assert data.prepared_splits(tmp_path / "out") == ("train", "val")
    assert data.PreparedSource(tmp_path / "out", "val").classes is not None
    assert data.PreparedSource(tmp_path / "out", "val").classes == data.COCO


def test_two_years_need_a_choice(tmp_path, capsys):
    files = {}
    for year in (2014, 2017):
        name = "COCO_train2014_1" if year == 2014 else "1"
        files |= _files(year, _Instances().image(f"{name}.jpg"), {"1": jpeg(pixels(year))})
    # Some keep the images in a folder of their own.
    files = {f"images/{path}" if path.startswith("train") else path: content for path, content in files.items()}
    root = unpack(tmp_path / "in", files)
    with pytest.raises(ValueError, match="holds MS-COCO of 2014, 2017; choose one with --year"):
        datasets.prepare("coco2015", root, tmp_path / "out")
    datasets.prepare(Coco2015(year=2017), root, tmp_path / "out")
    assert data.PreparedSource(tmp_path / "out", "train").name(0) == "1"
    assert "published one 118,287" in capsys.readouterr().err
    datasets.prepare("coco2015", root, tmp_path / "2014", year=2014)
    assert "published one 82,783" in capsys.readouterr().err


def test_what_is_wrong(tmp_path):
    content = _Instances().image("odd.jpg", (1, [[1, 1, 2, 2, 3, 3, 4]], 0))
    content.image("kind.jpg", (5, _box(0, 0, 2, 2)[0], 0))
    content.image("mask.jpg", (1, _run_lengths(np.ones((5, 5), bool)), 0))
    content.image("size.jpg", size=(16, 12)).image("absent.jpg")
    content.annotations.append({"id": 99, "image_id": 7, "category_id": 1, "segmentation": []})
    images = {name: jpeg(pixels(0)) for name in ("odd", "kind", "mask", "size")}
    assert_refused(
        "coco2015",
        unpack(tmp_path / "in", _files(2017, content, images)),
        tmp_path / "out",
        "image odd.jpg: annotation 0 cannot be drawn (a polygon has an odd number of coordinates)",
        "image kind.jpg: annotation 1 cannot be drawn (its category_id is 5, which the file does not define)",
        "image mask.jpg: annotation 2 cannot be drawn (its mask is 5 x 5 pixels",
        "image size.jpg: the mask is 16 x 12 pixels high and wide, its image, upright, 12 x 16",
        "absent.jpg: missing, named by",
        "1 annotations of an image 7 that it does not list",
    )


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ([[float("nan"), 1, 5, 5, 6, 6]], "a polygon has a coordinate that is not finite"),
        ([[float("inf"), 1, 5, 5, 6, 6]], "a polygon has a coordinate that is not finite"),
        ([[1e9, 1, 5, 5, 6, 6]], "a polygon has coordinates from 1 to 1e.09, far outside the image"),
        ([1, 1, 5, 5, 6, 6], "its polygons must be lists of numbers, are numbers"),
        ([[[1, 1], [5, 5], [6, 6]]], "a polygon must be a list of numbers x, y"),
        (["1 1 5 5 6 6"], "a polygon must be a list of numbers x, y"),
        ([None], "a polygon must be a list of numbers x, y"),
        ([[10**400, 1, 5, 5, 6, 6]], "a polygon must be a list of numbers x, y"),
        (None, "its segmentation must be a list of polygons or run lengths, is NoneType"),
        ("text", "its segmentation must be a list of polygons or run lengths, is str"),
        ({"size": [12, 16], "counts": [10, 20]}, "its runs are 30 pixels long together, its image has 192"),
        ({"size": [12, 16], "counts": [200, -8]}, "a run has the length -8"),
        ({"size": [12, 16], "counts": [1.5]}, "its run lengths must be a list of whole numbers or a text"),
        ({"size": [12, 16], "counts": None}, "its run lengths must be a list of whole numbers or a text"),
        ({"size": [12, 16], "counts": ""}, "its runs are 0 pixels long together, its image has 192"),
        ({"size": [12, 16], "counts": "é"}, "its run lengths hold 'é', which stands for no number"),
        ({"size": [12, 16], "counts": "o" * 9}, "its run lengths hold 'o', which stands for no number"),
        ({"size": [12, 16], "counts": "P"}, "its run lengths end in the middle of a number"),
        ({"size": 12, "counts": [192]}, "the size of its mask must be height and width, is 12"),
        ({"counts": [192]}, "the size of its mask must be height and width, is None"),
    ],
)
def test_every_bad_outline_is_refused_by_its_annotation(tmp_path, segmentation, reason):
    """pycocotools checks nothing: it crashes, takes all memory, or draws what memory held before."""
    content = _Instances().image("good.jpg", (1, _box(0, 0, 2, 2)[0], 0)).image("1.jpg", (1, segmentation, 0))
    images = {name: jpeg(pixels(0)) for name in ("good", "1")}
    with pytest.raises(data.InvalidDataError) as caught:
        datasets.prepare("coco2015", unpack(tmp_path / "in", _files(2017, content, images)), tmp_path / "out")
    (problem,) = caught.value.problems
    assert re.search(rf"image 1\.jpg: annotation 1 cannot be drawn \({reason}", problem)


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("images", {"id": "a"}, r"images\[0\]: id must be a whole number, is 'a'"),
        ("images", {"id": None}, r"images\[0\]: id must be a whole number, is None"),
        ("images", {"file_name": 3}, r"images\[0\]: file_name must be text, is 3"),
        ("images", {"height": "12"}, r"images\[0\]: height and width of 1\.jpg must be whole numbers"),
        ("images", {"width": 10**9}, r"images\[0\]: height and width of 1\.jpg must be whole numbers"),
        ("annotations", {"image_id": None}, r"annotations\[0\]: image_id must be a whole number, is None"),
        ("annotations", {"category_id": "person"}, "its category_id must be a whole number, is 'person'"),
        ("annotations", {"iscrowd": 2}, "its iscrowd must be 0 or 1, is 2"),
        ("categories", {"id": None}, r"categories\[0\] must have a whole number id and a text name"),
        ("categories", {"name": 1}, r"categories\[0\] must have a whole number id and a text name"),
    ],
)
def test_missing_and_mistyped_entries_are_named(tmp_path, kind, change, message):
    content = json.loads(_Instances().image("1.jpg", (1, _box(0, 0, 2, 2)[0], 0)).json())
    content[kind][0].update(change)
    files = _files(2017, _Instances(), {"1": jpeg(pixels(0))})
    files["annotations/instances_train2017.json"] = json.dumps(content).encode()
    with pytest.raises(data.InvalidDataError, match=message):
        datasets.prepare("coco2015", unpack(tmp_path / "in", files), tmp_path / "out")


def test_an_image_that_is_listed_twice(tmp_path):
    content = _Instances().image("1.jpg").image("1.jpg")
    with pytest.raises(data.InvalidDataError, match=r"images\[1\]: image 1\.jpg with id 41 is listed twice"):
        datasets.prepare(
            "coco2015", unpack(tmp_path / "in", _files(2017, content, {"1": jpeg(pixels(0))})), tmp_path / "out"
        )


def test_annotations_without_an_area_are_counted(tmp_path, capsys):
    """Empty outlines and boxes would silently become background."""
    things = [
        (1, _box(0, 0, 2, 2)[0], 0),
        (1, [], 0),
        (1, [[1, 1, 5, 5]], 0),
        (1, _run_lengths(np.zeros(_SIZE, bool)), 1),
    ]
    np.testing.assert_array_equal(_prepared(tmp_path, *things), _box(0, 0, 2, 2)[1].astype(int))
    assert "3 of 4 annotations are left out, they are empty or have fewer than three corners: 1, 2, 3" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("coco_polygon_nan", "a polygon has a coordinate that is not finite"),
        ("coco_rle_string_empty", "its runs are 0 pixels long together"),
    ],
)
def test_hostile_annotations(shared_data, tmp_path, case, reason):
    with pytest.raises(data.InvalidDataError, match=rf"annotation 101 cannot be drawn \({reason}"):
        datasets.prepare("coco2015", shared_data(f"cases/{case}"), tmp_path / "out")


@pytest.mark.parametrize(
    "content",
    [
        *(b"no json", b"{}", b'{"images": 1, "annotations": [], "categories": []}', b"[]", b"3"),
        b'{"images": ' + b"[" * 100_000,
    ],
)
def test_damaged_annotations(tmp_path, content):
    files = {**_files(2017, _Instances(), {"1": b""}), "annotations/instances_train2017.json": content}
    with pytest.raises(ValueError, match=r"instances_train2017\.json: not the instance annotations of MS-COCO"):
        datasets.prepare("coco2015", unpack(tmp_path / "in", files), tmp_path / "out")


def test_another_kind_of_category(tmp_path):
    content = _Instances().image("1.jpg")
    files = _files(2017, content, {"1": jpeg(pixels(0))})
    files["annotations/instances_train2017.json"] = content.json().replace(b"person", b"unicorn")
    with pytest.raises(data.InvalidDataError, match="category 'unicorn' is not one of the 80"):
        datasets.prepare("coco2015", unpack(tmp_path / "in", files), tmp_path / "out")


def test_another_folder(tmp_path):
    files = below(_files(2017, _Instances(), {"1": b""}), "train2017")
    with pytest.raises(FileNotFoundError, match=r"annotations/instances_train2014\.json.* MISSING\n"):
        datasets.prepare("coco2015", unpack(tmp_path / "in", files), tmp_path / "out")


def test_years(tmp_path):
    with pytest.raises(ValueError, match="year must be one of 2014, 2015, 2017, got 2016"):
        datasets.prepare("coco2015", tmp_path, year=2016)
    unpack(tmp_path / "in", {"annotations/instances_val2017.json": b"{}", "val2017/1.jpg": b""})
    with pytest.raises(FileNotFoundError, match=r"in holds MS-COCO of 2017, not of 2014; choose another --year"):
        datasets.prepare("coco2015", tmp_path / "in", tmp_path / "out", year=2014)


def test_without_pycocotools_the_extra_is_named(tmp_path, monkeypatch, capsys):
    """Refused in one sentence, before anything is written."""
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    unpack(tmp_path / "in", _files(2017, _Instances().image("1.jpg"), {"1": jpeg(pixels(0))}))
    assert main(["prepare", "coco2015", "--source", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 1
    assert "need pycocotools, which cannot be imported" in (error := capsys.readouterr().err)
    assert "pip install -e '.[coco]'" in error
    assert not (tmp_path / "out").exists()
