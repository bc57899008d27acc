"""The images that a command reads, and the names of its output files."""

import glob
from collections.abc import Sequence
from pathlib import Path

from smoothjax import data


def find_images(paths: Sequence[Path]) -> list[Path]:
    """The files of paths that may be folders, or patterns that no shell has expanded.

    A folder stands for its images, in order of their names and without subfolders, or, if it holds none, for its NumPy
    arrays.

    Raises:
      FileNotFoundError: there is no such file, a folder holds no image, or nothing matches a pattern.
    """
    found: list[Path] = []
    missing = []
    for path in paths:
        if path.is_dir():
            # File managers leave hidden files behind.
            files = sorted(each for each in path.iterdir() if not each.name.startswith("."))
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
    """The base of the output names of each image: the name of its file, with its folder or ending if several share it.

    Raises:
      ValueError: an image is given twice.

    Example:
      >>> output_names([Path("a/1.png"), Path("b/1.png"), Path("b/2.png"), Path("b/2.jpg")])
      ['a_1', 'b_1', '2_png', '2_jpg']
    """
    names = [path.stem for path in paths]
    for stem, places in _by_name(names).items():
        if len(places) == 1:
            continue
        folders = [paths[place].resolve().parent.name for place in places]
        endings = [paths[place].suffix.lstrip(".") for place in places]
        by_folder, by_ending = (len(set(parts)) == len(places) for parts in (folders, endings))
        for place, folder, ending in zip(places, folders, endings, strict=True):
            if by_folder:
                names[place] = f"{folder}_{stem}"
            else:
                names[place] = f"{stem}_{ending}" if by_ending else f"{folder}_{stem}_{ending}"
    for name, places in _by_name(names).items():
        if len(places) > 1:
            same = ", ".join(str(paths[place]) for place in places)
            raise ValueError(
                f"{same}: results of these images would have the same name, {name}: name each image once, or write to "
                "different folders"
            )
    return names


def _by_name(names: Sequence[str]) -> dict[str, list[int]]:
    """The indices of each name."""
    found: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        found.setdefault(name, []).append(place)
    return found
