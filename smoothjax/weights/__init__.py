"""Published weights converted to parameters of our operations and networks, and our own files of weights."""

# Files.
from ._read import read as read

# isort: split
# Our own files.
from ._file import Description as Description
from ._file import describe as describe
from ._file import load as load
from ._file import save as save
from ._hub import from_hub as from_hub
from ._hub import hub_file as hub_file

# isort: split
# The authors' code (Wang & Ji, KDD 2018).
from ._deeplab import deeplab_from_tf as deeplab_from_tf
from ._official import group_interaction_weight_from_official as group_interaction_weight_from_official

# isort: split
# Networks trained for classification.
from ._efficientnet_lite import efficientnet_lite_from_torch as efficientnet_lite_from_torch
from ._efficientnet_lite import installed_file as installed_file
from ._initialize import Initialization as Initialization
from ._initialize import LoadReport as LoadReport
from ._initialize import grouped_names as grouped_names
from ._initialize import initialize_encoder as initialize_encoder
from ._resnet import resnet_from_slim as resnet_from_slim
from ._resnet import resnet_from_torchvision as resnet_from_torchvision

# isort: split
# Restoration (Chen et al., WACV 2019).
from ._gcanet import gcanet_from_torch as gcanet_from_torch

# isort: split
# The preprocessing and the architecture that weights require.
from ..names import SourceName as SourceName
from ._preprocessing import CAFFE_PREPROCESSING as CAFFE_PREPROCESSING
from ._preprocessing import EFFICIENTNET_LITE_PREPROCESSING as EFFICIENTNET_LITE_PREPROCESSING
from ._preprocessing import SLIM_PREPROCESSING as SLIM_PREPROCESSING
from ._preprocessing import TORCHVISION_PREPROCESSING as TORCHVISION_PREPROCESSING
from ._preprocessing import Preprocessing as Preprocessing
from ._sources import SOURCES as SOURCES
from ._sources import Source as Source
