"""Reading images at a fraction of their size, and masks of few bits."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from smoothjax import data
from smoothjax.data._files import decode_mask
from tests.datasets.archives import jpeg, png


def _gradient(size):
    """Smooth, so that a picture at half its size looks the same."""
    y, x = np.mgrid[: size[0], : size[1]]
    return np.stack([255 * y / size[0], 255 * x / size[1], np.full(size, 90)], -1).astype(np.uint8)


@pytest.mark.parametrize(
    ("at_least", "expected"),
    [
        ((200, 320), (200, 320)),
        ((101, 10), (200, 320)),
        ((100, 160), (100, 160)),
        ((51, 80), (100, 160)),
        ((50, 80), (50, 80)),
        ((1, 1), (25, 40)),
        ((500, 10), (200, 320)),
    ],
)
def test_a_jpeg_at_the_smallest_size_that_suffices(tmp_path, at_least, expected):
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(_gradient((200, 320)), quality=95))
    image = data.read_image(path, at_least=at_least)
    assert image.shape == (*expected, 3)
    step = 200 // expected[0]
    np.testing.assert_allclose(image.astype(int), _gradient((200, 320))[step // 2 :: step, step // 2 :: step], atol=6)


def test_odd_sizes_are_rounded_up(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(_gradient((101, 51))))
    assert data.read_image(path, at_least=(50, 25)).shape == (51, 26, 3)


def test_a_photograph_on_its_side(tmp_path):
    """The sufficient size refers to the upright image."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(_gradient((80, 240)), exif=exif))
    assert data.read_image(path).shape == (240, 80, 3)
    assert data.read_image(path, at_least=(120, 40)).shape == (120, 40, 3)
    assert data.read_image(path, at_least=(40, 80)).shape == (240, 80, 3)


def test_other_files_are_read_whole(tmp_path):
    (tmp_path / "a.png").write_bytes(png(_gradient((200, 320))))
    assert data.read_image(tmp_path / "a.png", at_least=(10, 10)).shape == (200, 320, 3)


def test_grey_jpeg(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(_gradient((64, 64))[..., 0]))
    assert data.read_image(tmp_path / "a.jpg", at_least=(16, 16)).shape == (16, 16, 3)


@pytest.mark.parametrize("at_least", [(0, 5), (5,)])
def test_refuses(tmp_path, at_least):
    (tmp_path / "a.png").write_bytes(png(_gradient((8, 8))))
    with pytest.raises(ValueError, match="at_least must be a positive height and width in pixels"):
        data.read_image(tmp_path / "a.png", at_least=at_least)


