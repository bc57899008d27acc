"""Runs cases, writes a file for each, and collects the results of all."""

import dataclasses
import json
import os
import shlex
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from smoothjax.names import Smoothing
from smoothjax.training import say

from ..common.environment import environment
from ..common.run_files import Json
from ..common.statistics import bootstrap_interval
from ..common.writing import write_json
from .config import BASELINE, METHODS, Case, Config
from .report import read_results
from .training import Counts, extra_parameters, mean_iou, pictures_of, programs_of, score, train


def run_case(case: Case, config: Config, found: Json | None = None) -> Json:
    """Trains every method with every seed; returns scores by method, one value per seed, and bootstrap intervals.

    Earlier results, `found`, stay unchanged, and only missing methods are trained: a seed has the same pictures,
    initial weights and test whenever it runs. Bootstrap intervals need the counts of each picture; they are None where
    an older file lacks those of the baseline.
    """
    here = environment("gridding")
    before = found or {"scores": {}, "extra_parameters": {}, "over_images": {}, "counts": {}, "commits": {}}
    missing, how = missing_arms(before, config), config.training

    def run(method: Smoothing) -> list[Counts]:
        programs, found = programs_of(case, method, how), list[Counts]()
        for seed in range(config.seeds):
            pictures, test = pictures_of(case, seed, how)
            found.append(programs.tally(train(programs, seed, pictures, how.steps), test))
        return found

    # A small convolution does not fill two cores, and the compiler takes one: methods go side by side.
    with ThreadPoolExecutor(min(len(missing), os.cpu_count() or 1)) as pool:
        counts = dict(zip(missing, pool.map(run, missing), strict=True))
    scores = {method: [score(seed, case) for seed in counts[method]] for method in missing}
    confusions = {method: [np.asarray(seed.confusion) for seed in counts[method]] for method in missing}
    if BASELINE not in missing and BASELINE in before["counts"]:
        confusions[BASELINE] = [_from_text(text) for text in before["counts"][BASELINE]]
    new = {
        "scores": {
            method: {name: [each[name] for each in scores[method]] for name in scores[method][0]} for method in missing
        },
        "extra_parameters": {method: extra_parameters(case, method, how) for method in missing},
        "over_images": {
            method: bootstrap_interval(list(zip(confusions[method], confusions[BASELINE], strict=True)), mean_iou)
            if BASELINE in confusions
            else None
            for method in missing
            if method != BASELINE
        },
        "counts": {method: [_as_text(each) for each in confusions[method]] for method in missing},
        "commits": dict.fromkeys(missing, here["commit"]),
    }
    arms: tuple[Smoothing, ...] = tuple(method for method in METHODS if method in missing or method in before["scores"])
    return {
        "case": dataclasses.asdict(case),
        "config": {**dataclasses.asdict(config), "methods": arms},
        "environment": before.get("environment", here),
        **{name: _in_order({**before[name], **more}, arms) for name, more in new.items()},
    }


def missing_arms(found: Json, config: Config) -> tuple[Smoothing, ...]:
    """The methods of a configuration that a case has not been run with."""
    return tuple(method for method in config.arms if method not in found["scores"])


def _in_order(by_method: Json, arms: Sequence[Smoothing]) -> Json:
    return {method: by_method[method] for method in arms if method in by_method}


def _as_text(confusion: np.ndarray) -> str:
    """Confusion matrices of pictures as one text: JSON with an integer per line would take thousands of lines."""
    classes = confusion.shape[-1]
    return f"{classes}: " + " ".join(map(str, confusion.ravel().tolist()))


def _from_text(text: str) -> np.ndarray:
    classes, _, counts = text.partition(": ")
    return np.array(counts.split(), np.int64).reshape(-1, int(classes), int(classes))


def compare(cases: Sequence[Case], config: Config, out: Path) -> Json:
    """Runs the cases and methods that files lack, and writes each case when it is done; returns the results of all.

    A case without a file is run with all methods, a case with a file only with missing methods.
    """
    files = {case: out / f"{case.name}.json" for case in cases}
    found = {case: _finished(path, case, config) for case, path in files.items() if path.exists()}
    out.mkdir(parents=True, exist_ok=True)
    for index, case in enumerate(cases, 1):
        head = f"case {index} of {len(cases)}: {case.front} before {case.condition}"
        missing = missing_arms(found[case], config) if case in found else config.arms
        if not missing:
            say(f"{head}: done before")
            continue
        start = time.monotonic()
        found[case] = run_case(case, config, found.get(case))
        write_json(files[case], found[case], indent=1)
        added = f", {', '.join(missing)} added" if len(missing) < len(found[case]["scores"]) else ""
        say(f"{head}: {time.monotonic() - start:.0f} s{added}")
    return collect([found[case] for case in cases])


def _finished(path: Path, case: Case, config: Config) -> Json:
    """The results of a case that has been run, perhaps with fewer or other methods."""
    content = read_results(path)
    wanted = json.loads(json.dumps([dataclasses.asdict(case), {**dataclasses.asdict(config), "methods": None}]))
    shared = content.get("config")
    if [content.get("case"), shared and {**shared, "methods": None}] != wanted:
        raise ValueError(
            f"{path} holds a case of another configuration, that of the command "
            f"`{content.get('environment', {}).get('command')}`: repeat that one, or name another folder with --out"
        )
    if lost := sorted({"environment", "scores", "extra_parameters", "over_images"} - content.keys()):
        raise ValueError(f"{path} is damaged, it lacks {', '.join(lost)}: remove it, and the case is run again")
    # Older files come from one commit, and keep no counts.
    commit = content["environment"]["commit"]
    content = {"commits": dict.fromkeys(content["scores"], commit), "counts": {}} | content
    there, here = content["environment"]["packages"]["jax"], environment("gridding")["packages"]["jax"]
    if missing_arms(content, config) and there != here:
        raise ValueError(
            f"{path} lacks {', '.join(missing_arms(content, config))} and was made with JAX {there}, this is {here}, "
            "which may draw other pictures and weights from the same seeds: install that version, or name another "
            "folder with --out"
        )
    return content


def collect(results: Sequence[Json]) -> Json:
    """The results of all cases for one file, with shared properties stated once."""
    environments = [result["environment"] for result in results]
    commits = sorted({str(commit) for result in results for commit in result["commits"].values()})
    methods = [method for method in METHODS if any(method in result["scores"] for result in results)]
    rows = [{key: row[key] for key in ("case", "extra_parameters", "scores", "over_images")} for row in results]
    return {
        "environment": {**environments[-1], "commit": " and ".join(commits), "command": command_in(environments[-1])},
        "config": {**results[0]["config"], "methods": methods},
        "rows": rounded(rows),  # keeps more digits than are printed
    }


def command_in(where: Json) -> str:
    """The command of an environment without its output folder, which does not affect the results."""
    words = shlex.split(where["command"])
    if "--out" in words:
        del words[words.index("--out") : words.index("--out") + 2]
    return shlex.join(words)


def rounded(value: Any) -> Any:
    """Plain values with four digits after the point."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value
