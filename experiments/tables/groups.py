"""Groups runs by setting, and chooses which runs to compare.

A setting is everything except method, initial rate and seed (see `hyperparameters`). Within a setting there are two
protocols: one rate for all methods, the baseline's best on val; or the best rate on val for each method.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from ..common.config import RunConfig
from ..common.labels import data_label, option_label, study_label, value_label
from ..common.statistics import listed
from ..common.table import Score
from .hyperparameters import Hyperparameters, setting
from .runs import Run

#: A method and its initial rate.
Arm = tuple[str, float]
#: Runs by seed, for each method and initial rate.
Arms = dict[Arm, dict[int, Run]]

EVERY = "every initial rate, differences at the same one"

_TITLE = ("study", "data.name", "init.source", "model.network", "model.encoder", "model.head", "steps", "batch_size")
_OF_DEEPLAB = ("model.encoder", "model.head")
# Defaults: these options are part of a title only where they differ from them.
_USUAL = {"data.scale": 1.0, "data.size": [256, 256], "model.precision": "float32", "model.width": 64}


@dataclass(frozen=True)
class Group:
    """Runs of one setting.

    Attributes:
      config: the class of their configurations, which is that of their study.
      scores: the scores to show, the first of which is compared and chooses rates.
      study: the study and the data set.
      words: other shared properties, such as the network and the number of steps, with options as they are typed.
      labels: study, data set and the same properties, in the words of figures.
      arms: the runs, with the baseline first.
    """

    config: type[RunConfig]
    scores: tuple[Score, ...]
    study: str
    words: tuple[str, ...]
    labels: tuple[str, ...]
    arms: Arms

    @property
    def title(self) -> str:
        """The shared properties in one line."""
        return f"{self.study}: {', '.join(self.words)}"

    @property
    def baseline(self) -> str:
        """The method that the others are compared with."""
        return self.config.baseline

    @property
    def main_score(self) -> Score:
        """The score used to compare methods and to choose rates."""
        return self.scores[0]

    def values(self, arm: Arm, split: str, score: Score) -> dict[int, float]:
        """A score of an arm by seed, for the seeds that have it."""
        found = {seed: run.score(split, score) for seed, run in self.arms[arm].items()}
        return {seed: value for seed, value in found.items() if value is not None}

    def rates(self, method: str) -> list[float]:
        """The initial rates that a method was trained with, in ascending order."""
        return sorted(rate for other, rate in self.arms if other == method)

    def reference(self, protocol: "Protocol", arm: Arm) -> Arm | None:
        """The baseline of an arm in a protocol: the one shown, or where all rates are shown the one at its rate."""
        if protocol.title == EVERY:
            mine = (self.baseline, arm[1])
            return mine if mine in protocol.arms else None
        return next((other for other in protocol.arms if other[0] == self.baseline), None)


def groups(runs: Sequence[Run]) -> list[Group]:
    """Runs by setting; a run whose method sets further options joins every group that shares the others."""
    shared: list[tuple[Hyperparameters, list[Run]]] = []
    for run in sorted(runs, key=lambda run: bool(run.config.set_by_method)):
        mine = setting(run.config, run.data)
        places = [found for other, found in shared if all(other.get(name) == mine[name] for name in mine)]
        for place in places:
            place.append(run)
        if not places:
            shared.append((mine, [run]))
    return [_group(mine, found, [other for other, _ in shared]) for mine, found in shared]


@dataclass(frozen=True)
class Protocol:
    """A choice of arms to compare.

    Attributes:
      title: the rule of the choice.
      arms: the method and initial rate of each.
      note: the seeds on which rates were chosen, and the rates left out; empty if there was no choice.
    """

    title: str
    arms: tuple[Arm, ...]
    note: str = ""


def protocols(group: Group) -> list[Protocol]:
    """The comparisons to show: with one rate, and with a rate for each method; of all arms if no rate can be chosen."""
    methods = list(dict.fromkeys(method for method, _ in group.arms))
    if group.baseline not in methods:
        return [Protocol("no baseline", tuple(group.arms))]
    try:
        chosen = {method: chosen_rate(group, method) for method in methods}
    except ValueError as error:
        return [Protocol(EVERY, tuple(group.arms), f"{error}.")]
    rate, tried = chosen[group.baseline], {method: group.rates(method) for method in methods}
    shared = tuple((method, rate) for method in methods if (method, rate) in group.arms)
    several = any(len(rates) > 1 for rates in tried.values())
    title = f"one initial rate{', the best of the baseline on val' if several else ''}"
    found = [Protocol(title, shared, _on_choice(group, [group.baseline]))]
    if any(chosen[method] != rate for method in methods):
        equal = len({tuple(rates) for rates in tried.values()}) == 1
        grid = f"of {', '.join(f'{rate:g}' for rate in tried[group.baseline])}" if equal else "of grids that differ"
        of_each = f"an initial rate for each method, the best on val {grid}" if several else "the initial rate of each"
        if len(shared) < 2:
            found.clear()
        arms = tuple((method, chosen[method]) for method in methods)
        found.append(Protocol(of_each, arms, _on_choice(group, methods)))
    if set(group.arms) - {arm for protocol in found for arm in protocol.arms}:
        found.append(Protocol(EVERY, tuple(group.arms)))
    return found


def chosen_rate(group: Group, method: str) -> float:
    """The initial rate that is best on val, by the mean over all seeds; rates with fewer seeds than others are ignored.

    A rate with only the first seeds of a search was abandoned there. The mean over one seed cannot be compared with
    the mean over three.

    Raises:
      ValueError: several rates have no seed in common, so no fair choice exists.
    """
    rates = _candidates(group, method)
    if len(rates) == 1:
        return rates[0]
    seeds = _common(group, method, rates)
    if not seeds:
        raise ValueError(
            f"The initial rates {', '.join(f'{rate:g}' for rate in rates)} of {method} have no seed in common, so "
            "none can be chosen: train one seed with each, or name the folders of one rate"
        )
    return max(rates, key=lambda rate: _on_val(group, (method, rate), seeds))


def _candidates(group: Group, method: str) -> list[float]:
    """The rates of a method with the most seeds, in the order of the group."""
    seeds = {rate: len(runs) for (other, rate), runs in group.arms.items() if other == method}
    return [rate for rate, count in seeds.items() if count == max(seeds.values())]


def _common(group: Group, method: str, rates: Sequence[float]) -> set[int]:
    return set.intersection(*(set(group.arms[method, rate]) for rate in rates))


def _on_val(group: Group, arm: Arm, seeds: Collection[int]) -> float:
    """The mean of the main score over seeds, with its sign turned so that higher is better."""
    sign = -1 if group.main_score.lower else 1
    values = group.values(arm, "val", group.main_score)
    return float(np.mean([sign * values.get(seed, -sign * np.inf) for seed in seeds]))


def _on_choice(group: Group, methods: Sequence[str]) -> str:
    """Names the seeds on which rates were chosen, the rates left out, and those of them ahead on their own seeds."""
    seeds, left_out, ahead = dict[str, None](), list[str](), list[str]()
    for method in methods:
        rates = _candidates(group, method)
        if len(group.rates(method)) == 1:
            continue
        if len(rates) > 1:
            seeds[listed(list(_common(group, method, rates)))] = None
        chosen = method, chosen_rate(group, method)
        for rate in (rate for rate in group.rates(method) if rate not in rates):
            has = group.arms[method, rate]
            left_out.append(f"{method} at {rate:g} (seed {listed(list(has))})")
            shared = has.keys() & group.arms[chosen].keys()
            if shared and _on_val(group, (method, rate), shared) > _on_val(group, chosen, shared):
                ahead.append(left_out[-1])
    parts = [f"Rates are chosen by the mean over seeds {' or '.join(seeds)}."] if seeds else []
    if left_out:
        verdict = (
            f"ahead on the seeds it has: {', '.join(ahead)}" if ahead else "none of these is ahead on the seeds it has"
        )
        parts.append(f"Not in the choice, because they have fewer seeds: {', '.join(left_out)}; {verdict}.")
    return " ".join(parts)


def _group(mine: Hyperparameters, runs: Sequence[Run], others: Sequence[Hyperparameters]) -> Group:
    config, arms = type(runs[0].config), Arms()
    for run in runs:
        arms.setdefault((run.config.method, run.config.initial_rate), {})[run.config.seed] = run
    beside = [other for other in others if all(other.get(key) == mine.get(key) for key in ("study", "data.name"))]
    differing = [
        name
        for name in mine
        if (name not in _TITLE and len({str(other.get(name)) for other in beside}) > 1)
        or (name in _USUAL and mine[name] != _USUAL[name])
    ]
    omitted = _OF_DEEPLAB if mine.get("model.network") == "unet" else ()
    named = [name for name in _TITLE[2:-2] if mine.get(name) is not None and name not in omitted]
    length = f"{mine['steps']:,} steps of {mine['batch_size']}"
    words = (*(str(mine[name]) for name in named), length, *(f"{name} {mine[name]}" for name in differing))
    order = sorted(arms, key=lambda arm: (arm[0] != config.baseline, arm))
    study = f"{mine['study']} on {mine['data.name']}"
    scores = runs[0].config.ordered_scores
    return Group(
        config, scores, study, words, _labels(mine, named, length, differing), {arm: arms[arm] for arm in order}
    )


def _labels(mine: Hyperparameters, named: Sequence[str], length: str, differing: Sequence[str]) -> tuple[str, ...]:
    """Study and data set, network, length of training and other options, in the words of figures."""
    root = mine.get("data.root")
    data = data_label(str(mine["data.name"]), root if isinstance(root, str) else None)
    network = [f"weights of {value_label(mine[n])}" if n == "init.source" else value_label(mine[n]) for n in named]
    others = [option_label(name, mine[name]) for name in differing if name != "data.root"]
    return (f"{study_label(str(mine['study']))} on {data}", *network, length, *others)
