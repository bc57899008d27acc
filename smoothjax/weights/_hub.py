"""Files of weights from the Hugging Face Hub, through the Hub's own library."""

import importlib
import os
from pathlib import Path
from types import ModuleType

from flax import nnx

from ._file import load


def from_hub(
    name: str,
    *,
    filename: str = "model.safetensors",
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
) -> nnx.Module:
    """Builds the network of a file of `save` in a repository of the Hugging Face Hub; needs the extra `hub`.

    It takes the arguments of `hub_file`, which returns the file itself, for `describe`, and `load` builds the network;
    the errors are those of both.
    """
    return load(
        hub_file(name, filename=filename, revision=revision, cache_dir=cache_dir, local_files_only=local_files_only)
    )


def hub_file(
    name: str,
    *,
    filename: str = "model.safetensors",
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
) -> Path:
    """Downloads a file from a repository of the Hugging Face Hub, unless it was downloaded before.

    Args:
      name: the repository, `"owner/name"`.
      filename: the file in it.
      revision: branch, tag or commit; by default the main branch. Give a commit to always get the same weights.
      cache_dir: folder of downloads; by default that of the Hub's library (`HF_HUB_CACHE`).
      local_files_only: whether to use only earlier downloads, without asking the Hub.

    Returns:
      The file on this machine.

    Raises:
      ModuleNotFoundError: `huggingface_hub` is missing.
      ValueError: the name is not that of a repository, or there is no such repository, revision or file, or no access.
      OSError: it cannot be downloaded, or was not downloaded before with `local_files_only`.
    """
    hub, errors = _library()
    place = f"file {filename!r} of {name!r}" + (f" at {revision!r}" if revision else "")
    try:
        found = hub.hf_hub_download(
            name, filename, revision=revision, cache_dir=cache_dir, local_files_only=local_files_only
        )
    except errors.HFValidationError as error:
        raise ValueError(f"name must be a repository of the Hub, 'owner/name', got {name!r} ({error})") from error
    except errors.LocalEntryNotFoundError as error:  # before its base class, whose errors already say so
        how = "leave local_files_only out to download it" if local_files_only else "check name and connection"
        raise OSError(f"the {place} has not been downloaded, and the Hub was not reached: {how}") from error
    except errors.GatedRepoError as error:
        raise ValueError(f"the {place} is only for users admitted by its owner: ask there, then log in") from error
    except (
        errors.RepositoryNotFoundError,
        errors.RevisionNotFoundError,
        errors.EntryNotFoundError,
    ) as error:
        raise ValueError(
            f"the Hub has no {place}: check the name at https://huggingface.co/{name}, or log in if it is private"
        ) from error
    return Path(found)


def _library() -> tuple[ModuleType, ModuleType]:
    """The library of the Hub, and its errors."""
    try:
        return importlib.import_module("huggingface_hub"), importlib.import_module("huggingface_hub.errors")
    except ImportError as error:
        raise ModuleNotFoundError(
            f'the Hub is reached by huggingface_hub, which is not installed ({error}): pip install -e ".[hub]" in the '
            "checkout of smoothjax"
        ) from error
