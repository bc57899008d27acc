"""Files of scores. The tables take `evaluation-SPLIT.json` alone: the last step, whole images, the run's own data.

Every other look has a file of its own, so that it costs no score that the tables show.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .identity import short_digest
from .run_folder import DATA_FILE, write
from .trained import Checkpoint


class Scored(NamedTuple):
    """Scores, and what became of them.

    Attributes:
      result: the scores and all that they depend on.
      path: the file that holds them.
      before: what the file held; None for nothing, or for nothing readable.
      note: a sentence about data that are not the run's; None for its own.
    """

    result: dict[str, Any]
    path: Path
    before: dict[str, Any] | None
    note: str | None


def save_scores(
    folder: Path,
    result: Mapping[str, Any],
    checkpoint: Checkpoint,
    looks: Sequence[str] = (),
    foreign: Path | None = None,
) -> Scored:
    """Writes the scores of `result["split"]` into the folder of a run.

    Args:
      folder: of the run.
      result: the scores, with what identifies the data in `"data"`, or of a text in `"sha256"`.
      checkpoint: which one is scored.
      looks: what is unusual about how examples are looked at, in a word each.
      foreign: where the data lie, if they are not the run's own; None if they are.
    """
    result = dict(result)
    words = [*looks, *(["best"] if checkpoint == "best" else [])]
    if foreign is not None:
        words.insert(0, f"of-{_name(foreign)}-{short_digest(result.get('data') or result.get('sha256'))[:8]}")
    path = folder / f"{'-'.join(['evaluation', result['split'], *words])}.json"
    note = None
    if foreign is not None:
        note = (
            f"{foreign} is not what {folder} has learnt from, as its {DATA_FILE} tells: these scores have a file of "
            "their own, which no table takes"
        )
    before = _read(path)
    write(path, json.dumps(result, indent=2) + "\n")
    return Scored(result, path, before, note)


def _name(place: Path) -> str:
    return re.sub(r"[^\w.]+", "-", place.absolute().name) or "data"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
