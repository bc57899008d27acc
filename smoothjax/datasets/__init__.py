"""Preparation of data sets: from the archives of their authors to checked records.

`prepare` makes a data set, `smoothjax.data.PreparedSource` reads it; `python -m smoothjax.data` is the command line.
`check_source`, `count_labels` and `describe` take any source.
"""

# isort: split
# Preparation.
from . import builders as builders
from ._prepare import prepare as prepare

# isort: split
# The content of a data set.
from ._check import check_labels as check_labels
from ._check import check_source as check_source
from ._describe import describe as describe
from ._describe import draw_grid as draw_grid
from ._statistics import ChannelStatistics as ChannelStatistics
from ._statistics import channel_statistics as channel_statistics
from ._statistics import class_weights as class_weights
from ._statistics import count_labels as count_labels
from ._statistics import enet_weights as enet_weights
from ._statistics import median_frequency_weights as median_frequency_weights
