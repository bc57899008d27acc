"""Paired differences of any runs as a figure: the tables of `comparison` at a glance."""

from collections.abc import Sequence
from pathlib import Path

from ..common.forest import Block, Row, draw_forest, message, rows_of
from ..common.methods import SMOOTHING_LABELS, UPSAMPLING_LABELS
from ..common.statistics import Difference
from ..common.table import Score
from ..segmentation.config import METHODS
from .comparison import compared, scored_protocols, scores_of
from .groups import EVERY, Arm, Group, groups
from .runs import Run

_LABELS = {**{name: method.label for name, method in METHODS.items()}, **SMOOTHING_LABELS, **UPSAMPLING_LABELS}


def draw_comparison(runs: Sequence[Run], split: str, path: Path) -> None:
    """Draws the differences to the baseline of every setting and protocol that has scores on a split.

    Raises:
      ValueError: there is nothing to compare on the split, or the runs belong to several studies, which share no score.
    """
    found = [group for group in groups(runs) if any(method == group.baseline for method, _ in group.arms)]
    kinds = {group.config: group for group in found}
    if len(kinds) > 1:
        names = ", ".join(config.study for config in kinds)
        raise ValueError(f"--figure draws the runs of one study, these are of {names}: name the folder of one")
    blocks, scores, drawn = list[Block](), dict[str, Score](), list[Group]()
    # Protocols that choose the same rates share differences, which count once, with the larger family of tests.
    counted: dict[tuple[int, Arm, tuple[Difference | None, ...]], tuple[int, Row]] = {}
    parts = [group.labels for group in found]
    shared = [word for word in parts[0] if all(word in other for other in parts)] if parts else []
    for number, (group, words) in enumerate(zip(found, parts, strict=True)):
        own = ", ".join(word for word in words if word not in shared)
        for protocol in scored_protocols(group, split):
            shown = scores_of(group, protocol.arms, split)
            differences = compared(group, protocol, split, shown)
            if not differences or (protocol.title == EVERY and any(group is other for other in drawn)):
                continue  # the arms chosen from it are already drawn
            drawn.append(group)
            scores |= {score.title: score for score in shown}
            rates = {rate for _, rate in differences}
            at = f" ({rates.pop():g})" if len(rates) == 1 else ""
            known = {arm: pairs for arm, pairs in differences.items() if any(pairs)}
            labels = [_label(method) + ("" if at else f" at {rate:g}") for method, rate in known]
            rows = rows_of(dict(zip(labels, known.values(), strict=True)), shown)
            blocks.append(Block(": ".join(filter(None, [own, protocol.title + at])), rows))
            for (arm, pairs), row in zip(known.items(), rows, strict=True):
                key = (number, arm, tuple(pairs))
                if key not in counted or len(rows) > counted[key][0]:
                    counted[key] = len(rows), row
    if not blocks:
        raise ValueError(
            f"no two methods have scores on {split}, one of them the baseline: --figure has nothing to draw"
        )
    primary = dict.fromkeys(group.main_score for group in drawn)
    if len(primary) > 1:
        names = " and ".join(score.title for score in primary)
        raise ValueError(f"--figure draws runs of one primary score, these declare {names}: name the folders of one")
    note = f"{', '.join(shared)}; {split}"
    title = message((row for _, row in counted.values()), next(iter(primary)), _label(drawn[0].baseline))
    draw_forest(blocks, list(scores.values()), path, title=title, note=note)


def _label(method: str) -> str:
    return _LABELS.get(method, method.replace("_", " "))
