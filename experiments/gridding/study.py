"""From cases to a file each, and to the results of all of them."""

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

from ..common.run_files import Json
from ..common.run_folder import environment
from ..common.statistics import bootstrap_interval
from ..common.writing import write_json
from .config import BASELINE, Case, Config
from .report import read_results
from .training import Counts, extra_parameters, mean_iou, pictures_of, programs_of, score, train


def run_case(case: Case, config: Config) -> Json:
    """Trains every method with every seed; returns scores by method, a value a seed, and bootstrap intervals."""
    arms, how = config.arms, config.training

    def run(method: Smoothing) -> list[Counts]:
        programs, found = programs_of(case, method, how), list[Counts]()
        for seed in range(config.seeds):
            pictures, test = pictures_of(case, seed, how)
            found.append(programs.tally(train(programs, seed, pictures, how.steps), test))
        return found

    # A small convolution does not fill two cores, and the compiler takes one: methods go side by side.
    with ThreadPoolExecutor(min(len(arms), os.cpu_count() or 1)) as pool:
        counts = dict(zip(arms, pool.map(run, arms), strict=True))
    scores = {method: [score(found, case) for found in counts[method]] for method in arms}
    return {
        "case": dataclasses.asdict(case),
        "config": dataclasses.asdict(config),
        "environment": environment("gridding"),
        "extra_parameters": {method: extra_parameters(case, method, how) for method in arms},
        "scores": {
            method: {name: [each[name] for each in scores[method]] for name in scores[method][0]} for method in arms
        },
        "over_images": {
            method: bootstrap_interval(_pairs(counts[method], counts[BASELINE]), mean_iou)
            for method in arms
            if method != BASELINE
        },
    }


def _pairs(method: Sequence[Counts], baseline: Sequence[Counts]) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(np.asarray(a.confusion), np.asarray(b.confusion)) for a, b in zip(method, baseline, strict=True)]


def compare(cases: Sequence[Case], config: Config, out: Path) -> Json:
    """Runs the cases that have no file yet, writes each as soon as it is done; returns the results of all."""
    files = {case: out / f"{case.name}.json" for case in cases}
    found = {case: _finished(path, case, config) for case, path in files.items() if path.exists()}
    out.mkdir(parents=True, exist_ok=True)
    for index, case in enumerate(cases, 1):
        head = f"case {index} of {len(cases)}: {case.front} before {case.condition}"
        if case in found:
            say(f"{head}: done before")
            continue
        start = time.monotonic()
        found[case] = run_case(case, config)
        write_json(files[case], found[case], indent=1)
        say(f"{head}: {time.monotonic() - start:.0f} s")
    return collect([found[case] for case in cases])


def _finished(path: Path, case: Case, config: Config) -> Json:
    """A case that has been run."""
    content = read_results(path)
    wanted = json.loads(json.dumps([dataclasses.asdict(case), dataclasses.asdict(config)]))
    if [content.get("case"), content.get("config")] != wanted:
        raise ValueError(
            f"{path} holds a case of another configuration, that of the command "
            f"`{content.get('environment', {}).get('command')}`: repeat that one, or name another folder with --out"
        )
    return content


def collect(results: Sequence[Json]) -> Json:
    """The results of cases as one file: what they share is said once."""
    environments = [result["environment"] for result in results]
    commits = sorted({str(each["commit"]) for each in environments})
    first = results[0]
    rows = [{key: row[key] for key in ("case", "extra_parameters", "scores", "over_images")} for row in results]
    return {
        "environment": {**environments[-1], "commit": " and ".join(commits), "command": _plain(environments[-1])},
        "config": first["config"],
        "rows": _rounded(rows),  # to more digits than are printed
    }


def _plain(where: Json) -> str:
    """The command without the folder that it wrote to, which says nothing about the results."""
    words = shlex.split(where["command"])
    if "--out" in words:
        del words[words.index("--out") : words.index("--out") + 2]
    return shlex.join(words)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value
