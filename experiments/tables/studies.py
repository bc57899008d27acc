"""The configurations and presets of the studies, which declare everything that tables need to know about them."""

from collections.abc import Mapping

from ..common.config import Preset, RunConfig
from ..pixel_dcn import config as pixel_dcn
from ..restoration import config as restoration
from ..segmentation import config as segmentation
from ..segmentation.presets import PRESETS as SEGMENTATION
from ..sequence import config as sequence
from ..vae import config as vae

CONFIGS: tuple[type[RunConfig], ...] = (
    segmentation.Config,
    pixel_dcn.Config,
    vae.Config,
    restoration.Config,
    sequence.Config,
)
#: The presets with rows in the papers' tables.
PRESETS: tuple[Mapping[str, Preset[segmentation.Config]] | Mapping[str, Preset[pixel_dcn.Config]], ...] = (
    SEGMENTATION,
    pixel_dcn.PRESETS,
)


def config_of(study: object) -> type[RunConfig]:
    """The configuration of a study by its name.

    Raises:
      ValueError: there is no such study.
    """
    for config in CONFIGS:
        if config.study == study:
            return config
    raise ValueError(f"there is no study {study}: one of {', '.join(config.study for config in CONFIGS)}")
