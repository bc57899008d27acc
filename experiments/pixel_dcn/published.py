"""The table of the paper, next to ours."""

from ..common.published import upsampling_scores
from ..common.table import align
from .config import Config

_DATA = {"voc2012": "PASCAL 2012", "coco2015": "MSCOCO 2015"}
_MODELS = {"unet": "U-Net", "deeplab": "DeepLab-ResNet"}


def published_section(config: Config) -> str:
    """The rows of Table 1 with the data set and the network of a run, in Markdown, or that there are none."""
    dataset, model = _DATA.get(config.data.name, ""), _MODELS[config.model.network]
    rows = [
        [layer, *(f"{score:.1f}" for score in scores.values())]
        for layer, scores in upsampling_scores(dataset, model).items()
    ]
    if not rows:
        return f"Table 1 of the paper (Gao et al., 2017) has no row for {model} on {config.data.name}."
    title = f"Table 1 of the paper (Gao et al., 2017), {model} on {dataset}:"
    return f"{title}\n\n{align(['published', 'pixel accuracy %', 'mean IoU %'], rows)}"