def _grey_png(label, bits):
    """A grey PNG of any bit depth; Pillow writes only 1, 8 and 16."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    digits = (label[..., None] >> np.arange(bits)[::-1] & 1).reshape(len(label), -1)
    rows = b"".join(b"\0" + np.packbits(row).tobytes() for row in digits.astype(np.uint8))
    header = struct.pack(">IIBBBBB", label.shape[1], label.shape[0], bits, 0, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + content


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_masks_of_few_bits_hold_the_numbers_stored(tmp_path, bits):
    label = np.arange(2**bits, dtype=np.uint8).reshape(2, -1)
    (tmp_path / "a.png").write_bytes(_grey_png(label, bits))
    read = data.read_mask(tmp_path / "a.png")
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, label)
    assert decode_mask((tmp_path / "a.png").read_bytes(), "a").tolist() == label.tolist()


def test_masks_of_many_bits(tmp_path):
    (tmp_path / "a.png").write_bytes(png(np.arange(6, dtype=np.uint16).reshape(2, 3)))
    with pytest.raises(
        ValueError, match=r"a\.png: a mask must have 8 bits a pixel, this one has 16 or more .*; its labels"
    ):
        data.read_mask(tmp_path / "a.png")


def _grey_tiff(label, bits, photometric):
    """A TIFF of one strip, uncompressed; photometric 0 says that 0 is white."""
    digits = (label[..., None] >> np.arange(bits)[::-1] & 1).reshape(len(label), -1)
    strip = b"".join(np.packbits(row).tobytes() for row in digits.astype(np.uint8))
    size = {256: label.shape[1], 257: len(label), 278: len(label), 279: len(strip)}
    tags = size | {258: bits, 259: 1, 262: photometric, 273: 122, 277: 1}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + strip


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("photometric", [0, 1])
def test_the_numbers_of_a_mask_are_those_in_its_file_whatever_is_white(bits, photometric):
    """Pillow inverts grey whose white is 0: class 1 of 8 bits would read as 254."""
    label = np.arange(2**bits, dtype=np.uint8).reshape(2, -1)
    np.testing.assert_array_equal(decode_mask(_grey_tiff(label, bits, photometric), "a.tif"), label)


def test_a_compressed_mask_whose_white_is_zero(tmp_path):
    """Another decoder, libtiff, with its own description of the pixels."""
    label = np.arange(60, dtype=np.uint8).reshape(6, 10)
    Image.fromarray(255 - label).save(tmp_path / "a.tif", compression="tiff_lzw", tiffinfo={262: 0})
    with Image.open(tmp_path / "a.tif") as image:
        assert image.getexif()[262] == 0
        white = np.array(image)
    np.testing.assert_array_equal(data.read_mask(tmp_path / "a.tif"), 255 - white)


@pytest.mark.parametrize("header", [b"P1", b"P4"])
def test_the_numbers_of_a_bitmap_are_those_in_its_file(header):
    """In a PBM 1 is black, which Pillow makes 0."""
    pixels = b"0 1 1 0\n" if header == b"P1" else bytes([0b01100000])
    assert decode_mask(header + b"\n4 1\n" + pixels, "a.pbm").tolist() == [[0, 1, 1, 0]]


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("largest", [1, 20, 127, 128, 254, 255])
def test_the_numbers_of_a_greymap_are_those_in_its_file(plain, largest):
    """Pillow stretches the largest number that the file states to 255: class 1 of 20 would read as 13."""
    label = np.arange(largest + 1, dtype=np.uint8)
    pixels = " ".join(map(str, label)).encode() if plain else label.tobytes()
    content = (b"P2" if plain else b"P5") + f"\n{len(label)} 1\n{largest}\n".encode() + pixels + b"\n"
    np.testing.assert_array_equal(decode_mask(content, "a.pgm"), label[None])


def test_masks_of_sixteen_bits_that_pillow_halves():
    """Of a 16-bit SGI file Pillow keeps the upper half of each number: class 1 would read as 0."""
    header = struct.pack(">HBBHHHH", 474, 0, 2, 2, 2, 1, 1).ljust(512, b"\0")
    with pytest.raises(ValueError, match=r"a\.sgi: a mask must have 8 bits a pixel, this one has 16 or more"):
        decode_mask(header + struct.pack(">HH", 1, 2), "a.sgi")


@pytest.mark.parametrize(("kind", "suffix"), [("GIF", "gif"), ("PNG", "apng"), ("WEBP", "webp")])
def test_animations_are_refused_as_pages_are(tmp_path, kind, suffix):
    """All frames but the first would be lost in silence; one frame is an image."""
    frames = [Image.fromarray(np.full((6, 9), number, np.uint8)) for number in (10, 200)]
    path = tmp_path / f"a.{suffix}"
    frames[0].save(path, kind, save_all=True, append_images=frames[1:])
    readers = (data.read_image, data.read_mask) if kind != "WEBP" else (data.read_image,)
    for read in readers:
        with pytest.raises(ValueError, match=rf"a\.{suffix}: .*an animation, of which only the first .*store frames"):
            read(path)
    frames[0].save(path, kind, save_all=True)
    assert data.read_image(path).shape == (6, 9, 3)
