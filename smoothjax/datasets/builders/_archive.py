"""Reads members of an archive by their position, within limits.

A received archive may name its members in any way, and hold far more than its size shows. Nothing of it is written to
disk except the decompressed copy of a compressed tar, whose members cannot be read by position.
"""

import bz2
import gzip
import lzma
import os
import posixpath
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from ._file import File, join, unreadable

_COMPRESSED = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
_MAX_MEMBERS = 4_000_000
_MAX_DEPTH = 64
_MAX_MEMBER_BYTES = 2**31
# Photographs and masks shrink to a hundredth at most; below this size a large ratio costs nothing.
_MAX_RATIO, _FREE_BYTES = 200, 2**28
_BLOCK = 2**20


class Archive:
    """Files and folders of an archive.

    Args:
      path: of the archive.
      members: for each member its name in the archive and a function that reads it.
      close: called at the end.

    Raises:
      ValueError: there are too many names, a name is too deep or leads out of the archive, or two names mean the same
        place.
    """

    def __init__(self, path: Path, members: Iterable[tuple[str, File]], close: Callable[[], None]):
        self._files: dict[str, dict[str, File]] = defaultdict(dict)
        self._folders: dict[str, dict[str, None]] = defaultdict(dict)
        self.close = close
        for folder, name, file in _placed(path, members):
            self._files[folder][name] = file
            while folder and folder not in self._folders:
                self._folders[folder] = {}
                folder = folder.rpartition("/")[0]
        for inner in [*self._folders]:
            parent, _, name = inner.rpartition("/")
            self._folders[parent][name] = None

    def files(self, folder: str) -> dict[str, File]:
        """The files right inside a folder, by name."""
        return self._files.get(folder, {})

    def folders(self, folder: str) -> list[str]:
        """The names of the folders right inside a folder."""
        return [name for name in self._folders.get(folder, ()) if name]

    def is_folder(self, folder: str) -> bool:
        """Whether there is such a folder."""
        return not folder or folder in self._folders


def open_archive(path: Path, scratch: Path) -> Archive:
    """Opens a zip or tar archive; a compressed tar is decompressed into the folder `scratch`.

    Raises:
      OSError: the disk is full, or the file cannot be read.
      ValueError: the archive is damaged, of another kind, or beyond a limit.
    """
    try:
        return _open_zip(path) if zipfile.is_zipfile(path) else _open_tar(path, scratch)
    except ValueError as error:
        # Ours name the archive already.
        if str(error).startswith(str(path)):
            raise
        raise _damaged(path, error) from error
    except OSError as error:
        if error.errno is not None:  # such as a full disk
            raise
        raise _damaged(path, error) from error
    # A damaged archive makes the readers raise errors of many types.
    except Exception as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{path}: cannot be opened as an archive, zip or tar ({error}); download it again, or unpack it and name the "
        "folder"
    )


def _placed(path: Path, members: Iterable[tuple[str, File]]) -> Iterator[tuple[str, str, File]]:
    """Folder and name of each member, without `./` and `//`."""
    written: dict[str, str] = {}
    for count, (name, file) in enumerate(members):
        if count == _MAX_MEMBERS:
            raise ValueError(f"{path}: holds more than {_MAX_MEMBERS:,} members; unpack it and name the folder")
        place = _normalized(name)
        if ".." in place.split("/"):
            raise ValueError(f"{path}:{name[:200]}: leads out of the archive; remove this member")
        if place.count("/") > _MAX_DEPTH:
            raise ValueError(f"{path}:{name[:200]}...: lies more than {_MAX_DEPTH} folders deep; remove this member")
        # A member written twice is an update and the last one counts; two spellings of one place are an error.
        if written.setdefault(place, name) != name:
            raise ValueError(f"{path}: {written[place]} and {name} are the same place; remove one of them")
        if place:
            folder, _, last = place.rpartition("/")
            yield folder, last, file


def _normalized(name: str) -> str:
    return join(*(part for part in name.split("/") if part != "."))


def _reader(path: Path, name: str, read: Callable[[], bytes]) -> File:
    def content() -> bytes:
        try:
            return read()
        # A bad checksum, an unknown compression, a password, a file that ends too early.
        except Exception as error:
            raise ValueError(f"{path}:{name}: cannot be read from the archive ({error}); download it again") from error

    return File(f"{path}:{name}", content)


