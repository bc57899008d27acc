"""A user's own images and masks: `{root}/{split}/{images,labels}`."""

import shlex
import unicodedata
from collections.abc import Collection, Iterable
from pathlib import Path

from ._channels import ARRAY_SUFFIX, check_channels
from ._classes import CLASS_FILES, CLASSES_EXAMPLE, Classes, load_classes
from ._files import IMAGE_SUFFIXES, OTHER_SUFFIXES, decode_view, existing, file_size
from ._masks import decode_label
from ._open import Decoded, SizeDiffersError, header_size
from ._source import InvalidDataError, Record, checked_index, label_problems

_LISTED = 10
# The labels of a mask whose size differs from its image are still checked, unless it is larger than both.
_SMALL = 2**24


class FolderSource:
    """A split of a folder of images and masks.

        {root}/classes.yaml
        {root}/{split}/images/street.jpg
        {root}/{split}/labels/street.png

    An image of any kind in `IMAGE_SUFFIXES` and any mode, and its mask (PNG) share the name up to the suffix. The
    numbers stored in a grey or palette mask are the labels, 255 is ignored, unless the classes give them other values;
    coloured masks are read by the colours of the classes, see `load_classes`. Examples are in the order of their names.
    CamVid is such a folder with the classes `CAMVID`.

    Construction compares the names only; `check_source` reads every file.

    Args:
      root: the folder of all splits.
      split: name of the split's folder, such as "train".
      classes: the classes; None reads `classes.yaml`, `.yml` or `.json` in `root`.
      mask_suffix: suffix of the names of masks, such as "_mask" for street_mask.png.
      white: the largest number of 16-bit images, see `read_image`.
      channels: 3 for RGB, 1 for grey, or the number of channels in the files, see `read_image`.

    Raises:
      FileNotFoundError: a folder is missing, or no classes are given.
      ValueError: the split is empty, images and masks do not pair up, or a folder holds files that would not be read.

    Example:
      >>> import pathlib, tempfile
      >>> from PIL import Image
      >>> with tempfile.TemporaryDirectory() as root:
      ...     for kind, mode in (("images", "RGB"), ("labels", "L")):
      ...         folder = pathlib.Path(root, "train", kind)
      ...         folder.mkdir(parents=True)
      ...         Image.new(mode, (4, 3)).save(folder / "street.png")
      ...     source = FolderSource(root, "train", Classes(("road",), ((128, 64, 128),)))
      ...     len(source), source.name(0), source[0]["label"].shape
      (1, 'street', (3, 4))
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        classes: Classes | None = None,
        *,
        mask_suffix: str = "",
        white: int | None = None,
        channels: int = 3,
    ):
        root = Path(root)
        check_channels(channels)
        _check_folders(root, split)
        suffixes = IMAGE_SUFFIXES if channels == 3 else (*IMAGE_SUFFIXES, ARRAY_SUFFIX)
        self._pairs = _pairs(root / split, mask_suffix, suffixes)
        self._on_disk, self._white, self._channels = find_classes(root, classes), white, channels
        self._description = f"FolderSource({str(root)!r}, {split!r})"

    @property
    def classes(self) -> Classes:
        """Names and colours of the labels."""
        return self._on_disk.by_index()

    def __len__(self) -> int:
        return len(self._pairs)

    def __repr__(self) -> str:
        return self._description

    def __getitem__(self, index: int) -> Record:
        """Reads image and mask. Raises InvalidDataError with the name of the file and all its problems."""
        return self.read(index)

    def read(self, index: int, at_least: tuple[int, int] | None = None) -> Record:
        """Reads image and mask, the image perhaps smaller: see `at_least` of `read_view`. The mask is always whole.

        Raises InvalidDataError with the name of the file and everything wrong with it.
        """
        image_path, mask_path = self._pairs[checked_index(index, len(self))]
        problems: list[str] = []
        size = view = label = None
        try:
            size = header_size(existing(mask_path), str(mask_path), upright=False)
        except (ValueError, FileNotFoundError) as error:
            problems.append(str(error))
        limit = _SMALL
        try:
            view = self._view(image_path, at_least, size)
        except SizeDiffersError as error:
            assert size is not None
            problems.append(
                f"{mask_path}: the mask is {size[0]} x {size[1]} pixels high and wide, its image {error.size[0]} x "
                f"{error.size[1]}; make them the same"
            )
            limit = max(limit, error.size[0] * error.size[1])
        except (ValueError, FileNotFoundError) as error:
            problems.append(str(error))
        if size is not None and (view is not None or size[0] * size[1] <= limit):
            try:
                label = decode_label(mask_path, str(mask_path), self._on_disk)
                problems.extend(label_problems(label, self._on_disk, str(mask_path)))
            except ValueError as error:
                problems.append(str(error))
        if problems or view is None or label is None:
            raise InvalidDataError(tuple(problems))
        return {**view.entries(), "label": label}

    def _view(self, path: Path, at_least: tuple[int, int] | None, size: tuple[int, int] | None) -> Decoded:
        return decode_view(
            existing(path), str(path), at_least, expected=size, white=self._white, channels=self._channels
        )

    def name(self, index: int) -> str:
        """The common name of image and mask, without the suffix."""
        return self._pairs[checked_index(index, len(self))][0].stem

    def size(self, index: int) -> tuple[int, int]:
        """Height and width in pixels, from the header of the mask: an image may be stored on its side."""
        mask = self._pairs[checked_index(index, len(self))][1]
        return header_size(existing(mask), str(mask), upright=False)

    def file_sizes(self, index: int) -> tuple[int, int]:
        """Sizes of image and mask in bytes: data sets of the same names differ in them, and nothing is read."""
        image, mask = self._pairs[checked_index(index, len(self))]
        return file_size(image), file_size(mask)


def find_classes(root: str | Path, classes: Classes | None = None) -> Classes:
    """The classes of a folder data set: those given, else those of the file in its root.

    Args:
      root: the folder that holds `classes.yaml`, `classes.yml` or `classes.json`.
      classes: returned in place of the file's content.

    Returns:
      The classes.

    Raises:
      FileNotFoundError: `classes` is None and there is no such file.
      ValueError: the file does not describe classes.

    Example:
      >>> find_classes("anywhere", Classes(("road",), ((128, 64, 128),))).names
      ('road',)
    """
    if classes is not None:
        return classes
    for name in CLASS_FILES:
        if (Path(root) / name).is_file():
            return load_classes(Path(root) / name)
    raise FileNotFoundError(
        f"{root}: no classes.yaml, classes.yml or classes.json names the classes; write one line a class, in the order "
        f"of the labels, into {Path(root) / CLASS_FILES[0]}, for example\n{CLASSES_EXAMPLE}"
    )


def _check_folders(root: Path, split: str) -> None:
    folders = {"images": root / split / "images", "labels": root / split / "labels"}
    if all(folder.is_dir() for folder in folders.values()):
        return
    if not root.is_dir():
        what = "a file" if root.is_file() else "not there"
        raise FileNotFoundError(f"split {split!r} of {root} is incomplete: the folder {root} is {what}; check the path")

    def line(entry: str, folder: Path) -> str:
        return f"{entry:<40} {'found' if folder.is_dir() else 'MISSING'}"

    lines = [
        line(f"{root}/", root),
        line(f"  {split}/", root / split),
        line("    images/  photographs", folders["images"]),
        line("    labels/  masks of the same name, PNG", folders["labels"]),
    ]
    message = f"split {split!r} of {root} is incomplete; expected\n" + "\n".join(lines)
    splits = sorted(path.parent.name for path in root.glob("*/images") if path.parent.name != split)
    if splits:
        message += f"\nother splits there: {', '.join(splits)}"
    if (root / "images" / split).is_dir():
        message += (
            f"\nthere is images/{split}: such folders are read once they are prepared, with "
            f"python -m smoothjax.data prepare folder --source {shlex.quote(str(root))}"
        )
    elif (root.absolute().parent / split / "images").is_dir():
        message += f"\nthe folder above it, {root.absolute().parent}, holds {split}/images: name that one"
    elif not splits:
        message += f"\npython -m smoothjax.data info {shlex.quote(str(root))} says what is in the folder"
    raise FileNotFoundError(message)


def _pairs(folder: Path, mask_suffix: str, suffixes: tuple[str, ...]) -> tuple[tuple[Path, Path], ...]:
    """Image and mask of every example, by name."""
    problems: list[str] = []
    images = _by_stem(folder / "images", suffixes, "", problems)
    masks = _by_stem(folder / "labels", (".png",), mask_suffix, problems)
    if not images and not masks and not problems:
        raise ValueError(
            f"{folder}: the split is empty; put images ({', '.join(s[1:] for s in suffixes)}) into images/ and "
            "masks (png) of the same names into labels/, without sub-folders"
        )
    if ending := _common_ending(masks, images):
        problems.append(
            f"{folder}: the names of all masks end in {ending}{mask_suffix}; take --data.mask-suffix "
            f"{ending}{mask_suffix}, mask_suffix in Python"
        )
    elif lonely := sorted(images.keys() - masks.keys()):
        problems.append(
            f"{folder}: {_some(lonely)} in images/ without a mask; a mask is labels/NAME{mask_suffix}.png (only PNG "
            "keeps the indices exact)"
        )
    if not ending and (lonely := sorted(masks.keys() - images.keys())):
        problems.append(
            f"{folder}: {_some(lonely)} in labels/ without an image; add or remove files until the names agree"
        )
    if problems:
        # Thousands of files may share one problem.
        more = [f"... and {len(problems) - 2 * _LISTED} more"] if len(problems) > 2 * _LISTED else []
        first, last = problems[:_LISTED], problems[max(_LISTED, len(problems) - _LISTED) :]
        raise ValueError("\n".join([*first, *more, *last]))
    return tuple((images[stem], masks[stem]) for stem in sorted(images))


def _common_ending(masks: Collection[str], images: Collection[str]) -> str:
    """The suffix that all masks add to the names of images; "" if it is not the same for all."""
    first = min(masks, default="")
    endings = [first.removeprefix(image) for image in images if first.startswith(image)]
    common = [
        ending
        for ending in endings
        if ending and all(name.endswith(ending) and name.removesuffix(ending) in images for name in masks)
    ]
    return common[0] if common else ""


def _by_stem(folder: Path, suffixes: tuple[str, ...], ending: str, problems: list[str]) -> dict[str, Path]:
    """The files of these suffixes by their stem without the ending; `problems` gets a line for each file left out."""
    paths, left_out = list_images(folder, suffixes)
    problems += left_out
    return by_stem(paths, problems, ending=ending)


def list_images(folder: Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> tuple[list[Path], list[str]]:
    """The images directly in a folder, and other entries that look like data.

    Skips hidden files, which file managers leave behind, and files that are not images.

    Args:
      folder: the folder.
      suffixes: suffixes of images to read.

    Returns:
      The paths in the order of their names, and a line for each folder and each image of another kind.

    Example:
      >>> import pathlib, tempfile
      >>> with tempfile.TemporaryDirectory() as name:
      ...     folder = pathlib.Path(name)
      ...     for file in ("b.png", "a.jpg", "c.heic", "notes.txt"):
      ...         folder.joinpath(file).touch()
      ...     paths, problems = list_images(folder)
      >>> [path.name for path in paths], len(problems)
      (['a.jpg', 'b.png'], 1)
    """
    paths: list[Path] = []
    problems: list[str] = []
    for path in sorted(folder.iterdir()):
        suffix = path.suffix.lower()
        if path.name.startswith(".") or path.name == "__MACOSX":
            continue
        if path.is_dir():
            problems.append(f"{path}: a folder, which is not read here; move its files up, or the folder elsewhere")
        elif suffix in suffixes:
            paths.append(path)
        elif suffix in (*IMAGE_SUFFIXES, *OTHER_SUFFIXES):
            kinds = ", ".join(kind[1:] for kind in suffixes[:_LISTED])
            problems.append(f"{path}: files of this kind are not read here, only {kinds}; convert or remove it")
    return paths, problems


def by_stem(paths: Iterable[Path], problems: list[str], *, ending: str = "") -> dict[str, Path]:
    """Files by their stem, in Unicode's composed form.

    An image and its mask may have been named on different systems, where ä is one letter or two.

    Args:
      paths: the files.
      problems: gets a line for two files of one stem, and for a stem without the ending.
      ending: an ending of the stems to remove.

    Returns:
      The files.

    Example:
      >>> by_stem([Path("a_mask.png")], [], ending="_mask")
      {'a': PosixPath('a_mask.png')}
    """
    found: dict[str, Path] = {}
    for path in paths:
        if not path.stem.endswith(ending):
            problems.append(f"{path}: its name does not end in {ending} (--data.mask-suffix); rename or remove it")
            continue
        stem = unicodedata.normalize("NFC", path.stem.removesuffix(ending))
        if stem in found:
            problems.append(f"{path.parent}: {found[stem].name} and {path.name} share a name; rename or remove one")
        found[stem] = path
    return found


def _some(names: list[str]) -> str:
    """The number of names, and the first of them."""
    listed = ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
    return f"{len(names)} {'file' if len(names) == 1 else 'files'} ({listed})"
