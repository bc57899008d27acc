"""Folders of finished runs, made by hand."""

import json
from typing import Any

import yaml

from experiments.common.run_folder import to_dict

START = {
    "command": "python -m experiments.segmentation compare camvid --data.root /home/me/camvid --out /home/me/runs/x",
    "commit": "0123456789abcdef",
    "device": "1 x NVIDIA H100",
    "processor": "x86_64, 16 cores",
}


def write(folder: Any, config: Any, val: float, test: float | None = None, **result: Any) -> None:
    """A finished run as training leaves it; with `test`, scored on test as well, class by class."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({"study": config.study, **to_dict(config)}))
    (folder / "environment.json").write_text(json.dumps([START]))
    content = {"val": {"mean_iou": val, "pixel_accuracy": 0.9}, "extra_parameters": 7, "seconds_per_step": 0.05}
    (folder / "result.json").write_text(json.dumps(content | result))
    if test is not None:
        evaluate(folder, "test", test, {"sky": test + 0.1, "car": test - 0.1, "sign": None})


def evaluate(folder: Any, split: str, mean: float, iou: dict[str, float | None], **more: Any) -> None:
    scores = {"split": split, "mean_iou": mean, "pixel_accuracy": 0.9, "iou": iou}
    scores["boundary"] = {"mean_boundary_iou": mean / 2, "trimap_mean_iou": mean / 3}
    (folder / f"evaluation-{split}.json").write_text(json.dumps(scores | more))