def _open_zip(path: Path) -> Archive:
    archive = zipfile.ZipFile(path)

    def member(info: zipfile.ZipInfo) -> File:
        ratio = info.file_size / max(info.compress_size, 1)
        if info.file_size > _MAX_MEMBER_BYTES or (info.file_size > _FREE_BYTES and ratio > _MAX_RATIO):
            return unreadable(
                f"{path}:{info.filename}",
                f"decompresses from {info.compress_size:,} to {info.file_size:,} bytes, more than a file of a data "
                "set; remove it, or unpack the archive and name the folder",
            )
        return _reader(path, info.filename, lambda: archive.read(info))

    # Some programs for Windows write backslashes, which the format does not allow.
    members = ((info.filename.replace("\\", "/"), member(info)) for info in archive.infolist() if not _is_folder(info))
    return Archive(path, members, archive.close)


def _is_folder(info: zipfile.ZipInfo) -> bool:
    return info.filename.endswith(("/", "\\"))


def _open_tar(path: Path, scratch: Path) -> Archive:
    """Reads members by their position in the file; a compressed file does not allow that and is decompressed first."""
    with path.open("rb") as file:
        decompress = _COMPRESSED.get(file.read(2))
    plain = path
    if decompress is not None:
        scratch.mkdir(parents=True, exist_ok=True)
        plain = scratch / f"{path.name}.tar"
        with decompress(path, "rb") as compressed, plain.open("wb") as out:
            _copy(compressed, out, path)
    descriptor = os.open(plain, os.O_RDONLY)
    try:
        with tarfile.open(plain, "r:") as archive:
            members = [*_tar_members(path, archive, descriptor)]
        return Archive(path, members, lambda: os.close(descriptor))
    except BaseException:
        os.close(descriptor)
        raise


def _copy(compressed: BinaryIO, out: BinaryIO, path: Path) -> None:
    limit = max(_FREE_BYTES, _MAX_RATIO * path.stat().st_size)
    written = 0
    while block := compressed.read(_BLOCK):
        written += len(block)
        if written > limit:
            raise ValueError(
                f"{path}: decompresses from {path.stat().st_size:,} to more than {limit:,} bytes, more than a data set "
                "does; if that is right, decompress it yourself and name the result"
            )
        out.write(block)


def _tar_members(path: Path, archive: tarfile.TarFile, descriptor: int) -> Iterator[tuple[str, File]]:
    """The files; a link to another member is that member, and any other link is a file that cannot be read."""
    places: dict[str, tuple[int, int]] = {}
    links: list[tuple[str, str]] = []
    for info in archive:
        name = f"{path}:{info.name}"
        if info.issparse():
            yield info.name, unreadable(name, "is stored with holes (sparse); unpack the archive and name the folder")
        elif info.isfile():
            places[_normalized(info.name)] = (info.offset_data, info.size)
            yield info.name, _slice(path, info.name, descriptor, info.offset_data, info.size)
        elif info.islnk():
            links.append((info.name, _normalized(info.linkname)))
        elif info.issym():
            beside = posixpath.join(posixpath.dirname(_normalized(info.name)), info.linkname)
            links.append((info.name, posixpath.normpath(beside)))
        elif not info.isdir():
            yield info.name, unreadable(name, "is neither a file nor a folder; remove it")
    targets = dict(links)
    for name, target in links:
        # A link may name another link; as many steps as there are links end every chain.
        for _ in range(len(links)):
            if target in places or target not in targets:
                break
            target = targets[target]
        if target in places:
            yield name, _slice(path, name, descriptor, *places[target])
        else:
            yield name, unreadable(f"{path}:{name}", f"is a link to {target}, which the archive does not hold; add it")


def _slice(path: Path, name: str, descriptor: int, offset: int, size: int) -> File:
    def read() -> bytes:
        if size > _MAX_MEMBER_BYTES:
            raise ValueError(f"its {size:,} bytes are more than a file of a data set")
        content = os.pread(descriptor, size, offset)
        if len(content) != size:
            raise EOFError("the archive ends too early")
        return content

    return _reader(path, name, read)
