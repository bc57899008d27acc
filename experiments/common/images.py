"""The images that a command is given, and the names of what it makes of them."""

import glob
from collections.abc import Sequence
from pathlib import Path

from smoothjax import data


def find_images(paths: Sequence[Path]) -> list[Path]:
    """The files of paths that may be folders, or patterns that no shell has expanded.

    Of a folder these are its images, in order of their names, without those in folders within it; if it holds none, its
    NumPy arrays.

    Raises:
      FileNotFoundError: there is no such file, a folder holds no image, or nothing matches a pattern.
    """
    found: list[Path] = []
    missing = []
    for path in paths:
        if path.is_dir():
            files = sorted(path.iterdir())
            inside = [each for each in files if each.suffix.lower() in data.IMAGE_SUFFIXES]
            inside = inside or [each for each in files if each.suffix.lower() == data.ARRAY_SUFFIX]
            if not inside:
                raise FileNotFoundError(
                    f"{path} holds no images ({', '.join(data.IMAGE_SUFFIXES)}): name a folder of images, or the files"
                )
            found += inside
        elif path.exists():
            found.append(path)
        elif glob.has_magic(str(path)):
            matching = sorted(map(Path, glob.glob(str(path))))
            if not matching:
                raise FileNotFoundError(f"no file matches {path}: check the pattern, or name the files")
            found += matching
        else:
            missing.append(str(path))
    if missing:
        raise FileNotFoundError(f"no such image: {', '.join(missing)}")
    return found


def output_names(paths: Sequence[Path]) -> list[str]:
    """A name for what is made of each image: that of its file, with its folder or ending where several share it.

    Raises:
      ValueError: an image is there twice.

    Example:
      >>> output_names([Path("a/1.png"), Path("b/1.png"), Path("b/2.png"), Path("b/2.jpg")])
      ['a_1', 'b_1', '2_png', '2_jpg']
    """
    names = [path.stem for path in paths]
    for index, path in enumerate(paths):
        same = [other for other in paths if other.stem == path.stem]
        folder, ending = path.resolve().parent.name, path.suffix.lstrip(".")
        if len({other.resolve().parent.name for other in same}) == len(same):
            names[index] = f"{folder}_{path.stem}" if len(same) > 1 else path.stem
        elif len({other.suffix for other in same}) == len(same):
            names[index] = f"{path.stem}_{ending}"
        else:
            names[index] = f"{folder}_{path.stem}_{ending}"
    for name in names:
        if names.count(name) > 1:
            same = ", ".join(str(path) for path, other in zip(paths, names, strict=True) if other == name)
            raise ValueError(
                f"{same}: results of these images would have the same name, {name}: name each image once, or write to "
                "different folders"
            )
    return names
