"""The tables of the papers, read from `experiments/published.yaml`."""

import functools
from pathlib import Path
from typing import TypedDict

import yaml

FILE = Path(__file__).parents[1] / "published.yaml"


class SmoothedRow(TypedDict):
    """A row of Tables 1 to 6 of Wang & Ji: IoU in percent."""

    iou: list[float]
    miou: float


class SmoothedTable(TypedDict):
    """One of Tables 1 to 6 of Wang & Ji."""

    table: int
    dataset: str
    head: str
    pretraining: str | None
    rows: dict[str, SmoothedRow]


class SmoothedPaper(TypedDict):
    """Tables of Wang & Ji; `classes` by data set."""

    source: str
    classes: dict[str, list[str]]
    tables: list[SmoothedTable]


class UpsamplingRow(TypedDict):
    """A row of Table 1 of Gao et al.: fractions."""

    dataset: str
    model: str
    upsampling: str
    pixel_accuracy: float
    miou: float


class PixelPaper(TypedDict):
    """Tables of Gao et al.; `table2` has seconds by layer, with a caption."""

    source: str
    table1: list[UpsamplingRow]
    table2: dict[str, str | dict[str, int]]


class Published(TypedDict):
    """The whole file."""

    smoothed_dilated_convolutions: SmoothedPaper
    pixel_deconvolutional_networks: PixelPaper


@functools.cache
def published() -> Published:
    """The tables by paper, as they are printed there."""
    return yaml.safe_load(FILE.read_text())


def smoothed_scores(number: int) -> dict[str, dict[str, float]]:
    """Table 1 to 6 of Wang & Ji: by model, the IoU of each class and the mean, in percent."""
    paper = published()["smoothed_dilated_convolutions"]
    table = next(table for table in paper["tables"] if table["table"] == number)
    classes = paper["classes"][table["dataset"]]
    return {
        model: {**dict(zip(classes, row["iou"], strict=True)), "mean IoU": row["miou"]}
        for model, row in table["rows"].items()
    }


def upsampling_scores(dataset: str, model: str) -> dict[str, dict[str, float]]:
    """Rows of Table 1 of Gao et al. by up-sampling layer: pixel accuracy and mean IoU, in percent."""
    return {
        row["upsampling"]: {"pixel accuracy": 100 * row["pixel_accuracy"], "mean IoU": 100 * row["miou"]}
        for row in published()["pixel_deconvolutional_networks"]["table1"]
        if (row["dataset"], row["model"]) == (dataset, model)
    }


def upsampling_times() -> dict[str, dict[str, int]]:
    """Table 2 of Gao et al.: seconds of 10 epochs of training (`train`) and 2109 predictions (`predict`) by layer."""
    table = published()["pixel_deconvolutional_networks"]["table2"]
    return {layer: times for layer, times in table.items() if isinstance(times, dict)}


def upsampling_times_caption() -> str:
    """The caption of Table 2 of Gao et al."""
    return str(published()["pixel_deconvolutional_networks"]["table2"]["what"])
