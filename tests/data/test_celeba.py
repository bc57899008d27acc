"""CelebA in miniature, in both layouts, and the messages for missing or damaged files."""

import copy
import io
import shutil
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageDraw

from smoothjax.data import CelebASource, InvalidDataError, _celeba

PARTITION = "000001.jpg 0\n000002.jpg 0\n000003.jpg 1\n000004.jpg 2\n"


def _jpeg(number, scale=1.0):
    """An aligned face as a drawing: eyes, mouth, chin, and a background of another colour."""
    picture = Image.new("RGB", (178 * 4, 218 * 4), (0, 0, 40 * number))
    draw = ImageDraw.Draw(picture)
    for shape, color in (
        ((44, 50, 134, 184), (230, 180, 150)),
        ((62, 104, 78, 118), (20, 60, 20)),
        ((100, 104, 116, 118), (20, 60, 20)),
        ((70, 150, 108, 160), (180, 30, 30)),
    ):
        draw.ellipse([4 * side for side in shape], fill=color)
    buffer = io.BytesIO()
    size = (round(178 * scale), round(218 * scale))
    picture.resize(size, Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("folder")
    (root / "img_align_celeba").mkdir()
    for number in range(1, 5):
        (root / f"img_align_celeba/{number:06d}.jpg").write_bytes(_jpeg(number))
    (root / "list_eval_partition.txt").write_text(PARTITION)
    return root


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return _archive(tmp_path_factory.mktemp("zip"))


def _archive(root, scale=1.0):
    with zipfile.ZipFile(root / "img_align_celeba.zip", "w") as file:
        file.writestr("img_align_celeba/", "")
        for number in range(1, 5):
            file.writestr(f"img_align_celeba/{number:06d}.jpg", _jpeg(number, scale))
    (root / "list_eval_partition.txt").write_text(PARTITION)
    return root


def test_splits(archive):
    sources = {split: CelebASource(archive, split) for split in ("train", "val", "test")}
    assert {split: len(source) for split, source in sources.items()} == {"train": 2, "val": 1, "test": 1}
    assert [sources["train"].name(index) for index in range(2)] == ["000001", "000002"]
    assert sources["val"].name(0) == "000003"
    record = sources["test"][0]
    assert (record["image"].shape, record["image"].dtype, list(record)) == ((64, 64, 3), np.uint8, ["image"])
    assert sources["test"].size(0) == (64, 64)
    assert "test" in repr(sources["test"])
    with pytest.raises(IndexError, match="index 2 is outside the split of 2 examples"):
        sources["train"][2]


def test_every_way_to_name_it_gives_the_same(folder, archive):
    reference = CelebASource(folder, "train")[1]["image"]
    for root in (archive, archive / "img_align_celeba.zip", folder / "img_align_celeba", str(archive)):
        np.testing.assert_array_equal(CelebASource(root, "train")[1]["image"], reference)


def test_only_the_face_is_kept(archive):
    """Eyes in the upper half, the mouth in the lower, the chin inside, no top of the head, little background."""
    image = CelebASource(archive, "train", size=107)[0]["image"].astype(int)
    dark_green = (image[..., 1] > image[..., 0] + 20) & (image.sum(-1) < 200)
    rows, columns = np.nonzero(dark_green)
    # The square is 107 pixels wide and begins 80 below the top and 36 from the left.
    np.testing.assert_allclose(rows.mean(), 111 - 80, atol=2)
    np.testing.assert_allclose(columns[columns < 53].mean(), 70 - 36, atol=2)
    np.testing.assert_allclose(columns[columns > 53].mean(), 108 - 36, atol=2)
    mouth = np.argwhere((image[..., 0] > 140) & (image[..., 1] < 80))
    assert 68 < mouth[:, 0].mean() < 82
    skin = image[..., 0] > 190
    assert skin[0, 40:66].all()
    assert not skin[106].any()  # below the chin
    assert skin.mean() > 0.6


def test_half_size_images_give_the_same_faces(archive, tmp_path):
    half = CelebASource(_archive(tmp_path, scale=0.5), "train")[0]["image"].astype(float)
    full = CelebASource(archive, "train")[0]["image"].astype(float)
    assert np.abs(half - full).mean() < 4
    for shift in (-1, 1):
        for axis in (0, 1):
            assert np.abs(half - np.roll(full, shift, axis)).mean() > 1.3 * np.abs(half - full).mean()


def test_threads_read_what_one_reads(archive):
    source = CelebASource(archive, "train")
    alone = [source[index]["image"] for index in range(2)]
    with ThreadPoolExecutor(8) as pool:
        for index, record in enumerate(pool.map(lambda i: source[i % 2], range(64))):
            np.testing.assert_array_equal(record["image"], alone[index % 2])


def test_a_copy_opens_the_archive_for_itself(archive):
    """As worker processes of Grain do."""
    source = CelebASource(archive, "val")
    np.testing.assert_array_equal(copy.deepcopy(source)[0]["image"], source[0]["image"])


@pytest.mark.parametrize(
    ("partition", "split", "error", "message"),
    [
        (None, "train", FileNotFoundError, "list_eval_partition.txt is missing: it assigns images to splits"),
        ("000001.jpg 0\n000009.jpg 0\n", "train", FileNotFoundError, r"lacks 1 of the images .* \(000009.jpg\)"),
        ("000001.jpg 0\n", "val", ValueError, "gives no image to the split 'val'; lines of that split end in 1"),
        ("000001.jpg 0\n000002.jpg\n", "train", ValueError, r'line 2: expected "NAME.jpg 0", .* got \'000002.jpg\''),
        ("000001.jpg 7\n", "train", ValueError, "line 1: expected"),
        (PARTITION, "valid", ValueError, "split must be one of train, val, test, got 'valid'"),
    ],
)
@pytest.mark.parametrize("layout", ["folder", "archive"])
def test_refuses(request, tmp_path, layout, partition, split, error, message):
    root = shutil.copytree(request.getfixturevalue(layout), tmp_path / "copy")
    if partition is None:
        (root / "list_eval_partition.txt").unlink()
    else:
        (root / "list_eval_partition.txt").write_text(partition)
    with pytest.raises(error, match=message):
        CelebASource(root, split)


def test_refuses_what_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such file or folder; give img_align_celeba.zip"):
        CelebASource(tmp_path / "nowhere", "train")
    with pytest.raises(FileNotFoundError, match=r"holds neither img_align_celeba.zip nor img_align_celeba/"):
        CelebASource(tmp_path, "train")
    (tmp_path / "img_align_celeba.zip").write_bytes(b"half a download")
    with pytest.raises(
        ValueError, match=r"img_align_celeba.zip is not a zip file, or only a part of one .*; download it again"
    ):
        CelebASource(tmp_path, "train")


def test_a_size_of_nothing(archive):
    with pytest.raises(ValueError, match="size must be at least 1 pixel, got 0"):
        CelebASource(archive, "train", size=0)


def test_a_truncated_image_is_named(tmp_path):
    root = _archive(tmp_path)
    with zipfile.ZipFile(root / "img_align_celeba.zip", "w") as file:
        for number in range(1, 5):
            file.writestr(f"img_align_celeba/{number:06d}.jpg", _jpeg(number)[: 900 if number == 2 else None])
    source = CelebASource(root, "train")
    assert source[0]["image"].shape == (64, 64, 3)
    with pytest.raises(
        InvalidDataError, match=r"img_align_celeba.zip, 000002.jpg: cannot be read as an image"
    ) as error:
        source[1]
    assert len(error.value.problems) == 1


def test_a_damaged_archive_names_the_image(tmp_path):
    path = _archive(tmp_path) / "img_align_celeba.zip"
    content = bytearray(path.read_bytes())
    content[content.find(b"\xff\xd8\xff") + 200] ^= 0xFF  # inside the first image: its checksum is wrong
    path.write_bytes(content)
    with pytest.raises(InvalidDataError, match=r"000001.jpg: cannot be read \(Bad CRC-32.*complete the data set"):
        CelebASource(path, "train")[0]


def test_a_member_that_decompresses_to_very_much(tmp_path, monkeypatch):
    monkeypatch.setattr(_celeba, "_MAX_BYTES", 100)
    with pytest.raises(InvalidDataError, match=r"000001\.jpg: decompresses to [\d,]+ bytes, more than a photograph"):
        CelebASource(_archive(tmp_path), "train")[0]


def test_two_members_of_one_name(tmp_path):
    """One of the two would be dropped silently."""
    with zipfile.ZipFile(_archive(tmp_path) / "img_align_celeba.zip", "a") as file:
        file.writestr("more/000001.jpg", _jpeg(2))
        file.writestr("__MACOSX/._000001.jpg", b"")
    with pytest.raises(ValueError, match=r"img_align_celeba/000001\.jpg and more/000001\.jpg have one name"):
        CelebASource(tmp_path, "train")


def test_an_image_of_another_shape_is_named(folder, tmp_path):
    root = shutil.copytree(folder, tmp_path / "copy")
    Image.new("RGB", (178, 100)).save(root / "img_align_celeba/000001.jpg")
    with pytest.raises(InvalidDataError, match=r"000001.jpg: is 178 x 100 pixels wide and high, too low"):
        CelebASource(root, "train")[0]


def test_the_shared_faces(shared_data):
    root = shared_data("celeba_10k")
    sources = {split: CelebASource(root, split) for split in ("train", "val", "test")}
    assert {split: len(source) for split, source in sources.items()} == {"train": 8000, "val": 1000, "test": 1000}
    mean = np.mean([sources["train"][index]["image"] for index in range(0, 8000, 100)], 0)
    # Eyes are darker than the cheeks below them, on both sides; the face is symmetric on average.
    for left in (18, 42):
        assert mean[14:22, left : left + 6].mean() < mean[28:36, left : left + 6].mean() - 15
    assert np.abs(mean - mean[:, ::-1]).mean() < 8
