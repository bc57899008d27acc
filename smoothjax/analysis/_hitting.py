"""Smallest hitting sets: the fewest names such that every set has one."""

from collections.abc import Iterable, Sequence

#: Steps of the search, after which it takes the best set found.
_STEPS = 20_000


def smallest_hitting(names: Sequence[str], sets: Iterable[frozenset[str]]) -> frozenset[str]:
    """The fewest names such that every set has one; for many sets, an approximation."""
    wanted = sorted((one for one in set(sets) if one), key=lambda one: (len(one), sorted(one)))
    wanted = [one for one in wanted if not any(other < one for other in wanted)]
    # Start greedily with the name that most remaining sets have.
    best, left = frozenset[str](), list(wanted)
    while left:
        name = max(names, key=lambda name: sum(name in one for one in left))
        best, left = best | {name}, [one for one in left if name not in one]
    steps = 0

    def search(chosen: frozenset[str], out: frozenset[str]) -> None:
        nonlocal best, steps
        steps += 1
        missing = [one for one in wanted if not one & chosen]
        if not missing:
            best = min(best, chosen, key=len)
        elif steps < _STEPS and len(chosen) + _apart(missing) < len(best):
            excluded = out
            for name in sorted(missing[0] - out, key=names.index):
                search(chosen | {name}, excluded)
                excluded |= {name}

    search(frozenset(), frozenset())
    return best


def _apart(sets: Sequence[frozenset[str]]) -> int:
    """A lower bound of the number of disjoint sets, each of which needs a separate name."""
    taken, count = frozenset[str](), 0
    for one in sets:
        if not one & taken:
            taken, count = taken | one, count + 1
    return count
