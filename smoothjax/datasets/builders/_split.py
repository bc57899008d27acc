"""Divides a data set that comes without splits."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str:
        """The name, different for each example."""
        ...


N = TypeVar("N", bound=Named)


def divide(examples: Sequence[N], fractions: Mapping[str, float], seed: int) -> dict[str, list[N]]:
    """Divides examples into parts of given shares, chosen only by the seed and the names; the rest is `train`.

    The choice is the same on every machine and for every order of the examples, and an added example changes little:
    names are ranked by a hash, and each part takes the lowest that are left.

    Args:
      examples: examples of different names.
      fractions: the share of each part, 0 .. 1; a share above 0 is at least one example, as long as one is left to
        train.
      seed: another seed gives another choice.

    Returns:
      `train` and each part that has examples, in the order of the examples.

    Raises:
      ValueError: the shares are negative, or leave nothing to train.

    Example:
      >>> from smoothjax.datasets.builders import Example, File
      >>> examples = [Example(str(i), File("", bytes)) for i in range(20)]
      >>> {split: len(part) for split, part in divide(examples, {"val": 0.1}, seed=0).items()}
      {'train': 18, 'val': 2}
    """
    if any(fraction < 0 for fraction in fractions.values()) or sum(fractions.values()) >= 1:
        given = ", ".join(f"{split} {fraction}" for split, fraction in fractions.items())
        raise ValueError(f"the shares of the splits must be 0 or more and leave something to train, got {given}")
    names = [example.name for example in examples]
    ranked = sorted(names, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    part_of = dict.fromkeys(names, "train")
    for split, fraction in fractions.items():
        count = max(1, round(fraction * len(names))) if fraction else 0
        count = min(count, max(0, len(ranked) - 1))
        part_of.update(dict.fromkeys(ranked[:count], split))
        ranked = ranked[count:]
    splits = ["train", *(split for split in fractions if split in part_of.values())]
    return {split: [example for example in examples if part_of[example.name] == split] for split in splits}
