"""Mistakes about the alphabet of an auction: keys of another alphabet, rules that have no law over words."""

from __future__ import annotations

from ..mechanism import registry
from .draft import Draft
from .file_format import Auction

OF_TOKENS, OF_BYTES = ("max_tokens",), ("max_bytes", "covering")
INSTEAD = {"max_tokens": "max_bytes", "max_bytes": "max_tokens"}


def check_alphabet(draft: Draft) -> None:
    """Tokens and bytes are counted by keys of their own; words need rules that are mixtures of the agents' own laws."""
    if draft.auction is None:
        return
    alphabet = draft.auction.alphabet or "tokens"
    for key in OF_BYTES if alphabet == "tokens" else OF_TOKENS:
        if draft.source.get("auction", key) is not None:
            instead = f"; use {INSTEAD[key]}" if key in INSTEAD else " (add 'alphabet: bytes', or leave it out)"
            draft.source.problem(
                ("auction", key), f"{key} does not go with the alphabet {alphabet}{instead}", at_key=True
            )
    if alphabet == "words":
        _check_rules_of_words(draft, draft.auction)


def _check_rules_of_words(draft: Draft, auction: Auction) -> None:
    """An agent gives a drawn word a probability; those of all other words are never known."""
    for i, name in enumerate(auction.aggregation):
        if registry.is_known("aggregation", name) and not registry.find("aggregation", name).is_linear_mixture:
            draft.source.problem(
                ("auction", "aggregation", i),
                f"{name} needs the probabilities of all words, which cannot be listed; over words there are linear "
                "and random_dictator ('alphabet: bytes' has every rule)",
            )
    for i, name in enumerate(auction.payments):
        if registry.is_known("payment", name) and not registry.find("payment", name).needs_drawn_alone:
            draft.source.problem(
                ("auction", "payments", i),
                f"{name} needs the probabilities of all words, which cannot be listed; over words there are "
                "pay_your_bid and second_price ('alphabet: bytes' has every rule)",
            )
