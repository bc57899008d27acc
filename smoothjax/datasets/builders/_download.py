"""Downloads the archives of data sets that need no login."""

import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...progress import Progress

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Download:
    """A file on the web.

    Attributes:
      url: its address.
      sha256: its checksum, in hexadecimal digits.
    """

    url: str
    sha256: str


def fetch(downloads: Mapping[str, Download], folder: Path, *, progress: bool = False) -> None:
    """Downloads the files that are not in the folder yet; a file that has its final name is complete.

    Args:
      downloads: what to fetch, by the name of the file.
      folder: where to put the files; it is created.
      progress: whether to show the progress, after five seconds.

    Raises:
      OSError: a file cannot be fetched.
      ValueError: a file is not the one that was published.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, download in downloads.items():
        target = folder / name
        if target.exists():
            continue
        part = target.with_name(f"{name}.part")
        try:
            digest = _copy(download.url, part, progress)
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            raise OSError(
                f"{download.url} cannot be fetched ({error}); fetch it elsewhere, put it into a folder and name that: "
                "--source DIR"
            ) from error
        if digest != download.sha256:
            part.unlink()
            raise ValueError(
                f"{download.url} is not the file that was published: its SHA-256 is {digest}, not {download.sha256}; "
                "try again later"
            )
        os.replace(part, target)


def _copy(url: str, path: Path, progress: bool) -> str:
    digest = hashlib.sha256()
    with urllib.request.urlopen(url, timeout=60) as response, path.open("wb") as out:
        total = int(response.headers.get("Content-Length") or 0) or None
        with Progress(total and -(-total // _BLOCK), f"download {path.stem}", unit="MiB", shown=progress) as shown:
            while block := response.read(_BLOCK):
                digest.update(block)
                out.write(block)
                shown.update()
    return digest.hexdigest()
