"""CelebA: aligned faces, from a folder or directly from the published zip file."""

import threading
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from ..files import explain, read_text
from ._files import decode_image, file_size
from ._source import InvalidDataError, Record, checked_index

_ARCHIVE, _FOLDER, _PARTITION = "img_align_celeba.zip", "img_align_celeba", "list_eval_partition.txt"
_SPLITS = {"train": "0", "val": "1", "test": "2"}

# As parts of the width: the side of the square, and the distance of its centre from the top. The aligned faces have
# their eyes at 0.62 and their chin at about 1.03 of the width; most are some 0.5 wide.
_SIDE, _CENTRE = 0.6, 0.75
_LISTED = 5
_MAX_BYTES = 2**26


class CelebASource:
    """A split of the aligned faces of CelebA, cropped to the face and resized to a square.

        {root}/img_align_celeba.zip       as it is distributed, or
        {root}/img_align_celeba/*.jpg     unpacked
        {root}/list_eval_partition.txt    lines "000001.jpg 0": 0 is train, 1 val, 2 test

    `crop_face` removes the background. It measures in parts of the width, so the published 178x218 images and smaller
    copies give the same faces. Construction only compares the names. Reading is safe from several threads.

    Args:
      root: the folder, or the zip file itself; the list lies beside it.
      split: "train", "val" or "test".
      size: height and width of the result in pixels.

    Raises:
      FileNotFoundError: images or the list are missing, or an image that the list names.
      ValueError: the split is unknown or empty, size is not positive, or a file is damaged.

    Example:
      >>> import pathlib, tempfile
      >>> from PIL import Image
      >>> with tempfile.TemporaryDirectory() as root:
      ...     folder = pathlib.Path(root, "img_align_celeba")
      ...     folder.mkdir()
      ...     Image.new("RGB", (178, 218)).save(folder / "000001.jpg")
      ...     _ = pathlib.Path(root, "list_eval_partition.txt").write_text("000001.jpg 0")
      ...     source = CelebASource(root, "train")
      ...     len(source), source.name(0), source[0]["image"].shape
      (1, '000001', (64, 64, 3))

    References:
      Liu et al., Deep Learning Face Attributes in the Wild, ICCV 2015; Gao et al., Pixel Deconvolutional Networks,
      2017, Sec. 3.2 (only facial information is retained).
    """

    def __init__(self, root: str | Path, split: str, *, size: int = 64):
        if split not in _SPLITS:
            raise ValueError(f"split must be one of {', '.join(_SPLITS)}, got {split!r}")
        if size < 1:
            raise ValueError(f"size must be at least 1 pixel, got {size}")
        root = Path(root)
        self._images = _find_images(root)
        partition = (root if root.is_dir() and root.name != _FOLDER else root.parent) / _PARTITION
        self._names = _read_partition(partition, split)
        self._images.check(self._names, partition)
        self._size, self._description = size, f"CelebASource({str(root)!r}, {split!r}, size={size})"

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return self._description

    def __getitem__(self, index: int) -> Record:
        """Reads an image, uint8 `[size, size, 3]`. Raises InvalidDataError with the name of a damaged one."""
        name = self._names[checked_index(index, len(self))]
        where = f"{self._images.path}, {name}"
        try:
            return {"image": crop_face(decode_image(self._images.read(name), where), self._size, name=where)}
        except (ValueError, OSError, zipfile.BadZipFile, zlib.error) as error:
            known = isinstance(error, ValueError)
            problem = str(error) if known else f"{where}: cannot be read ({explain(error)}); complete the data set"
            raise InvalidDataError((problem,)) from error

    def name(self, index: int) -> str:
        """The name of the file without its suffix, such as 000001."""
        return Path(self._names[checked_index(index, len(self))]).stem

    def size(self, index: int) -> tuple[int, int]:
        """Height and width in pixels, the same for every index."""
        del index
        return self._size, self._size

    def file_sizes(self, index: int) -> tuple[int]:
        """Size of the image file in bytes, of a zip file as its directory states it."""
        return (self._images.byte_size(self._names[checked_index(index, len(self))]),)


