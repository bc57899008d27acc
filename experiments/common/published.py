"""The tables of the papers, read from `experiments/published.yaml`."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).parents[1] / "published.yaml"
SMOOTHED, PIXEL = "smoothed_dilated_convolutions", "pixel_deconvolutional_networks"


@functools.cache
def published() -> Mapping[str, Any]:
    """The whole file: by paper, its tables as they are printed there."""
    return yaml.safe_load(FILE.read_text())


def smoothed_table(number: int) -> Mapping[str, Any]:
    """Table 1 to 6 of Wang & Ji: `rows` by model, each with `iou` of `classes`, and `miou`; in percent."""
    paper = published()[SMOOTHED]
    table = next(table for table in paper["tables"] if table["table"] == number)
    return {**table, "classes": paper["classes"][table["dataset"]]}


def upsampling_rows(dataset: str, model: str) -> dict[str, dict[str, float]]:
    """Rows of Table 1 of Gao et al. by up-sampling layer: `pixel_accuracy` and `miou`, as fractions."""
    return {
        row["upsampling"]: {key: row[key] for key in ("pixel_accuracy", "miou")}
        for row in published()[PIXEL]["table1"]
        if (row["dataset"], row["model"]) == (dataset, model)
    }


def upsampling_times() -> dict[str, dict[str, float]]:
    """Table 2 of Gao et al.: seconds of 10 epochs of training (`train`) and 2109 predictions (`predict`) by layer."""
    return {layer: times for layer, times in published()[PIXEL]["table2"].items() if layer != "what"}
