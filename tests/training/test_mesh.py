import jax
import jax.numpy as jnp
import numpy as np
import pytest

from smoothjax.training import data_mesh, replicate, shard_batch


def test_a_batch_is_split_in_order() -> None:
    batch = shard_batch({"x": np.arange(16).reshape(16, 1)}, data_mesh())
    assert [shard.data.ravel().tolist() for shard in batch["x"].addressable_shards][:2] == [[0, 1], [2, 3]]
    np.testing.assert_array_equal(batch["x"].ravel(), np.arange(16))


def test_replicate_copies_even_on_the_device_where_the_array_is() -> None:
    given = {"w": jnp.ones(3)}
    for devices in (1, 8):
        copy = replicate(given, data_mesh(jax.devices()[:devices]))
        assert len(copy["w"].sharding.device_set) == devices
        jax.tree.map(lambda x: x.delete(), copy)
        np.testing.assert_array_equal(given["w"], 1)


@pytest.mark.parametrize(
    ("leaf", "message"),
    [
        (
            np.zeros((6, 2)),
            r"the rows of batch\['x'\] on this process must be a positive multiple of the 8 devices, got 6: try 8",
        ),
        (np.zeros(()), r"batch\['x'\] must have a leading batch axis, got a scalar; make it \[N"),
        (np.zeros((0, 2)), r"batch\['x'\] must have at least one row, got shape \(0, 2\); leave empty batches out"),
        (np.array(["a"] * 8), r"batch\['x'\] has dtype <U1, which no device holds; remove it first"),
    ],
)
def test_bad_batches(leaf: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shard_batch({"x": leaf}, data_mesh())
