"""Parts of a PNG that Pillow skips or refuses: EXIF data after the pixels, and text beyond its limit."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from PIL import Image

_MAX_EXIF_BYTES = 2**16
_TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")


def read_late_exif(image: Image.Image, stream: IO[bytes]) -> None:
    """EXIF data after the pixels, which Pillow only reads once it has decoded the pixels."""
    begin = stream.tell()
    for kind, place, end in _chunks(stream):
        if kind == b"eXIf":
            stream.seek(place + 8)
            image.info["exif"] = b"Exif\0\0" + stream.read(min(end - place - 12, _MAX_EXIF_BYTES))
    stream.seek(begin)


def is_of_text(error: ValueError) -> bool:
    """Whether Pillow refuses a PNG only because it holds more text than its limit."""
    return "MAX_TEXT_CHUNK" in str(error) or "text chunks" in str(error)


def without_text(file: Path | bytes) -> bytes:
    """A PNG without its text chunks, of which Pillow reads at most 1 MB."""
    content = file if isinstance(file, bytes) else file.read_bytes()
    kept = [content[place:end] for kind, place, end in _chunks(io.BytesIO(content)) if kind not in _TEXT_CHUNKS]
    return b"".join([content[:8], *kept])


def _chunks(stream: IO[bytes]) -> Iterator[tuple[bytes, int, int]]:
    """The chunks of a PNG: kind, begin and end."""
    place = 8
    while True:
        stream.seek(place)
        head = stream.read(8)
        if len(head) < 8:
            return
        end = place + 12 + int.from_bytes(head[:4], "big")
        yield head[4:], place, end
        place = end
