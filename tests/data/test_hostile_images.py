"""Images with more pixels, bits or text than usual: limits, and right pixels or an error."""

import io
import shutil
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from smoothjax import data
from smoothjax.data import _open
from tests.datasets.archives import png, unpack

_CLASSES = data.Classes(("a", "b"), ((0, 0, 0), (1, 1, 1)))


def _folder(root, images, masks):
    files = {f"train/images/{name}": content for name, content in images.items()}
    return unpack(root, files | {f"train/labels/{name}": content for name, content in masks.items()})


def test_a_bomb_is_compared_with_its_mask_before_it_is_decoded(tmp_path, shared_data, monkeypatch):
    root = _folder(tmp_path, {}, {"a.png": png(np.zeros((16, 20), np.uint8))})
    (root / "train/images").mkdir()
    shutil.copy(shared_data("cases/bomb_169Mpx.png"), root / "train/images/a.png")
    source = data.FolderSource(root, "train", _CLASSES)
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load_prepare", lambda _: pytest.fail("the bomb was decoded"))
    monkeypatch.setattr("smoothjax.data._folder.decode_label", lambda *_: np.zeros((16, 20), np.uint8))
    with pytest.raises(
        data.InvalidDataError, match="the mask is 16 x 20 pixels high and wide, its image 13000 x 13000"
    ):
        source[0]


def test_a_mask_that_is_a_bomb(tmp_path, shared_data, monkeypatch):
    root = _folder(tmp_path, {"a.png": png(np.zeros((16, 20, 3), np.uint8))}, {})
    (root / "train/labels").mkdir()
    shutil.copy(shared_data("cases/bomb_169Mpx.png"), root / "train/labels/a.png")
    monkeypatch.setattr("smoothjax.data._folder.decode_label", lambda *_: pytest.fail("the bomb was decoded"))
    with pytest.raises(data.InvalidDataError, match=r"the mask is 13000 x 13000 pixels .*, its image 16 x 20"):
        data.FolderSource(root, "train", _CLASSES)[0]


def test_limit_of_pixels(tmp_path, monkeypatch):
    """An image of a data set has a limit; an image that a user names has none."""
    (tmp_path / "a.png").write_bytes(png(np.zeros((3, 4, 3), np.uint8)))
    monkeypatch.setattr(_open, "MAX_PIXELS", 11)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)
    with pytest.raises(ValueError, match=r"a\.png: cannot be read as an image \(its 4 x 3 pixels are more than the 11"):
        data.read_image(tmp_path / "a.png")
    assert data.read_image(tmp_path / "a.png", large=True).shape == (3, 4, 3)
    assert data.read_size(tmp_path / "a.png", large=True) == (3, 4)


