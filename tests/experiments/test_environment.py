"""What a run records of the machine and the packages."""

import importlib.metadata

import smoothjax
from experiments.common.environment import environment


def test_a_checkout_on_the_path_needs_no_installation(monkeypatch):
    """With PYTHONPATH, runs ended without a sentence that helps, after their data were read and networks made."""
    version = importlib.metadata.version

    def missing(name):
        if name == "smoothjax":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    packages = environment("segmentation")["packages"]
    assert packages["smoothjax"] == smoothjax.__version__
    assert packages["jax"] == version("jax")
