"""Data sets for dense prediction: sources of examples, transforms, and pipelines of batches.

A source returns examples by index: `ShapesSource` draws them, `FolderSource` reads your own, and any object with the
members of `Source` works. `train_iterator` makes endless augmented batches from a source, `evaluation_batches` goes
through it once. Everything here is NumPy; label 255 marks pixels that do not count.

`PreparedSource` reads data sets that `smoothjax.datasets` has prepared.
"""

import importlib
from typing import TYPE_CHECKING

# isort: split
# Sources: examples by index, drawn or read from a folder.
from ._folder import FolderSource as FolderSource
from ._folder import by_stem as by_stem
from ._folder import find_classes as find_classes
from ._folder import list_images as list_images
from ._resized import ResizedSource as ResizedSource
from ._shapes import ShapesSource as ShapesSource
from ._source import CountedSource as CountedSource
from ._source import Examples as Examples
from ._source import FileSource as FileSource
from ._source import InvalidDataError as InvalidDataError
from ._source import Named as Named
from ._source import Record as Record
from ._source import ScaledSource as ScaledSource
from ._source import Source as Source
from ._source import label_problems as label_problems
from ._wires import WiresSource as WiresSource

# isort: split
# Prepared data sets, and data sets as their authors distribute them.
from ._celeba import CelebASource as CelebASource
from ._celeba import crop_face as crop_face
from ._metadata import INCOMPLETE_SUFFIX as INCOMPLETE_SUFFIX
from ._metadata import METADATA_FILE as METADATA_FILE
from ._metadata import LabelCounts as LabelCounts
from ._metadata import Metadata as Metadata
from ._metadata import SplitMetadata as SplitMetadata
from ._prepared import DATA_DIR as DATA_DIR
from ._prepared import DATA_SETS as DATA_SETS
from ._prepared import PreparedSource as PreparedSource
from ._prepared import find_prepared as find_prepared
from ._prepared import is_prepared as is_prepared
from ._prepared import open_split as open_split
from ._prepared import prepared_splits as prepared_splits
from ._stored import open_builder as open_builder

# isort: split
# Classes and their colours.
from ._classes import CLASS_FILES as CLASS_FILES
from ._classes import IGNORE_LABEL as IGNORE_LABEL
from ._classes import Classes as Classes
from ._classes import MaskCoding as MaskCoding
from ._classes import default_colors as default_colors
from ._classes import load_classes as load_classes
from ._classes import parse_classes as parse_classes
from ._colors import colorize as colorize
from ._colors import overlay as overlay
from ._colors import to_rgb as to_rgb
from ._presets import CAMVID as CAMVID
from ._presets import CITYSCAPES as CITYSCAPES
from ._presets import COCO as COCO
from ._presets import SHAPES as SHAPES
from ._presets import VOC2012 as VOC2012
from ._presets import WIRES as WIRES

# isort: split
# Files.
from ._channels import ARRAY_SUFFIX as ARRAY_SUFFIX
from ._files import IMAGE_SUFFIXES as IMAGE_SUFFIXES
from ._files import MASK_SUFFIXES as MASK_SUFFIXES
from ._files import OTHER_SUFFIXES as OTHER_SUFFIXES
from ._files import decode_mask as decode_mask
from ._files import decode_view as decode_view
from ._files import read_image as read_image
from ._files import read_mask as read_mask
from ._files import read_size as read_size
from ._files import read_view as read_view
from ._masks import decode_label as decode_label
from ._masks import decode_palette as decode_palette
from ._masks import read_label as read_label
from ._open import MAX_PIXELS as MAX_PIXELS
from ._open import Decoded as Decoded
from ._open import OpenedImage as OpenedImage
from ._open import SizeDiffersError as SizeDiffersError
from ._open import header_size as header_size
from ._open import open_image as open_image

# isort: split
# Transforms.
from ..augmentation import Strengths as Strengths
from ._geometric import balanced_crop as balanced_crop
from ._geometric import random_rotate as random_rotate
from ._geometric import rotate as rotate
from ._photometric import adjust_colors as adjust_colors
from ._photometric import adjust_tone as adjust_tone
from ._photometric import blur as blur
from ._photometric import compress as compress
from ._photometric import random_colors as random_colors
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
    from ._pipeline import ReadingAugmentation as ReadingAugmentation
    from ._pipeline import train_iterator as train_iterator
else:
    # These need Grain, which imports JAX; `--help` should not wait for it.
    _LAZY = {
        "Augmentation": "_pipeline",
        "ReadingAugmentation": "_pipeline",
        "evaluation_batches": "_evaluation",
        "train_iterator": "_pipeline",
    }

    def __getattr__(name: str) -> object:
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
