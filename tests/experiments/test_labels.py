"""Words of figures: no heading spells an option or its value as it is typed."""

import re
from typing import get_args, get_type_hints

import pytest

from experiments.common.dense.config import DataName
from experiments.common.labels import data_label, option_label, value_label
from experiments.restoration.config import DataName as RestorationData
from experiments.vae.config import DataConfig as VAEData
from smoothjax.names import Encoder, Head

_TYPED = re.compile(r"_|\b[a-z]+\.[a-z]|\[")


@pytest.mark.parametrize("kind", [DataName, RestorationData, get_type_hints(VAEData)["name"]])
def test_every_data_set_has_a_name_of_its_own(kind):
    """One that is added to the choices only would be drawn as it is typed, such as camvid."""
    for name in get_args(kind):
        assert data_label(name, "photos/cats") != name


@pytest.mark.parametrize("kind", [Encoder, Head])
def test_networks_are_called_as_they_are_published(kind):
    for value in get_args(kind):
        assert not _TYPED.search(value_label(value))
    assert [value_label(name) for name in ("resnet18", "efficientnet_lite0", "large_fov")] == [
        "ResNet-18",
        "EfficientNet-Lite0",
        "LargeFOV",
    ]


def test_folders_go_by_their_last_part():
    """A title is no place for a path."""
    assert data_label("folder", "/home/me/photos/cats") == "the folder cats"
    assert data_label("folder") == "the folder folder"
    assert data_label("folder", ".") == "a folder"


@pytest.mark.parametrize(
    ("value", "label"), [(None, "default rates"), (True, "rates"), (False, "no rates"), ((1, 2), "rates 1 2")]
)
def test_options_without_their_section(value, label):
    assert option_label("model.rates", value) == label
