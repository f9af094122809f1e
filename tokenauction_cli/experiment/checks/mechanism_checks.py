"""Mistakes about mechanisms: what a mechanism cannot do, and keys that only the token auction has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ...mechanism import registry
from ...mechanism.alternatives.mechanisms import Mechanism
from ..format.agents import AgentSection
from ..format.auction import TOKEN_AUCTION, AuctionSection
from ..format.draft import Draft
from ..format.mechanisms import OF_TOKEN_AUCTION, SegmentSection
from ..format.values import shown
from ..resolved.mechanism_choice import MechanismChoice, mechanisms_of
from ..resolved.sweep import SweepPoint, n_seeds
from ..source.located_yaml import KeyPath
from .sweep_checks import MAX_CELLS, check_labels

PLACES: dict[str, KeyPath] = {key: ("auction", key) for key in ("alphabet", "sampling", "reserve")}


class Premises(NamedTuple):
    """What an experiment has that not every mechanism takes."""

    alphabet: str
    sampling: str
    reserve: float
    has_budget: bool
    has_reference: bool


def check_mechanisms(draft: Draft) -> None:
    """Report the mistakes of the mechanisms; their names are looked at with the rules."""
    auction = draft.auction
    if auction is None:
        return
    for i, name in enumerate(auction.mechanisms):
        if name in auction.mechanisms[:i]:
            draft.source.problem(("auction", "mechanism", i), f"the mechanism {shown(name)} is here twice")
    if auction.segment is not None:
        _check_segment(draft, auction.segment)
    _check_keys_of_token_auction(draft, auction)
    for i, choice in enumerate(mechanisms_of(auction)):
        if choice.name != TOKEN_AUCTION and registry.is_known("mechanism", choice.name):
            _check_misfits(draft, auction, choice, ("auction", "mechanism", i))
            _check_candidates(draft, auction, choice)


def misfits(mechanism: Mechanism, choice: MechanismChoice, premises: Premises) -> Iterator[tuple[str, str]]:
    """Why an experiment cannot have a mechanism, each reason after the key that it is about; of any but the token
    auction. A mechanism of the user's own is asked when it is loaded.
    """
    name = mechanism.name
    if premises.alphabet == "words":
        yield "alphabet", f"{name} writes and scores texts of tokens or bytes, not of words; use 'alphabet: bytes'"
    if (
        mechanism.writers == "generator"
        and choice.candidates is not None
        and not registry.is_lottery(premises.sampling)
    ):
        why = f"{name} chooses among candidates, which {premises.sampling} sampling makes all the same"
        yield "sampling", f"{why}; leave sampling out"
    if why := mechanism.refuses(reserve=premises.reserve):
        yield "reserve", why
    if premises.has_budget and (why := mechanism.refuses(has_budget=True)):
        yield "budget", why
    if "log_reference" in mechanism.needs and not premises.has_reference:
        score = f" with the score {choice.settings['score']}" if "score" in choice.settings else ""
        yield "score", f"{name}{score} needs the key 'reference' at the top of the file: the model that gives l_0"


def _check_misfits(draft: Draft, auction: AuctionSection, choice: MechanismChoice, entry: KeyPath) -> None:
    budgets: list[KeyPath] = [("agents", i, "budget") for i, agent in enumerate(draft.agents) if agent and agent.budget]
    premises = Premises(
        alphabet=auction.alphabet or "tokens",
        sampling=auction.sampling or registry.names("sampling")[0],
        reserve=auction.reserve or 0.0,
        has_budget=bool(budgets),
        has_reference=draft.source.get("reference") is not None,
    )
    for key, why in misfits(_made(choice), choice, premises):
        own: KeyPath = ("auction", choice.name, key)
        elsewhere = own if draft.source.get(*own) is not None else entry
        for path in budgets if key == "budget" else [PLACES.get(key, elsewhere)]:
            draft.source.problem(path, why, at_key=key == "budget")


def _check_candidates(draft: Draft, auction: AuctionSection, choice: MechanismChoice) -> None:
    """All texts can be listed where agents are tables over tokens; not too many are written."""
    path: KeyPath = ("auction", choice.name, "candidates")
    has_models = any(agent.model is not None for agent in draft.agents if agent is not None)
    if choice.candidates is None:
        if has_models or auction.alphabet not in (None, "tokens"):
            message = "the candidates all need agents with tables in an auction of tokens; here give their number"
            draft.source.problem(path, message)
        return
    n_queries, seeds = draft.n_queries, 1 if draft.sweep is None else n_seeds(draft.sweep)
    n_texts = n_queries * seeds * choice.candidates
    if n_texts > MAX_CELLS:
        factors = f"{n_queries:,} queries x {seeds:,} seeds x {choice.candidates:,}"
        message = f"expected at most {MAX_CELLS:,} candidates in all, got {n_texts:,} ({factors})"
        draft.source.problem(path, message)


def _check_segment(draft: Draft, segment: SegmentSection) -> None:
    check_labels(draft, ("auction", "segment", "relevance"), list(segment.relevance or ()))
    if segment.unit == "text" and (segment.segments or 1) > 1:
        message = f"with the unit text the one segment is the whole text, got {segment.segments}; leave segments out"
        draft.source.problem(("auction", "segment", "segments"), message)


def _check_keys_of_token_auction(draft: Draft, auction: AuctionSection) -> None:
    if auction.auctions_tokens:
        return
    for key in OF_TOKEN_AUCTION:
        if draft.source.get("auction", key) is not None:
            listed = f"; {known}" if key == "payments" and (known := _payments_of(auction)) else ""
            message = f"{key} is a key of {TOKEN_AUCTION} alone, which is not one of the mechanisms{listed}"
            remedy = f"leave {key} out, or add {TOKEN_AUCTION} to auction.mechanism"
            draft.source.problem(("auction", key), f"{message}; {remedy}", at_key=True)


def _payments_of(auction: AuctionSection) -> str:
    """Which payments the mechanisms that are known by name have, in words."""
    made = [_made(choice) for choice in mechanisms_of(auction) if registry.is_known("mechanism", choice.name)]
    told = (f"{one.name} has {' and '.join(f'payment.{name}' for name in one.payments)}" for one in made)
    return ", ".join(dict.fromkeys(told))


def _made(choice: MechanismChoice) -> Mechanism:
    """A mechanism that is known by name."""
    mechanism: Mechanism = registry.find("mechanism", choice.name, choice.settings)
    return mechanism


def check_winners(
    draft: Draft, agents: Sequence[AgentSection], auction: AuctionSection, points: Iterable[SweepPoint]
) -> None:
    """Report a sweep point where nobody can win a segment; of sections whose names are resolved."""
    relevance = (auction.segment and auction.segment.relevance) or {}
    if 0 not in relevance.values():
        return
    for point in points:
        if not any(bid * relevance.get(agent.id, 1.0) for bid, agent in zip(point.bids, agents, strict=True)):
            message = f"at point {point.index} of the sweep nobody can win a segment: each bid or relevance is 0"
            draft.source.problem(("auction", "segment", "relevance"), message, at_key=True)
            return
