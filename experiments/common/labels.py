"""Studies, data sets, networks and options in the words of figures and reports; imports no JAX."""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath

_STUDIES: Mapping[str, str] = {"pixel_dcn": "up-sampling", "vae": "auto-encoder"}

_DATA: Mapping[str, str] = {
    "shapes": "drawn shapes",
    "wires": "drawn wires",
    "camvid": "CamVid",
    "voc2012": "PASCAL VOC 2012",
    "coco2015": "MS-COCO",
    "cityscapes": "Cityscapes",
    "celeba": "CelebA",
    "haze": "images in synthetic haze",
    "noise": "images with Gaussian noise",
}

_VALUES: Mapping[str, str] = {
    "aspp": "ASPP",
    "large_fov": "LargeFOV",
    "duc": "DUC",
    "unet": "U-Net",
    "gcanet": "GCANet",
    "dilated_stack": "dilated stack",
    "deeplab": "DeepLab",
    "slim": "TF-Slim",
    "slim-as-authors": "TF-Slim, as the authors",
    "run": "another run",
}


def study_label(study: str) -> str:
    """The name of a study, such as `auto-encoder` for vae."""
    return _STUDIES.get(study, study)


def data_label(name: str, root: str | PurePath | None = None) -> str:
    """The name of a data set; the user's own folder goes by the last part of its path.

    Example:
      >>> data_label("camvid"), data_label("folder", "photos/cats")
      ('CamVid', 'the folder cats')
    """
    if name != "folder":
        return _DATA.get(name, name)
    own = PurePath(name if root is None else root).name
    return f"the folder {own}" if own else "a folder"


def value_label(value: object) -> str:
    """The value of an option: `large_fov` is LargeFOV, `resnet18` ResNet-18, a list its entries."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(map(value_label, value))
    text = str(value)
    for pattern, name in (("resnet", "ResNet-"), ("efficientnet_lite", "EfficientNet-Lite")):
        if found := re.fullmatch(rf"{pattern}(\d+)", text):
            return f"{name}{found[1]}"
    return _VALUES.get(text, text.replace("_", " "))


def option_label(option: str, value: object) -> str:
    """An option and its value, without the spelling of the command line.

    Example:
      >>> options = {"model.head_rates": [3, 6], "data.size": [180, 240], "data.mirror": False}
      >>> [option_label(option, value) for option, value in options.items()]
      ['head rates 3 6', 'size 180x240', 'no mirror']
    """
    name = option.rpartition(".")[2].replace("_", " ")
    if isinstance(value, bool):
        return name if value else f"no {name}"
    if value is None:
        return f"default {name}"
    if name.endswith("size") and isinstance(value, Sequence) and not isinstance(value, str):
        return f"{name} {'x'.join(map(str, value))}"
    return f"{name} {value_label(value)}"
