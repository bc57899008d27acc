"""Options that a run would ignore; imports no JAX."""

from collections.abc import Collection

#: Options of data in files.
_OF_FILES = ("root", "file", "classes", "mask_suffix", "white")


def check_files_given(data: object, preset: object, without_files: Collection[str]) -> None:
    """Refuses options of data in files if the data are drawn: a run would train on other data than the user named.

    Args:
      data: the options of the data, if any.
      preset: those of the preset.
      without_files: the data sets that are drawn or made up, and would ignore them.

    Raises:
      ValueError: there is one; the message names it.
    """
    name = getattr(data, "name", None)
    for option in _OF_FILES if name in without_files else ():
        value = getattr(data, option, None)
        if value != getattr(preset, option, None):
            raise ValueError(
                f"--data.{option.replace('_', '-')} is for data in files, got {value} with --data.name {name}, which "
                "needs none: leave it out, or name other data with --data.name"
            )
