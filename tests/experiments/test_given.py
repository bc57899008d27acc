"""Options that only some data sets read: the tables of the studies beside what the sources read."""

import dataclasses
import importlib
from operator import attrgetter
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from experiments.common.config import with_options
from experiments.common.options import shown

#: Options in the sections of the data that every data set reads.
_EVERY = {
    "segmentation": {"train_split", "channels", "mean", "std", "mirror", "scale", "crop_size", "scale_range"},
    "pixel_dcn": {"train_split", "channels", "mean", "std", "mirror", "size"},
    "vae": {"mirror"},
    "restoration": {"crop_size", "mirror"},
    "sequence": set(),
}
#: Read when the files are checked, or a batch is made; not when a split is opened.
_LATER = {"data.check", "data.allow_empty_classes", "haze.airlight", "haze.beta", "haze.depth", "noise.sigma"}


def _presets(study):
    return importlib.import_module(f"experiments.{study}.__main__").PRESETS


def _names(config):
    return get_args(get_type_hints(type(config.data))["name"])


def _other(value):
    """Another value of the same option."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple):
        return tuple(item + 1 for item in value)
    return "mine" if value is None or isinstance(value, str) else value + 1


@pytest.mark.parametrize("study", _EVERY)
def test_every_option_is_read_by_all_data_or_in_the_table(study):
    """A new option of some data sets would be ignored by the others."""
    config = next(iter(_presets(study).values())).config
    fields = {field.name for field in dataclasses.fields(config.data)} - {"name", "augment"}
    listed = {option.removeprefix("data.") for option in config.read_by if option.startswith("data.")}
    assert fields == listed | _EVERY[study]
    assert not listed & _EVERY[study]
    for option, names in config.read_by.items():
        attrgetter(option)(config)
        assert set(names) < set(_names(config))


@pytest.mark.parametrize("study", _EVERY)
def test_an_option_is_refused_where_it_is_not_read(study):
    config = next(iter(_presets(study).values())).config
    for name in _names(config):
        of_data = with_options(config, {"data.name": name})
        of_data.check_given(config)
        for option, names in config.read_by.items():
            value = _other(attrgetter(option)(config))
            given = with_options(of_data, {option: value})
            if name in names:
                given.check_given(config)
                continue
            last = option.rpartition(".")[2].replace("_", "-")
            got = "it" if isinstance(value, bool) else shown(value)
            with pytest.raises(ValueError, match=rf"^--\S+{last} is for .*, got {got} with --data.name {name}: leave"):
                given.check_given(config)
            given.check_given(given)  # of the preset, or of the file of a run


class _Recorder:
    """Options that remember which of them were read."""

    def __init__(self, options):
        self._options, self.read = options, set()

    def __getattr__(self, name):
        self.read.add(name)
        return getattr(self._options, name)


@pytest.mark.parametrize("study", _EVERY)
def test_the_table_agrees_with_the_sources(study, tmp_path):
    """Options that a source reads are not refused, and those of the table are not ignored."""
    config = next(iter(_presets(study).values())).config
    sources = "common.dense" if study in ("segmentation", "pixel_dcn") else study
    module = importlib.import_module(f"experiments.{sources}.{'tasks' if study == 'sequence' else 'sources'}")
    text = tmp_path / "text.txt"
    text.write_text("abcd" * 999)
    place = {"data.file": text} if study == "sequence" else {"data.root": Path(tmp_path, "none")}
    for name in _names(config):
        options = _Recorder(with_options(config, {**place, "data.name": name}).data)
        for split in ("train", "val"):
            try:
                module.open_task(options) if study == "sequence" else module.open_source(options, split)
            except FileNotFoundError:
                assert study != "sequence"
        expected = {option for option, names in config.read_by.items() if name in names} - _LATER
        ignored = {option for option, names in config.read_by.items() if name not in names}
        read = {f"data.{option}" for option in options.read}
        assert expected <= read, name
        assert not ignored & read, name
