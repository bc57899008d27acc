"""The files of a data set as it was published: in a folder, in archives, or in both."""

import fnmatch
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from ._archive import Archive, open_archive
from ._file import File, join, unreadable

_MAX_DEPTH = 64


class SourceTree:
    """Folders and archives as one tree: the files in a folder, and those in the archives beside it.

    Args:
      root: a folder, or one archive.
      archives: patterns of the paths of archives in `root` whose members belong to the tree.
      scratch: a folder for decompressed archives; it is created when needed.

    Raises:
      FileNotFoundError: there is no such folder or file.
      ValueError: an archive is damaged or of an unknown kind.
    """

    def __init__(self, root: Path, archives: Sequence[str], scratch: Path):
        self.root = root
        if root.is_dir():
            found = sorted({path for pattern in archives for path in root.glob(pattern) if path.is_file()})
            self._layers: list[_Folder | Archive] = [_Folder(root), *(open_archive(path, scratch) for path in found)]
        elif root.is_file():
            self._layers = [open_archive(root, scratch)]
        else:
            raise FileNotFoundError(f"{root}: no such folder or archive")
        self._listed: dict[str, dict[str, File]] = {}

    def files(self, folder: str, suffixes: Sequence[str] = ()) -> dict[str, File]:
        """The files right inside a folder by name, sorted; of given suffixes if any are given. None: no folder."""
        if folder not in self._listed:
            merged: dict[str, File] = {}
            for layer in reversed(self._layers):
                merged.update(layer.files(folder))
            # File managers leave hidden files behind, such as ._street.jpg.
            self._listed[folder] = {name: merged[name] for name in sorted(merged) if not name.startswith(".")}
        listed = self._listed[folder]
        if not suffixes:
            return listed
        return {name: file for name, file in listed.items() if suffix_of(name) in suffixes}

    def folders(self, folder: str) -> list[str]:
        """The names of the folders right inside a folder, sorted."""
        names = {name for layer in self._layers for name in layer.folders(folder)}
        return sorted(name for name in names if not name.startswith((".", "__MACOSX")))

    def walk(self, folder: str, suffixes: Sequence[str] = ()) -> dict[str, File]:
        """The files inside a folder and all its folders, by their path relative to it."""
        if folder.count("/") > _MAX_DEPTH:
            raise ValueError(f"{self.root}: folders lie more than {_MAX_DEPTH} deep in each other, at {folder[:200]}")
        found = dict(self.files(folder, suffixes))
        for name in self.folders(folder):
            inside = self.walk(join(folder, name), suffixes)
            found.update((join(name, path), file) for path, file in inside.items())
        return found

    def file(self, path: str) -> File | None:
        """The file at a path, None if there is none."""
        folder, _, name = path.rpartition("/")
        return self.files(folder).get(name)

    def is_folder(self, folder: str) -> bool:
        """Whether there is such a folder."""
        return any(layer.is_folder(folder) for layer in self._layers)

    def has(self, path: str) -> bool:
        """Whether there is such a folder or file; the name of a file may be a pattern."""
        folder, _, pattern = path.rpartition("/")
        return self.is_folder(path) or any(fnmatch.fnmatchcase(name, pattern) for name in self.files(folder))

    def locate(self, candidates: Iterable[str], marker: str = "") -> str | None:
        """The first of some folders in which the folder `marker` lies."""
        return next((base for base in candidates if self.is_folder(join(base, marker))), None)

    def close(self) -> None:
        """Closes the archives."""
        for layer in self._layers:
            layer.close()


def suffix_of(name: str) -> str:
    """The suffix of the name of a file in lower case, such as .png."""
    return os.path.splitext(name)[1].lower()


class _Folder:
    def __init__(self, root: Path):
        self._root = root

    def files(self, folder: str) -> dict[str, File]:
        return {entry.name: _file(entry) for entry in self._entries(folder) if not entry.is_dir()}

    def folders(self, folder: str) -> list[str]:
        return [entry.name for entry in self._entries(folder) if entry.is_dir()]

    def is_folder(self, folder: str) -> bool:
        return (self._root / folder).is_dir()

    def close(self) -> None:
        pass

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        if not self.is_folder(folder):
            return []
        with os.scandir(self._root / folder) as entries:
            return list(entries)


def _file(entry: os.DirEntry[str]) -> File:
    """A file; anything else becomes a file that cannot be read, so the report names it instead of leaving it out."""
    if entry.is_file():
        return File(entry.path, Path(entry.path).read_bytes)
    if entry.is_symlink():
        return unreadable(
            entry.path,
            f"is a link to {os.readlink(entry.path)}, where nothing is; is that disk mounted? mount or remove it",
        )
    return unreadable(entry.path, "is neither a file nor a folder; remove it")
