"""The files of a data set as it was published: in a folder, in archives, or in both."""

import bz2
import fnmatch
import gzip
import lzma
import os
import shutil
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_COMPRESSED = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}


@dataclass(frozen=True)
class File:
    """A file in a folder or an archive.

    Attributes:
      path: where it is, for a person.
      read: returns its content; safe to call from several threads.
    """

    path: str
    read: Callable[[], bytes]


class SourceTree:
    """Folders and archives as one tree: what lies in a folder, and what lies in the archives beside it.

    Args:
      root: a folder, or one archive.
      archives: patterns of the paths of archives in `root` whose members belong to the tree.
      scratch: a folder for decompressed archives; it is made when it is needed.

    Raises:
      FileNotFoundError: there is no such folder or file.
      ValueError: an archive is damaged or of an unknown kind.
    """

    def __init__(self, root: Path, archives: Sequence[str], scratch: Path):
        self.root = root
        if root.is_dir():
            found = sorted({path for pattern in archives for path in root.glob(pattern) if path.is_file()})
            self._layers: list[_Layer] = [_Folder(root), *(_open_archive(path, scratch) for path in found)]
        elif root.is_file():
            self._layers = [_open_archive(root, scratch)]
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
        return {name: file for name, file in listed.items() if os.path.splitext(name)[1].lower() in suffixes}

    def folders(self, folder: str) -> list[str]:
        """The names of the folders right inside a folder, sorted."""
        names = {name for layer in self._layers for name in layer.folders(folder)}
        return sorted(name for name in names if not name.startswith((".", "__MACOSX")))

    def walk(self, folder: str, suffixes: Sequence[str] = ()) -> dict[str, File]:
        """The files inside a folder and all its folders, by their path relative to it."""
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


def join(*parts: str) -> str:
    """A path inside a tree; empty parts vanish."""
    return "/".join(part for part in parts if part)


class _Layer(Protocol):
    def files(self, folder: str, /) -> dict[str, File]: ...

    def folders(self, folder: str, /) -> list[str]: ...

    def is_folder(self, folder: str, /) -> bool: ...

    def close(self) -> None: ...


class _Folder:
    def __init__(self, root: Path):
        self._root = root

    def files(self, folder: str) -> dict[str, File]:
        paths = [Path(entry.path) for entry in self._entries(folder) if entry.is_file()]
        return {path.name: File(str(path), path.read_bytes) for path in paths}

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


class _Archive:
    """Members by name; `read` takes what the archive knows a member by."""

    def __init__(self, path: Path, members: Iterable[tuple[str, object]], read: Callable, close: Callable[[], None]):
        self._files: dict[str, dict[str, File]] = defaultdict(dict)
        self._folders: dict[str, dict[str, None]] = defaultdict(dict)
        self.close = close
        for name, member in members:
            folder, _, last = name.removeprefix("./").rpartition("/")
            self._files[folder][last] = File(f"{path}:{name}", _reader(path, name, member, read))
            while folder:
                parent, _, last = folder.rpartition("/")
                self._folders[parent][last] = None
                folder = parent

    def files(self, folder: str) -> dict[str, File]:
        return self._files.get(folder, {})

    def folders(self, folder: str) -> list[str]:
        return list(self._folders.get(folder, ()))

    def is_folder(self, folder: str) -> bool:
        return not folder or folder in self._files or folder in self._folders


def _reader(path: Path, name: str, member: object, read: Callable) -> Callable[[], bytes]:
    def content() -> bytes:
        try:
            return read(member)
        # A bad checksum, an unknown compression, a password, a file that ends too early.
        except Exception as error:
            raise ValueError(f"{path}:{name}: cannot be read from the archive ({error}); download it again") from error

    return content


def _open_archive(path: Path, scratch: Path) -> _Archive:
    try:
        if zipfile.is_zipfile(path):
            archive = zipfile.ZipFile(path)
            members = [(info.filename, info) for info in archive.infolist() if not info.is_dir()]
            return _Archive(path, members, archive.read, archive.close)
        return _open_tar(path, scratch)
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # such as a full disk
            raise
        raise ValueError(
            f"{path}: cannot be opened as an archive, zip or tar ({error}); download it again, or unpack it and name "
            "the folder"
        ) from error


def _open_tar(path: Path, scratch: Path) -> _Archive:
    """Members are read by their place in the file, which a compressed one does not allow: it is decompressed first."""
    with path.open("rb") as file:
        decompress = _COMPRESSED.get(file.read(2))
    plain = path
    if decompress is not None:
        scratch.mkdir(parents=True, exist_ok=True)
        plain = scratch / f"{path.name}.tar"
        with decompress(path, "rb") as compressed, plain.open("wb") as out:
            shutil.copyfileobj(compressed, out, 1 << 20)
    with tarfile.open(plain, "r:") as archive:
        members = [(info.name, (info.offset_data, info.size)) for info in archive if info.isfile()]
    descriptor = os.open(plain, os.O_RDONLY)

    def read(member: tuple[int, int]) -> bytes:
        offset, size = member
        content = os.pread(descriptor, size, offset)
        if len(content) != size:
            raise EOFError("the archive ends too early")
        return content

    return _Archive(path, members, read, lambda: os.close(descriptor))
