"""The tables of the paper, beside ours."""

from pathlib import Path

import yaml

from ..common.report import align
from .config import Config

_FILE = Path(__file__).with_name("published.yaml")
_DATA = {"voc2012": "PASCAL 2012", "coco2015": "MSCOCO 2015"}
_MODELS = {"unet": "U-Net", "deeplab": "DeepLab-ResNet"}


def published_section(config: Config) -> str:
    """The rows of Table 1 with the data set and the network of a run, in Markdown, or that there are none."""
    dataset, model = _DATA.get(config.data.name), _MODELS[config.model.network]
    rows = [
        [row["upsampling"], f"{100 * row['pixel_accuracy']:.1f}", f"{100 * row['mean_iou']:.1f}"]
        for row in yaml.safe_load(_FILE.read_text())["table1"]
        if (row["dataset"], row["model"]) == (dataset, model)
    ]
    if not rows:
        return f"Table 1 of the paper (Gao et al., 2017) has no row for {model} on {config.data.name}."
    title = f"Table 1 of the paper (Gao et al., 2017), {model} on {dataset}:"
    return f"{title}\n\n{align(['published', 'pixel accuracy %', 'mean IoU %'], rows)}"


def published_times() -> dict[str, dict[str, float]]:
    """Table 2: seconds of 10 epochs of training (`train`) and of 2109 predictions (`predict`) for each layer."""
    return yaml.safe_load(_FILE.read_text())["table2"]
