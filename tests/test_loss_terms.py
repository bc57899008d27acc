"""Sums of losses as text."""

import pytest

from smoothjax.loss_terms import LOSSES, LossTerm, parse_loss


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("cross_entropy", [LossTerm("cross_entropy")]),
        ("cross_entropy+.5dice", [LossTerm("cross_entropy"), LossTerm("dice", 0.5)]),
        (
            " 2 * focal( gamma = 1.5 ) + 1e-2 bce",
            [LossTerm("focal", 2.0, {"gamma": 1.5}), LossTerm("bce", 0.01)],
        ),
        ("ohem(threshold=0.5, min_share=0.1)", [LossTerm("ohem", 1.0, {"threshold": 0.5, "min_share": 0.1})]),
    ],
)
def test_sums(text: str, terms: list[LossTerm]) -> None:
    assert parse_loss(text) == tuple(terms)


def test_every_loss_can_be_named() -> None:
    assert [term.name for term in parse_loss(" + ".join(LOSSES))] == list(LOSSES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a sum of names with weights, a term is missing: try cross_entropy"),
        ("dice +", "a term is missing"),
        ("dice - bce", "'dice - bce' is not a term"),
        ("-1 dice", "'-1 dice' is not a term"),
        ("__import__('os')", "is not a term: try"),
        ("dise", "names 'dise', which is not a loss: did you mean dice"),
        ("huber", "names 'huber', which is not a loss: choose from cross_entropy, ohem"),
        ("0 dice", "must have positive and finite weights, got 0: leave dice out"),
        ("dice + 2 dice", "must name each once, got dice again: add their weights"),
        ("dice(gamma=2)", "gives dice the option 'gamma', which it does not take: it takes smooth"),
        ("bce(gamma=2)", "which it does not take: it takes none"),
        ("focal(gamma=1, gamma=2)", "gives focal the option 'gamma' twice: leave one out"),
        ("focal(2)", "must have options NAME=NUMBER, got '2'"),
        ("ohem(threshold=2)", r"ohem: threshold must be in \(0, 1\], got 2"),
    ],
)
def test_refuses_anything_else(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_loss(text)
