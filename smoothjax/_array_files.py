"""Archives of NumPy arrays that may come from anywhere, see `files`."""

import math
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def read_npz(path: str | Path) -> "dict[str, np.ndarray]":
    """Reads the arrays of a NumPy archive; checks that the content of an array is there before it allocates memory.

    Args:
      path: the file.

    Returns:
      The arrays by name, in the order of the file.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is not an archive of arrays, is damaged, or an array states a wrong size or holds objects.

    Example:
      >>> import numpy as np, tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     np.savez(f"{folder}/a.npz", x=np.arange(3))
      ...     read_npz(f"{folder}/a.npz")["x"].tolist()
      [0, 1, 2]
    """
    import numpy as np

    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    arrays: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                name = info.filename.removesuffix(".npy")
                with archive.open(info) as member:
                    version = np.lib.format.read_magic(member)
                    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
                    if version not in read:
                        raise ValueError(f"array {name!r} is of the unknown format {version}")
                    shape, _, dtype = read[version](member)
                    stated = math.prod(shape) * dtype.itemsize
                    if dtype.hasobject:
                        raise ValueError(f"array {name!r} holds objects, which may run code")
                    if stated != info.file_size - member.tell() or min(shape, default=0) < 0:
                        raise ValueError(
                            f"array {name!r} states the shape {shape} of {dtype}, {stated:,} bytes, and has "
                            f"{info.file_size - member.tell():,}"
                        )
                with archive.open(info) as member:
                    arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
    # A damaged archive makes the readers raise errors of many types.
    except Exception as error:
        raise ValueError(f"{path}: cannot be read as an archive of arrays ({error}); replace the file") from error
    return arrays