def crop_face(image: np.ndarray, size: int = 64, *, name: str = "image") -> np.ndarray:
    """Cuts the face out of an aligned image of CelebA and resizes it to a square.

    The square has 0.6 of the width as its side, and its centre lies in the middle of the width and 0.75 of the width
    below the top. Eyebrows and chin are in, hair mostly is not. It is resampled bicubically, antialiased when it
    shrinks.

    Args:
      image: uint8 `[H, W, 3]`, 178 pixels wide and 218 high, or scaled in proportion.
      size: height and width of the result in pixels.
      name: what errors call the image.

    Returns:
      uint8 `[size, size, 3]`.

    Raises:
      ValueError: the image ends above the chin.

    Example:
      >>> import numpy as np
      >>> crop_face(np.zeros((109, 89, 3), np.uint8), 32).shape
      (32, 32, 3)
    """
    height, width = image.shape[:2]
    side, middle, centre = _SIDE * width, width / 2, _CENTRE * width
    if centre + side / 2 > height:
        raise ValueError(
            f"{name}: is {width} x {height} pixels wide and high, too low for an aligned face; these have 178 x 218, "
            "or are scaled in proportion"
        )
    box = (middle - side / 2, centre - side / 2, middle + side / 2, centre + side / 2)
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC, box=box))


class _Folder:
    """Images in a folder."""

    def __init__(self, path: Path):
        self.path = path

    def read(self, name: str) -> bytes:
        """The content of a file."""
        return (self.path / name).read_bytes()

    def byte_size(self, name: str) -> int:
        """The size of a file."""
        return file_size(self.path / name)

    def names(self) -> Iterable[str]:
        """The names of the files."""
        return {path.name for path in self.path.iterdir()}

    def check(self, wanted: Iterable[str], partition: Path) -> None:
        """Refuses a list that names what is not there."""
        if missing := sorted(set(wanted) - set(self.names())):
            more = ", ..." if len(missing) > _LISTED else ""
            raise FileNotFoundError(
                f"{self.path} lacks {len(missing)} of the images that {partition} names "
                f"({', '.join(missing[:_LISTED])}{more}); complete it, or shorten the list"
            )


class _Zip(_Folder):
    """Images in a zip file, in whatever folder inside."""

    def __init__(self, path: Path):
        super().__init__(path)
        try:
            self._file = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise ValueError(f"{path} is not a zip file, or only a part of one ({error}); download it again") from error
        self._members: dict[str, zipfile.ZipInfo] = {}
        for info in self._file.infolist():
            name = Path(info.filename).name
            if info.is_dir() or name.startswith("."):
                continue
            if name in self._members:
                raise ValueError(
                    f"{path}: {self._members[name].filename} and {info.filename} have one name; remove one of them"
                )
            self._members[name] = info
        self._lock = threading.Lock()

    def read(self, name: str) -> bytes:
        member = self._members[name]
        if member.file_size > _MAX_BYTES:
            raise ValueError(f"{self.path}, {name}: decompresses to {member.file_size:,} bytes, more than a photograph")
        # The threads share one position in the file. Decoding, which takes longer, is outside the lock.
        with self._lock:
            return self._file.read(member)

    def byte_size(self, name: str) -> int:
        return self._members[name].file_size

    def names(self) -> Iterable[str]:
        return self._members

    def __reduce__(self):
        # A process of its own opens the file again.
        return type(self), (self.path,)


def _find_images(root: Path) -> _Folder:
    if root.is_file():
        return _Zip(root)
    if (root / _FOLDER).is_dir():
        return _Folder(root / _FOLDER)
    if (root / _ARCHIVE).is_file():
        return _Zip(root / _ARCHIVE)
    if root.is_dir() and root.name == _FOLDER:
        return _Folder(root)
    if root.is_dir():
        raise FileNotFoundError(
            f"{root} holds neither {_ARCHIVE} nor {_FOLDER}/; give the folder that holds one of them and {_PARTITION}"
        )
    raise FileNotFoundError(
        f"{root}: no such file or folder; give {_ARCHIVE}, or the folder that holds it, with {_PARTITION} beside it"
    )


def _read_partition(path: Path, split: str) -> tuple[str, ...]:
    """The names of the images of a split."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: it assigns images to splits; CelebA distributes it in its folder Eval, with "
            'lines "000001.jpg 0" (0 train, 1 val, 2 test)'
        )
    names = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        parts = line.split()
        if not parts:
            continue
        if len(parts) != 2 or parts[1] not in _SPLITS.values():
            raise ValueError(
                f'{path}, line {number}: expected "NAME.jpg 0", 1 or 2 for train, val or test, got {line!r}'
            )
        if parts[1] == _SPLITS[split]:
            names.append(parts[0])
    if not names:
        raise ValueError(f"{path} gives no image to the split {split!r}; lines of that split end in {_SPLITS[split]}")
    return tuple(names)
