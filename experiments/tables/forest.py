"""Paired differences of any runs as a figure: what the tables of `comparison` say, at one look."""

from collections.abc import Sequence
from pathlib import Path

from ..common.forest import Block, Row, draw_forest
from ..common.methods import SMOOTHING_LABELS, UPSAMPLING_LABELS
from ..common.statistics import Difference, holm
from ..common.table import Score
from .comparison import compared, scored_protocols, scores_of
from .groups import EVERY, Arm, Group, groups
from .runs import Run

_LABELS = {**SMOOTHING_LABELS, **UPSAMPLING_LABELS}


def draw_comparison(runs: Sequence[Run], split: str, path: Path) -> None:
    """Draws the differences to the baseline of every setting and protocol that has scores on a split.

    Raises:
      ValueError: nothing is compared there, or the runs are of several studies, which share no score.
    """
    found = [group for group in groups(runs) if any(method == group.baseline for method, _ in group.arms)]
    kinds = {group.config: group for group in found}
    if len(kinds) > 1:
        names = ", ".join(config.study for config in kinds)
        raise ValueError(f"--figure draws the runs of one study, these are of {names}: name the folder of one")
    blocks, scores, drawn = list[Block](), dict[str, Score](), list[Group]()
    parts = [(group.study, *group.words) for group in found]
    shared = [word for word in parts[0] if all(word in other for other in parts)] if parts else []
    for group, words in zip(found, parts, strict=True):
        own = ", ".join(word for word in words if word not in shared)
        for protocol in scored_protocols(group, split):
            shown = scores_of(group, protocol.arms, split)
            differences = compared(group, protocol.arms, split, shown)
            if not differences or (protocol.title == EVERY and any(group is other for other in drawn)):
                continue  # what has been chosen from it is drawn already
            drawn.append(group)
            scores |= {score.title: score for score in shown}
            rates = {rate for _, rate in differences}
            at = f" ({rates.pop():g})" if len(rates) == 1 else ""
            blocks.append(Block(": ".join(filter(None, [own, protocol.title + at])), rows_of(differences, shown)))
    if not blocks:
        raise ValueError(
            f"no two methods have scores on {split}, one of them the baseline: --figure has nothing to draw"
        )
    note = f"{', '.join(shared)}; {split}"
    draw_forest(blocks, list(scores.values()), path, title=_message(blocks, found[0]), note=note)


def rows_of(differences: "dict[Arm, list[Difference | None]]", shown: Sequence[Score]) -> list[Row]:
    """A row for each arm; of every score, what is told from chance over its tests in these rows (Holm)."""
    told: dict[Arm, set[str]] = {arm: set() for arm in differences}
    for index, score in enumerate(shown):
        family = {arm: pair for arm, found in differences.items() if (pair := found[index]) is not None}
        adjusted = holm([pair.p_value for pair in family.values()])
        for arm, p in zip(family, adjusted, strict=True):
            if p < 0.05:
                told[arm].add(score.title)
    several = len({rate for _, rate in differences}) > 1
    return [
        Row(
            _label(arm[0]) + (f" at {arm[1]:g}" if several else ""),
            {score.title: pair for score, pair in zip(shown, found, strict=True) if pair is not None},
            told[arm],
        )
        for arm, found in differences.items()
    ]


def _label(method: str) -> str:
    return _LABELS.get(method, method.replace("_", " "))


def _message(blocks: Sequence[Block], group: Group) -> str:
    """How many differences of the main score are told from chance."""
    title = group.main_score.title
    rows = [row for block in blocks for row in block.rows if title in row.differences]
    better = [row for row in rows if title in row.told and (row.differences[title].mean > 0) != group.main_score.lower]
    counts = {"better": len(better), "worse": sum(title in row.told for row in rows) - len(better)}
    told = " and ".join(f"{count} {'is' if count == 1 else 'are'} {word}" for word, count in counts.items() if count)
    tests = f"Of {len(rows)} differences in {title} to the baseline, {_label(group.baseline)}"
    tests = tests.removesuffix(", baseline")
    return f"{tests}, {told}; the others are not told from chance" if told else f"{tests}, none is told from chance"