def test_postscript_is_no_image_of_a_data_set(tmp_path):
    """Pillow would start Ghostscript on it."""
    (tmp_path / "a.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    with pytest.raises(ValueError, match="not in a format that Pillow supports"):
        data.read_image(tmp_path / "a.eps")


@pytest.mark.parametrize("after", [False, True])
def test_png_with_much_text(tmp_path, after):
    """Pillow reads at most 1 MB of text in a piece, before or after the pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 3)).astype(np.uint8)
    text = PngImagePlugin.PngInfo()
    if after:
        text.add(b"zTXt", _ztxt(2_000_000), after_idat=True)
    else:
        text.add_text("note", "x" * 2_000_000, zip=True)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", pnginfo=text)
    (tmp_path / "a.png").write_bytes(out.getvalue())
    np.testing.assert_array_equal(data.read_image(tmp_path / "a.png"), pixels)
    assert data.read_size(tmp_path / "a.png") == (5, 6)


def _ztxt(length):
    return b"note\0\0" + zlib.compress(b"x" * length)


def test_exif_data_behind_the_pixels(tmp_path):
    """Some programs put them there; the stated size must be that of the decoded image."""
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 3)).astype(np.uint8)
    content, behind = png(pixels), exif.tobytes().removeprefix(b"Exif\0\0")
    (tmp_path / "a.png").write_bytes(content[:-12] + _chunk(b"eXIf", behind) + content[-12:])
    assert data.read_size(tmp_path / "a.png") == (6, 5)
    np.testing.assert_array_equal(data.read_image(tmp_path / "a.png"), np.rot90(pixels, -1))


def _grey16(values):
    return png(np.array(values, np.uint16).reshape(1, -1))


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_grey_of_fewer_than_sixteen_bits(tmp_path, bits):
    """Divided by 256 they would be nearly black."""
    largest = 2**bits - 1
    (tmp_path / "a.png").write_bytes(_grey16([0, largest // 2, largest]))
    with pytest.raises(
        ValueError, match=rf"largest of its 16-bit numbers is {largest} of 65535.*--data\.white {largest}"
    ):
        data.read_image(tmp_path / "a.png")
    assert data.read_image(tmp_path / "a.png", white=largest)[0, :, 0].tolist() == [0, 127, 255]
    assert data.read_image(tmp_path / "a.png", white=65535)[0, -1, 0] == largest >> 8


def test_grey_of_sixteen_bits(tmp_path):
    (tmp_path / "a.png").write_bytes(_grey16([0, 40 * 256 + 7, 65535]))
    assert data.read_image(tmp_path / "a.png")[0, :, 0].tolist() == [0, 40, 255]
    (tmp_path / "black.png").write_bytes(_grey16([0, 0]))
    assert not data.read_image(tmp_path / "black.png").any()
    with pytest.raises(ValueError, match=r"numbers go from 0 to 65535, outside 0 \.\. 4095"):
        data.read_image(tmp_path / "a.png", white=4095)
    with pytest.raises(ValueError, match=r"white must be 1 \.\. 65535"):
        data.read_image(tmp_path / "a.png", white=0)


@pytest.mark.parametrize("white", [1, 3, 20, 254, 255, 256, 1023])
def test_white_is_the_largest_number_also_below_255(tmp_path, white):
    """Numbers 0 .. 3 became 0, 64, 128 and 192: white was a light grey."""
    (tmp_path / "a.png").write_bytes(_grey16([0, white // 2, white]))
    found = data.read_image(tmp_path / "a.png", white=white)[0, :, 0].tolist()
    assert found[::2] == [0, 255]
    assert found[1] == pytest.approx(255 * (white // 2) / white, abs=1)
    np.save(tmp_path / "a.npy", np.array([[0, white // 2, white]], np.uint16))
    assert data.read_image(tmp_path / "a.npy", white=white, channels=1).ravel().tolist() == found


def _chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _colors16(largest):
    """A PNG of 16-bit colours, which Pillow cannot write."""
    row = b"\0" + np.array([0, largest // 2, largest], ">u2").tobytes()
    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    pieces = [_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(row)), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(pieces)


@pytest.mark.parametrize("largest", [255, 1023, 4095, 16383])
def test_colours_of_fewer_than_sixteen_bits(tmp_path, largest):
    (tmp_path / "a.png").write_bytes(_colors16(largest))
    with pytest.raises(ValueError, match=r"a\.png: its 16-bit colours are all below \d+ of 65535"):
        data.read_image(tmp_path / "a.png")
    with pytest.raises(ValueError, match="a white point of 65535 only, got 4095"):
        data.read_image(tmp_path / "a.png", white=4095)
    assert data.read_image(tmp_path / "a.png", white=65535).tolist() == [[[0, (largest // 2) >> 8, largest >> 8]]]


def test_colours_of_sixteen_bits_are_no_plain_image(tmp_path):
    """Readers disagree about the pixels of such a file."""
    (tmp_path / "a.png").write_bytes(_colors16(65535))
    assert data.read_image(tmp_path / "a.png").tolist() == [[[0, 127, 255]]]
    assert not data.open_image((tmp_path / "a.png").read_bytes(), "a").is_plain


def _planar_tiff(path):
    """An uncompressed TIFF of three 16-bit planes."""
    planes = np.arange(2 * 2 * 3, dtype="<u2").reshape(3, 2, 2) * 5000
    entries = [
        (256, 4, 1, 2), (257, 4, 1, 2), (258, 3, 3, 8 + 2 + 12 * 10 + 4), (259, 3, 1, 1), (262, 3, 1, 2),
        (273, 4, 3, 8 + 2 + 12 * 10 + 4 + 6), (277, 3, 1, 3), (278, 4, 1, 2), (279, 4, 3, 8 + 2 + 12 * 10 + 4 + 18),
        (284, 3, 1, 2),
    ]  # fmt: skip
    start = 8 + 2 + 12 * 10 + 4 + 30
    content = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    for tag, kind, count, value in entries:
        content += struct.pack("<HHI", tag, kind, count) + struct.pack("<HH" if kind == 3 and count == 1 else "<I", *(
            (value, 0) if kind == 3 and count == 1 else (value,)
        ))  # fmt: skip
    content += struct.pack("<I", 0) + struct.pack("<3H", 16, 16, 16)
    content += struct.pack("<3I", *(start + 8 * i for i in range(3))) + struct.pack("<3I", 8, 8, 8)
    path.write_bytes(content + planes.tobytes())


def test_sixteen_bits_in_planes_are_refused(tmp_path):
    """Pillow reads them scrambled, without an error."""
    _planar_tiff(tmp_path / "a.tif")
    with Image.open(tmp_path / "a.tif") as image:
        assert image.mode == "RGB"
    with pytest.raises(ValueError, match=r"a\.tif: .*16-bit TIFF in planes"):
        data.read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("suffix", ["jfif", "gif", "avif", "jp2", "ppm", "bmp", "webp"])
def test_whatever_pillow_reads_is_an_image(tmp_path, suffix):
    kind = {"jfif": "JPEG", "jp2": "JPEG2000"}.get(suffix, suffix.upper())
    try:
        Image.new("RGB", (8, 6), (250, 10, 20)).save(tmp_path / "picture", kind)
    except (KeyError, OSError):
        pytest.skip(f"Pillow was built without {kind}")
    root = _folder(
        tmp_path, {f"a.{suffix}": (tmp_path / "picture").read_bytes()}, {"a.png": png(np.zeros((6, 8), np.uint8))}
    )
    record = data.FolderSource(root, "train", _CLASSES)[0]
    np.testing.assert_allclose(record["image"].astype(int), np.broadcast_to((250, 10, 20), (6, 8, 3)), atol=12)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("train/images/b.heic", r"b\.heic: files of this kind are not read here, only jpg, jpeg, png, .*; convert"),
        ("train/images/more/b.png", r"images/more: a folder, which is not read here; move its files up"),
        ("train/labels/b.gif", r"b\.gif: files of this kind are not read here, only png; convert"),
        ("train/labels/more/b.png", r"labels/more: a folder, which is not read here"),
    ],
)
def test_what_would_not_be_read_is_named(tmp_path, extra, message):
    root = _folder(tmp_path, {"a.png": png(np.zeros((6, 8, 3), np.uint8))}, {"a.png": png(np.zeros((6, 8), np.uint8))})
    unpack(root, {extra: b"content", "train/images/notes.txt": b"", "train/images/.hidden.png": b""})
    with pytest.raises(ValueError, match=message):
        data.FolderSource(root, "train", _CLASSES)


def test_a_link_to_nowhere_is_named(tmp_path):
    root = _folder(tmp_path, {"a.png": png(np.zeros((6, 8, 3), np.uint8))}, {"a.png": png(np.zeros((6, 8), np.uint8))})
    for kind in ("images", "labels"):
        (root / "train" / kind / "b.png").symlink_to("/nowhere/b.png")
    with pytest.raises(data.InvalidDataError, match=r"labels/b\.png: no such file\n.*images/b\.png: no such file"):
        data.FolderSource(root, "train", _CLASSES)[1]


def test_names_of_images_and_masks(tmp_path):
    """A letter with an accent is one or two characters; a mask may have another extension than its image."""
    images = {"Stra\u00dfe caf\u00e9.png": png(np.zeros((6, 8, 3), np.uint8))}
    root = _folder(tmp_path, images, {"Stra\u00dfe cafe\u0301_mask.png": png(np.ones((6, 8), np.uint8))})
    source = data.FolderSource(root, "train", _CLASSES, mask_suffix="_mask")
    assert source[0]["label"].all()
    assert data.open_split(root, "train", _CLASSES, mask_suffix="_mask").name(0) == source.name(0)
    with pytest.raises(ValueError, match=r"the names of all masks end in _mask; take --data\.mask-suffix _mask, "):
        data.FolderSource(root, "train", _CLASSES)
    unpack(root, {"train/labels/other.png": b""})
    with pytest.raises(ValueError, match=r"other\.png: its name does not end in _mask \(--data\.mask-suffix\)"):
        data.FolderSource(root, "train", _CLASSES, mask_suffix="_mask")
