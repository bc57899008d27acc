"""Data sets for dense prediction: sources of examples, transforms, and pipelines of batches.

A source gives examples by index: `ShapesSource` draws them, `FolderSource` reads a user's own, and anything with the
members of `Source` will do. `train_iterator` makes endless augmented batches of a source, `evaluation_batches` goes
through one once. Everything here is NumPy; label 255 marks pixels that do not count.

`prepare` makes well-known data sets out of the archives that their authors distribute, and `PreparedSource` reads them;
`python -m smoothjax.data` does it from the command line.
"""

import importlib
from typing import TYPE_CHECKING, Any

# isort: split
# Sources: examples by index, drawn or read from a folder.
from ._check import check_source as check_source
from ._folder import FolderSource as FolderSource
from ._folder import find_classes as find_classes
from ._resized import ResizedSource as ResizedSource
from ._shapes import ShapesSource as ShapesSource
from ._source import InvalidDataError as InvalidDataError
from ._source import Record as Record
from ._source import Source as Source

# isort: split
# Data sets out of their authors' archives.
from . import builders as builders
from ._celeba import CelebASource as CelebASource
from ._celeba import crop_face as crop_face
from ._prepare import DATA_DIR as DATA_DIR
from ._prepare import prepare as prepare
from ._prepared import PreparedSource as PreparedSource
from ._prepared import is_prepared as is_prepared
from ._prepared import open_split as open_split
from ._prepared import prepared_splits as prepared_splits

# isort: split
# Classes and their colours.
from ._classes import IGNORE_LABEL as IGNORE_LABEL
from ._classes import Classes as Classes
from ._classes import default_colors as default_colors
from ._classes import load_classes as load_classes
from ._colors import colorize as colorize
from ._colors import overlay as overlay
from ._presets import CAMVID as CAMVID
from ._presets import CITYSCAPES as CITYSCAPES
from ._presets import COCO as COCO
from ._presets import SHAPES as SHAPES
from ._presets import VOC2012 as VOC2012

# isort: split
# What is in a data set.
from ._describe import describe as describe
from ._describe import draw_grid as draw_grid
from ._metadata import LabelCounts as LabelCounts
from ._statistics import count_labels as count_labels
from ._statistics import median_frequency_weights as median_frequency_weights

# isort: split
# Files.
from ._files import read_image as read_image
from ._files import read_mask as read_mask
from ._files import read_view as read_view

# isort: split
# Transforms.
from ._transforms import IMAGENET_MEAN as IMAGENET_MEAN
from ._transforms import IMAGENET_STD as IMAGENET_STD
from ._transforms import normalize as normalize
from ._transforms import normalize_image as normalize_image
from ._transforms import pad_to as pad_to
from ._transforms import random_crop as random_crop
from ._transforms import random_mirror as random_mirror
from ._transforms import random_scale as random_scale
from ._transforms import resize as resize

# Batches.
if TYPE_CHECKING:
    from ._evaluation import evaluation_batches as evaluation_batches
    from ._pipeline import Augmentation as Augmentation
    from ._pipeline import train_iterator as train_iterator
else:
    # These need Grain, which imports JAX; a command line that asks for help does not wait for it.
    _LAZY = {"Augmentation": "_pipeline", "evaluation_batches": "_evaluation", "train_iterator": "_pipeline"}

    def __getattr__(name: str) -> Any:
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
