"""Files of the Hugging Face Hub, from a folder in the layout of its cache: nothing is downloaded."""

import sys

import pytest
from flax import nnx

from smoothjax import models, weights

_COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path):
    """The cache as the Hub's library leaves it after downloading a file of the main branch."""
    pytest.importorskip("huggingface_hub")
    folder = tmp_path / "hub/models--someone--tiny"
    snapshot = folder / "snapshots" / _COMMIT
    for place in (snapshot, folder / "refs", folder / "blobs"):
        place.mkdir(parents=True)
    (folder / "refs/main").write_text(_COMMIT)
    model = models.TemporalConvNet(3, vocabulary=3, width=2, depth=2, rngs=nnx.Rngs(0))
    weights.save(model, tmp_path / "blob.safetensors", preprocessing=weights.SLIM_PREPROCESSING)
    (tmp_path / "blob.safetensors").rename(folder / "blobs/blob")
    (snapshot / "model.safetensors").symlink_to("../../blobs/blob")
    return tmp_path / "hub"


def test_a_network_out_of_the_cache(cache):
    found = weights.from_hub("someone/tiny", cache_dir=cache, local_files_only=True)
    assert isinstance(found, models.TemporalConvNet)
    assert found.rates == (1, 2)
    file = weights.hub_file("someone/tiny", revision=_COMMIT, cache_dir=cache, local_files_only=True)
    assert weights.describe(file).preprocessing == weights.SLIM_PREPROCESSING


def test_a_wrong_name(cache):
    options = {"cache_dir": cache, "local_files_only": True}
    with pytest.raises(ValueError, match="name must be a repository of the Hub, 'owner/name', got 'a/b/c'"):
        weights.from_hub("a/b/c", **options)
    message = "the file 'model.safetensors' of 'someone/else' has not been downloaded, and the Hub was not reached"
    with pytest.raises(OSError, match=f"{message}: leave local_files_only out to download it"):
        weights.from_hub("someone/else", **options)
    with pytest.raises(OSError, match=r"the file 'other.safetensors' of 'someone/tiny' at 'main' has not been"):
        weights.from_hub("someone/tiny", filename="other.safetensors", revision="main", **options)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "RepositoryNotFoundError",
            "the Hub has no file 'model.safetensors' of 'someone/tiny': check the name at http",
        ),
        ("RevisionNotFoundError", "the Hub has no file 'model.safetensors' of 'someone/tiny'"),
        ("RemoteEntryNotFoundError", "the Hub has no file 'model.safetensors' of 'someone/tiny'"),
        ("GatedRepoError", "is only for users admitted by its owner: ask there, then log in"),
    ],
)
def test_what_the_hub_refuses(kind, message, monkeypatch):
    """The Hub answers with errors of many types, and pages of text."""
    hub = pytest.importorskip("huggingface_hub")
    errors = pytest.importorskip("huggingface_hub.errors")

    def refuse(*_, **__):
        raise getattr(errors, kind).__new__(getattr(errors, kind))

    monkeypatch.setattr(hub, "hf_hub_download", refuse)
    with pytest.raises(ValueError, match=message):
        weights.from_hub("someone/tiny")


def test_without_the_library_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(
        ModuleNotFoundError, match=r'which is not installed .*: pip install -e ".\[hub\]" in the checkout'
    ):
        weights.from_hub("someone/tiny")
