"""Tables of our own: any runs, methods side by side, and against their baseline seed by seed.

Runs are put together by their setting: all that is not method, initial rate or seed (see `facts`). Within one, two
protocols are told apart: one rate for all methods, the one that is best for the baseline on val; and for each method
the one that is best for it there.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .checked import is_number
from .facts import RATE, Facts, baseline_of, facts, rate_of, setting
from .formats import Table
from .paper import SUMMARY, made_by, summary
from .runs import Run
from .scores import PARAMETERS, SCORES, Score, by_class, value
from .statistics import deviation, listed, paired_difference, spread

Arm = tuple[str, float]
#: By method and initial rate, runs by seed.
Arms = dict[Arm, dict[int, Run]]

_TITLE = ("study", "data.name", "init.source", "model.network", "model.encoder", "model.head", "steps", "batch_size")
# Told wherever it is not so: what makes a run another experiment than its data set and network say.
_USUAL = {"data.scale": 1.0, "data.size": [256, 256], "model.precision": "float32", "model.width": 64}
_EVERY = "every initial rate, differences at the same one"
_INTERVALS = (
    "Differences are means over pairs of runs of the same seed, in brackets their 95 % confidence interval (Student's "
    "t). It covers seeds, not data sets; of many such intervals some miss the truth by chance."
)


@dataclass(frozen=True)
class Group:
    """Runs of one setting.

    Attributes:
      study: their study.
      title: what they share.
      arms: the runs.
    """

    study: str
    title: str
    arms: Arms

    @property
    def baseline(self) -> str:
        """The method that others are compared with."""
        return baseline_of(self.study)


def own_tables(runs: Sequence[Run], split: str) -> tuple[list[Table], list[str]]:
    """Tables of every setting, scored on a split, and remarks."""
    known = [run for run in runs if run.config.study in SCORES]
    tables: list[Table] = []
    remarks = [f"{run.name}: no scores of the study {run.config.study} are known here" for run in runs
               if run.config.study not in SCORES]  # fmt: skip
    for run in known:
        if value(run, split, SCORES[run.config.study][0]) is None:
            there_is_none = (
                split == "test" and run.config.study == "sequence" and facts(run.config)["data.name"] == "text"
            )
            remedy = "a text has only train and val" if there_is_none else run.evaluate(split)
            remarks.append(f"{run.name} has no scores on {split}: {remedy}")
    for group in groups(known):
        try:
            tables += _of_group(group, split)
        except ValueError as error:
            remarks.append(str(error))
    return tables, remarks


def _of_group(group: Group, split: str) -> list[Table]:
    """Tables of each protocol, of the rates that have scores on the split, and one of the runs."""
    score, seen, tables = SCORES[group.study][0], set[Arm](), list[Table]()
    for protocol, arms in protocols(group).items():
        scored = [arm for arm in arms if _any(group, [arm], functools.partial(value, split=split, score=score))]
        if set(scored) - seen or (scored and protocol != _EVERY):
            tables += _tables(group, protocol, scored, split)
        seen.update(scored)
    return [*tables, _runs(group)]


def groups(runs: Sequence[Run]) -> list[Group]:
    """Runs by what they share; a DUC, which has a head of its own, goes beside every baseline that shares the rest."""
    shared: list[tuple[Facts, list[Run]]] = []
    for run in sorted(runs, key=lambda run: run.config.method == "duc"):
        mine = setting(run.config, run.data)
        places = [found for other, found in shared if all(other.get(name) == mine[name] for name in mine)]
        for place in places:
            place.append(run)
        if not places:
            shared.append((mine, [run]))
    return [_group(mine, found, [other for other, _ in shared]) for mine, found in shared]


def _group(mine: Facts, runs: Sequence[Run], others: Sequence[Facts]) -> Group:
    arms: Arms = {}
    for run in runs:
        arms.setdefault((run.config.method, rate_of(run.config)), {})[run.config.seed] = run
    beside = [other for other in others if all(other.get(key) == mine.get(key) for key in ("study", "data.name"))]
    told = [
        name
        for name in mine
        if (name not in _TITLE and len({str(other.get(name)) for other in beside}) > 1)
        or (name in _USUAL and mine[name] != _USUAL[name])
    ]
    steps = f"{mine['steps']:,} steps of {mine['batch_size']}"
    words = [str(mine[name]) for name in _TITLE[2:-2] if mine.get(name) is not None and _speaks(mine, name)]
    words += [steps, *(f"{name} {mine[name]}" for name in told)]
    order = sorted(arms, key=lambda arm: (arm[0] != baseline_of(mine["study"]), arm))
    return Group(
        mine["study"], f"{mine['study']} on {mine['data.name']}: {', '.join(words)}", {a: arms[a] for a in order}
    )


def _speaks(mine: Facts, name: str) -> bool:
    """Whether an option says something: those of DeepLab do not for a U-Net."""
    return mine.get("model.network") != "unet" or name not in ("model.encoder", "model.head")


def protocols(group: Group) -> dict[str, list[Arm]]:
    """By their description, the arms that are compared: with one rate, and with a rate for each method."""
    methods = list(dict.fromkeys(method for method, _ in group.arms))
    chosen = {method: chosen_rate(group, method) for method in methods}
    if group.baseline not in methods:
        return {"no baseline": list(group.arms)}
    rate = chosen[group.baseline]
    tried = {method: sorted(rate for other, rate in group.arms if other == method) for method in methods}
    shared = [(method, rate) for method in methods if (method, rate) in group.arms]
    several = any(len(rates) > 1 for rates in tried.values())
    found = {f"one initial rate{', the best of the baseline on val' if several else ''}": shared}
    if any(chosen[method] != rate for method in methods):
        equal = len({tuple(rates) for rates in tried.values()}) == 1
        grid = f"of {', '.join(f'{rate:g}' for rate in tried[group.baseline])}" if equal else "of grids that differ"
        of_each = f"an initial rate for each method, the best on val {grid}" if several else "the initial rate of each"
        found[of_each] = [(method, chosen[method]) for method in methods]
        if len(shared) < 2:
            found.pop(next(iter(found)))
    if set(group.arms) - {arm for arms in found.values() for arm in arms}:
        found[_EVERY] = list(group.arms)
    return found


def chosen_rate(group: Group, method: str) -> float:
    """The initial rate that is best on val, as a mean over the seeds that all rates of the method have.

    Raises:
      ValueError: several rates have no seed in common, so that none can be chosen fairly.
    """
    tried = {rate: runs for (other, rate), runs in group.arms.items() if other == method}
    if len(tried) == 1:
        return next(iter(tried))
    seeds = set.intersection(*(set(runs) for runs in tried.values()))
    if not seeds:
        rates = ", ".join(f"{rate:g}" for rate in tried)
        raise ValueError(
            f"{group.title}: the initial rates {rates} of {method} have no seed in common, so that none can be chosen: "
            "train one seed with each, or name the folders of one rate"
        )
    score = SCORES[group.study][0]
    sign = -1 if score.lower else 1

    def on_val(rate: float) -> float:
        values = [value(tried[rate][seed], "val", score) for seed in seeds]
        return float(np.mean([-np.inf if found is None else sign * found for found in values]))

    return max(tried, key=on_val)


def _tables(group: Group, protocol: str, arms: Sequence[Arm], split: str) -> list[Table]:
    """Scores, differences to the baseline, and scores of each class."""
    title = f"{group.title}; {protocol}; {split}"
    shown = [
        score for score in SCORES[group.study] if _any(group, arms, functools.partial(value, split=split, score=score))
    ]
    tables = [_scores(group, arms, split, shown, title)]
    if len(arms) > 1 and any(method == group.baseline for method, _ in arms):
        tables.append(_differences(group, arms, split, shown, title))
    if _any(group, arms, lambda run: by_class(run, split) or None):
        tables.append(_classes(group, arms, split, title))
    return tables


def _any(group: Group, arms: Sequence[Arm], of: Callable[[Run], object]) -> bool:
    return any(of(run) is not None for arm in arms for run in group.arms[arm].values())


def _scores(group: Group, arms: Sequence[Arm], split: str, shown: Sequence[Score], title: str) -> Table:
    entry, heading = PARAMETERS[group.study]
    header = ("method", RATE, "seeds", *(score.title for score in shown), heading, "s / step")
    rows = []
    for arm in arms:
        runs = group.arms[arm]
        sizes = dict.fromkeys(
            f"{run.result[entry]:,}" if is_number(run.result.get(entry)) else "-" for run in runs.values()
        )
        cells = [spread(list(_values(runs, split, score).values()), score.digits) for score in shown]
        seconds = np.median([run.seconds_per_step for run in runs.values()])
        rows.append((arm[0], f"{arm[1]:g}", listed(list(runs)), *cells, "; ".join(sizes), f"{seconds:.3f}"))
    chosen = " Rates are chosen on val, too: for the winner of a choice these scores are too good." * (
        split == "val" and "best" in title
    )
    percent = "In percent. " * all(score.factor == 100 for score in shown)
    return Table(title, header, tuple(rows), (f"{percent}Mean ± standard deviation over seeds.{chosen}",))


def _differences(group: Group, arms: Sequence[Arm], split: str, shown: Sequence[Score], title: str) -> Table:
    rows = []
    for arm in arms:
        reference = _reference(group, arms, arm)
        if arm[0] == group.baseline or reference is None:
            continue
        found = [
            paired_difference(_values(group.arms[arm], split, score), _values(reference, split, score))
            for score in shown
        ]
        cells = [
            difference.text(score.digits) if difference else "-" for difference, score in zip(found, shown, strict=True)
        ]
        rows.append((arm[0], f"{arm[1]:g}", str(found[0].pairs if found and found[0] else 0), *cells))
    header = ("method", RATE, "pairs", *(score.title for score in shown))
    return Table(f"{title}: difference to {group.baseline}", header, tuple(rows), (_INTERVALS,))


def _classes(group: Group, arms: Sequence[Arm], split: str, title: str) -> Table:
    """Mean, standard deviation and difference to the baseline of the IoU of each class."""
    found = {arm: {seed: by_class(run, split) for seed, run in group.arms[arm].items()} for arm in arms}
    names = list(dict.fromkeys(name for runs in found.values() for scores in runs.values() for name in scores))
    of = lambda runs, name: {seed: scores[name] for seed, scores in runs.items() if name in scores}
    rows = []
    for arm in arms:
        values = [list(of(found[arm], name).values()) for name in names]
        rows.append((arm[0], f"{arm[1]:g}", "mean", *(f"{np.mean(x):.1f}" if x else "-" for x in values)))
        if len(group.arms[arm]) > 1:
            rows.append(("", "", "± over seeds", *(deviation(x) for x in values)))
        reference = _reference(group, arms, arm)
        if arm[0] != group.baseline and reference is not None:
            base = {seed: by_class(run, split) for seed, run in reference.items()}
            pairs = [paired_difference(of(found[arm], name), of(base, name)) for name in names]
            rows.append(("", "", "difference", *(f"{pair.mean:+.1f}" if pair else "-" for pair in pairs)))
    return Table(f"{title}: IoU of each class", ("method", RATE, "", *names), tuple(rows), ("In percent.",))


def _reference(group: Group, arms: Sequence[Arm], arm: Arm) -> Mapping[int, Run] | None:
    """The runs of the baseline beside an arm: at the same rate, where several are shown, or else the only ones."""
    baselines = [other for other in arms if other[0] == group.baseline]
    mine = baselines[0] if len(baselines) == 1 else (group.baseline, arm[1])
    return group.arms.get(mine)


def _values(runs: Mapping[int, Run], split: str, score: Score) -> dict[int, float]:
    values = {seed: value(run, split, score) for seed, run in runs.items()}
    return {seed: found for seed, found in values.items() if found is not None}


def _runs(group: Group) -> Table:
    """What is behind each row."""
    arms = {arm: [runs[seed] for seed in sorted(runs)] for arm, runs in group.arms.items()}
    rows = tuple((method, *summary(runs)) for (method, _), runs in arms.items())
    commands = dict.fromkeys(made_by(method, runs) for (method, _), runs in arms.items())
    return Table(f"{group.title}: runs", ("method", *SUMMARY), rows, tuple(commands))
