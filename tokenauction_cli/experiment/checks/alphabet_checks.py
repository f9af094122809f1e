"""Mistakes about the alphabet of an auction: keys of another alphabet, rules that have no law over words."""

from __future__ import annotations

from collections.abc import Sequence

from ...mechanism import registry
from ..format.auction import AuctionSection
from ..format.draft import Draft

OF_TOKENS, OF_BYTES = ("max_tokens", "separator"), ("max_bytes", "covering")
TRUNCATIONS = ("top_k", "top_p", "min_p")
INSTEAD = {
    "max_tokens": "; use max_bytes",
    "max_bytes": "; use max_tokens",
    "separator": ": nothing joins the tokens of tables there; leave it out",
}


def check_alphabet(draft: Draft) -> None:
    """Tokens and bytes are counted by keys of their own; words need rules that are mixtures of the agents' own laws."""
    if draft.auction is None:
        return
    alphabet = draft.auction.alphabet or "tokens"
    for key in OF_BYTES if alphabet == "tokens" else OF_TOKENS:
        if draft.source.get("auction", key) is not None:
            instead = INSTEAD.get(key, " (add 'alphabet: bytes', or leave it out)")
            draft.source.problem(
                ("auction", key), f"{key} does not go with the alphabet {alphabet}{instead}", at_key=True
            )
    for voice in () if alphabet == "tokens" else draft.voices:
        for key in TRUNCATIONS:
            if voice.entry.get(key):
                message = (
                    f"{key} keeps tokens of a model, and over {alphabet} no token is drawn; use 'alphabet: tokens', or "
                    "leave it out"
                )
                draft.source.problem((*voice.path, key), message, at_key=True)
    if alphabet == "words":
        if draft.source.get("reference") is not None:
            message = "a reference scores texts of tokens or bytes, not of words; use 'alphabet: bytes'"
            draft.source.problem(("reference",), message, at_key=True)
        _check_rules_of_words(draft, draft.auction)


def _check_rules_of_words(draft: Draft, auction: AuctionSection) -> None:
    """Rules of the user's own are looked at when they are loaded."""
    named: tuple[tuple[registry.Kind, str, Sequence[str]], ...] = (
        ("aggregation", "aggregation", auction.aggregation),
        ("payment", "payments", auction.payments),
    )
    for kind, key, names in named:
        for i, name in enumerate(names):
            reason = registry.misfit_over_words(kind, name) if registry.is_known(kind, name) else ""
            if reason:
                draft.source.problem(("auction", key, i), reason)
