"""Tables of our own: methods side by side, and against their baseline seed by seed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..common.statistics import Difference, holm, listed, paired_difference, power_text
from ..common.table import Score, deviation, spread
from .formats import Table
from .groups import EVERY, Arm, Group, Protocol, groups, protocols
from .hyperparameters import RATE
from .runs import Run
from .summary import SUMMARY, made_by, summary
from .validate import is_number

_INTERVALS = (
    "Differences are means over pairs of runs of the same seed, in brackets the 95 % confidence interval (Student's "
    "t). It covers seeds, not data sets; some of many such intervals miss the truth by chance."
)


def comparison_tables(runs: Sequence[Run], split: str) -> tuple[list[Table], list[str]]:
    """Tables of every setting with scores on a split, and remarks about runs without."""
    remarks: list[str] = []
    for run in runs:
        if run.score(split, run.config.ordered_scores[0]) is None:
            splits = run.config.splits
            missing = f"this data set has only {' and '.join(splits)}"
            remarks.append(
                f"{run.name} has no scores on {split}: {run.evaluate(split) if split in splits else missing}"
            )
    return [table for group in groups(runs) for table in _of_group(group, split)], remarks


def _of_group(group: Group, split: str) -> list[Table]:
    """The tables of each protocol, with the rates that have scores on the split, and a table of the runs."""
    tables = [table for protocol in scored_protocols(group, split) for table in _of_protocol(group, protocol, split)]
    return [*tables, _runs(group)]


def scored_protocols(group: Group, split: str) -> list[Protocol]:
    """The protocols to show for a split: each with its scored arms, unless earlier protocols show all of these."""
    seen, found = set[Arm](), list[Protocol]()
    for protocol in protocols(group):
        scored = tuple(arm for arm in protocol.arms if group.values(arm, split, group.main_score))
        if set(scored) - seen or (scored and protocol.title != EVERY):
            found.append(replace(protocol, arms=scored))
        seen.update(scored)
    return found


def scores_of(group: Group, arms: Sequence[Arm], split: str) -> list[Score]:
    """The scores on a split that at least one arm has."""
    return [score for score in group.scores if any(group.values(arm, split, score) for arm in arms)]


def _of_protocol(group: Group, protocol: Protocol, split: str) -> list[Table]:
    """Scores, differences to the baseline, and IoU of each class."""
    title, arms = f"{group.title}; {protocol.title}; {split}", protocol.arms
    shown = scores_of(group, arms, split)
    tables = [_scores(group, protocol, split, shown, title)]
    if differences := compared(group, protocol, split, shown):
        tables.append(_differences(group, differences, shown, title))
    if any(run.class_scores(split) for arm in arms for run in group.arms[arm].values()):
        tables.append(_classes(group, protocol, split, title))
    return tables


def _scores(group: Group, protocol: Protocol, split: str, shown: Sequence[Score], title: str) -> Table:
    arms = protocol.arms
    entry, heading = group.config.size
    header = ("method", RATE, "seeds", *(score.title for score in shown), heading, "s / step")
    rows = []
    for arm in arms:
        runs = group.arms[arm]
        counts = [run.result.get(entry) for run in runs.values()]
        sizes = dict.fromkeys(f"{count:,}" if is_number(count) else "-" for count in counts)
        cells = [spread(list(group.values(arm, split, score).values()), score.digits) for score in shown]
        seconds = np.median([run.seconds_per_step for run in runs.values()])
        rows.append((arm[0], f"{arm[1]:g}", listed(list(runs)), *cells, "; ".join(sizes), f"{seconds:.3f}"))
    chosen = " Rates are also chosen on val, so the scores of a chosen rate are too good." * (
        split == "val" and "best" in title
    )
    percent = "In percent. " * all(score.factor == 100 for score in shown)
    mean = f"{percent}Mean ± standard deviation over seeds.{chosen}"
    notes = (mean, *filter(None, [protocol.note, _on_networks(group, arms, split)]))
    return Table(title, header, tuple(rows), notes)


def _on_networks(group: Group, arms: Sequence[Arm], split: str) -> str:
    """Names the network that was scored, where runs average their weights."""
    found = [network for arm in arms for run in group.arms[arm].values() if (network := run.network(split))]
    if not found:
        return ""
    counted = " and ".join(f"{found.count(name)} {name}" for name in dict.fromkeys(found))
    return f"Of raw and averaged weights those of the better mean IoU on val are scored: {counted}."


def compared(
    group: Group, protocol: Protocol, split: str, shown: Sequence[Score]
) -> dict[Arm, list[Difference | None]]:
    """The paired differences of each arm to its baseline, one per score; None without a baseline at its rate.

    Empty if there is nothing to compare.
    """
    found = dict[Arm, list[Difference | None]]()
    for arm in (arm for arm in protocol.arms if arm[0] != group.baseline):
        reference = group.reference(protocol, arm)
        values = {} if reference is None else {score: group.values(reference, split, score) for score in shown}
        found[arm] = [paired_difference(group.values(arm, split, score), values.get(score, {})) for score in shown]
    return found if any(pair for pairs in found.values() for pair in pairs) else {}


def _differences(
    group: Group, differences: Mapping[Arm, Sequence[Difference | None]], shown: Sequence[Score], title: str
) -> Table:
    rows, primary = [], dict[str, Difference]()
    for (method, rate), found in differences.items():
        if found[0]:
            primary[f"{method} at {rate:g}"] = found[0]
        cells = [pair.text(score.digits) if pair else "-" for pair, score in zip(found, shown, strict=True)]
        rows.append((method, f"{rate:g}", str(found[0].pairs if found[0] else 0), *cells))
    header = ("method", RATE, "pairs", *(score.title for score in shown))
    notes = (_INTERVALS, *_significance_notes(primary, shown[0])) if primary else (_INTERVALS,)
    return Table(f"{title}: difference to {group.baseline}", header, tuple(rows), notes)


def _significance_notes(differences: Mapping[str, Difference], score: Score) -> tuple[str, ...]:
    """The significant differences of the first score, corrected over the table, and the power of the tests."""
    adjusted = holm([difference.p_value for difference in differences.values()])
    significant = [name for name, p in zip(differences, adjusted, strict=True) if p < 0.05]
    tests = f"the {len(differences)} tests" if len(differences) > 1 else "the one test"
    effect = 0.5 if score.factor == 100 else None
    return (
        f"Distinguishable from chance in {score.title}, with Holm's correction over {tests} of it in this table: "
        f"{', '.join(significant) or 'none'}.",
        power_text(list(differences.values()), score.title, score.digits, effect=effect),
    )


def _classes(group: Group, protocol: Protocol, split: str, title: str) -> Table:
    """Mean, standard deviation and difference to the baseline of the IoU of each class."""
    arms = protocol.arms
    found = {arm: {seed: run.class_scores(split) for seed, run in runs.items()} for arm, runs in group.arms.items()}
    names = list(dict.fromkeys(name for arm in arms for scores in found[arm].values() for name in scores))

    def of(arm: Arm, name: str) -> dict[int, float]:
        return {seed: scores[name] for seed, scores in found[arm].items() if name in scores}

    rows = []
    for arm in arms:
        values = [list(of(arm, name).values()) for name in names]
        rows.append((arm[0], f"{arm[1]:g}", "mean", *(f"{np.mean(x):.1f}" if x else "-" for x in values)))
        if len(group.arms[arm]) > 1:
            rows.append(("", "", "± over seeds", *(deviation(x) for x in values)))
        reference = group.reference(protocol, arm)
        if arm[0] != group.baseline and reference is not None:
            pairs = [paired_difference(of(arm, name), of(reference, name)) for name in names]
            rows.append(("", "", "difference", *(f"{pair.mean:+.1f}" if pair else "-" for pair in pairs)))
    return Table(f"{title}: IoU of each class", ("method", RATE, "", *names), tuple(rows), ("In percent.",))


def _runs(group: Group) -> Table:
    """The runs behind each row."""
    arms = {arm: [runs[seed] for seed in sorted(runs)] for arm, runs in group.arms.items()}
    rows = tuple((method, *summary(runs)) for (method, _), runs in arms.items())
    commands = dict.fromkeys(made_by(method, runs) for (method, _), runs in arms.items())
    return Table(f"{group.title}: runs", ("method", *SUMMARY), rows, tuple(commands))
