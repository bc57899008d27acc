"""A user's own images and masks: `{root}/{split}/{images,labels}`."""

import shlex
from pathlib import Path

from ._classes import CLASS_FILES, CLASSES_EXAMPLE, Classes, load_classes
from ._files import IMAGE_SUFFIXES, decode_view, existing, file_size, read_mask, read_mask_size
from ._source import InvalidDataError, Record, checked_index, label_problems

_LISTED = 10


class FolderSource:
    """A split of a folder of images and masks.

        {root}/classes.yaml
        {root}/{split}/images/street.jpg
        {root}/{split}/labels/street.png

    An image (JPEG, PNG, BMP, WebP or TIFF of any mode) and its mask (PNG, 8-bit grey or palette) share the name up to
    the suffix. The numbers stored in a mask are the labels, 255 is ignored. Examples are in the order of their names.
    CamVid is such a folder with the classes `CAMVID`.

    Construction compares the names only; `check_source` reads every file.

    Args:
      root: the folder of all splits.
      split: name of the split's folder, such as "train".
      classes: the classes; None reads `classes.yaml`, `.yml` or `.json` in `root`.

    Raises:
      FileNotFoundError: a folder is missing, or no classes are given.
      ValueError: the split is empty, or images and masks do not pair up.

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

    def __init__(self, root: str | Path, split: str, classes: Classes | None = None):
        root = Path(root)
        _check_folders(root, split)
        self._pairs = _pairs(root / split)
        self._classes = find_classes(root, classes)
        self._description = f"FolderSource({str(root)!r}, {split!r})"

    @property
    def classes(self) -> Classes:
        """Names and colours of the labels."""
        return self._classes

    def __len__(self) -> int:
        return len(self._pairs)

    def __repr__(self) -> str:
        return self._description

    def __getitem__(self, index: int) -> Record:
        """Reads image and mask. Raises InvalidDataError with the name of the file and everything wrong with it."""
        return self.read(index)

    def read(self, index: int, at_least: tuple[int, int] | None = None) -> Record:
        """Reads image and mask, the image perhaps smaller: see `at_least` of `read_view`. The mask is always whole.

        Raises InvalidDataError with the name of the file and everything wrong with it.
        """
        image_path, mask_path = self._pairs[checked_index(index, len(self))]
        problems: list[str] = []
        view = label = None
        try:
            view = decode_view(existing(image_path), str(image_path), at_least)
        except (ValueError, FileNotFoundError) as error:
            problems.append(str(error))
        try:
            label = read_mask(mask_path)
        except (ValueError, FileNotFoundError) as error:
            problems.append(str(error))
        if view is None or label is None:
            raise InvalidDataError(tuple(problems))
        if view.size != label.shape:
            problems.append(
                f"{mask_path}: the mask is {label.shape[0]} x {label.shape[1]} pixels high and wide, its image "
                f"{view.size[0]} x {view.size[1]}; make them the same"
            )
        problems.extend(label_problems(label, self._classes, str(mask_path)))
        if problems:
            raise InvalidDataError(tuple(problems))
        return {**view.entries(), "label": label}

    def name(self, index: int) -> str:
        """The common name of image and mask, without the suffix."""
        return self._pairs[checked_index(index, len(self))][0].stem

    def size(self, index: int) -> tuple[int, int]:
        """Height and width in pixels, from the header of the mask: an image may be stored on its side."""
        return read_mask_size(self._pairs[checked_index(index, len(self))][1])

    def file_sizes(self, index: int) -> tuple[int, int]:
        """Sizes of image and mask in bytes: they tell data sets of the same names apart, and nothing is read."""
        image, mask = self._pairs[checked_index(index, len(self))]
        return file_size(image), file_size(mask)


def find_classes(root: str | Path, classes: Classes | None = None) -> Classes:
    """The classes of a folder data set: those given, else those of the file in its root.

    Args:
      root: the folder that holds `classes.yaml`, `classes.yml` or `classes.json`.
      classes: what to return in place of the file's content.

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
        f"{root}: no classes.yaml, classes.yml or classes.json tells the classes; write one line a class, in the order "
        f"of the labels, into {Path(root) / CLASS_FILES[0]}, for example\n{CLASSES_EXAMPLE}"
    )


def _check_folders(root: Path, split: str) -> None:
    folders = {"images": root / split / "images", "labels": root / split / "labels"}
    if all(folder.is_dir() for folder in folders.values()):
        return

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
    raise FileNotFoundError(message)


def _pairs(folder: Path) -> tuple[tuple[Path, Path], ...]:
    """Image and mask of every example, by name."""
    images, masks = _by_stem(folder / "images", IMAGE_SUFFIXES), _by_stem(folder / "labels", (".png",))
    if not images and not masks:
        raise ValueError(
            f"{folder}: the split is empty; put images ({', '.join(s[1:] for s in IMAGE_SUFFIXES)}) into images/ and "
            "masks (png) of the same names into labels/, without sub-folders"
        )
    problems = []
    if lonely := sorted(images.keys() - masks.keys()):
        problems.append(
            f"{_some(lonely)} in images/ without a mask; a mask is labels/NAME.png (only PNG keeps the indices exact)"
        )
    if lonely := sorted(masks.keys() - images.keys()):
        problems.append(f"{_some(lonely)} in labels/ without an image; add or remove files until the names agree")
    if problems:
        raise ValueError("\n".join(f"{folder}: {problem}" for problem in problems))
    return tuple((images[stem], masks[stem]) for stem in sorted(images))


def _by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        # File managers leave hidden files behind, such as ._street.jpg.
        if path.suffix.lower() not in suffixes or path.name.startswith("."):
            continue
        if path.stem in found:
            raise ValueError(f"{folder}: {found[path.stem].name} and {path.name} share a name; rename or remove one")
        found[path.stem] = path
    return found


def _some(names: list[str]) -> str:
    """The number of names, and the first of them."""
    listed = ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
    return f"{len(names)} {'file' if len(names) == 1 else 'files'} ({listed})"
