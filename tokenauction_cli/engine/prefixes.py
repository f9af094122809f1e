"""Where an audit looks: the prefixes that a run met, and the agents' distributions after each.

A sample of distinct (query, prefix) is drawn from the records, every one equally likely. Table agents are looked
at everywhere: after every text that any of them may continue, as long as there are not too many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..experiment.experiment import Experiment
from ..lm.base import LanguageModel, Request, copied
from ..mechanism.distributions import Profile
from ..mechanism.native.compiled import profile_of
from ..system.errors import CellError
from .bidder_models import BidderModels, TableBidders
from .token_loop import PromptSet

MOST_TABLE_TEXTS = 10_000


class Prefix(NamedTuple):
    """A prefix, as tokens, in answer to a query."""

    query: str
    tokens: tuple[int, ...]


class Looked(NamedTuple):
    """The distributions after each prefix; `exact` where these are all there are."""

    prefixes: list[Prefix]
    profiles: list[Profile]
    exact: bool


def look(
    experiment: Experiment, bidders: BidderModels, model: LanguageModel, records: Mapping[str, Any], n_prefixes: int
) -> Looked:
    """The profiles at which an audit of this experiment is made."""
    if isinstance(bidders, TableBidders):
        everywhere = _every_text(experiment, bidders, model)
        if everywhere is not None:
            return everywhere
    prefixes = sample(experiment, records, n_prefixes)
    return Looked(prefixes, _profiles(experiment, bidders, model, prefixes), exact=False)


def sample(experiment: Experiment, records: Mapping[str, Any], n_prefixes: int) -> list[Prefix]:
    """At most so many distinct prefixes of the recorded texts of the token auction, drawn by the experiment's seed."""
    met = {
        Prefix(record["query"], tuple(record["token_ids"][:length]))
        for record in records.values()
        if "mechanism" not in record
        for length in range(len(record.get("token_ids", ())))
    }
    ordered = sorted(met)
    if len(ordered) <= n_prefixes:
        return ordered
    chosen = np.random.default_rng(experiment.seed).choice(len(ordered), n_prefixes, replace=False)
    return [ordered[k] for k in sorted(chosen)]


def _profiles(
    experiment: Experiment, bidders: BidderModels, model: LanguageModel, prefixes: Sequence[Prefix]
) -> list[Profile]:
    profiles = []
    for prefix in prefixes:
        profile = profile_after(experiment, bidders.prompt_sets[prefix.query], model, prefix.tokens)
        if isinstance(profile, CellError):
            raise profile
        profiles.append(profile)
    return profiles


def profile_after(
    experiment: Experiment, prompt_set: PromptSet, model: LanguageModel, tokens: tuple[int, ...]
) -> Profile | CellError:
    """The agents' distributions after one prefix, or why there are none."""
    (answer,) = model.evaluate([Request(0, prompt_set.prompts, tokens)])
    if isinstance(answer, CellError):
        return answer
    return profile_of([copied(answer[k]) for k in prompt_set.prompt_of_agent], experiment.temperatures)


def _every_text(experiment: Experiment, bidders: TableBidders, model: LanguageModel) -> Looked | None:
    """Over all texts that some agent may write, the shortest first; equal profiles count once. None for too many."""
    query = experiment.queries[0]
    found: dict[bytes, tuple[Prefix, Profile]] = {}
    level: list[tuple[int, ...]] = [()]
    n_texts = 0
    for _ in range(experiment.auction.max_draws):
        following = []
        for tokens in level:
            n_texts += 1
            if n_texts > MOST_TABLE_TEXTS:
                return None
            profile = profile_after(experiment, bidders.prompt_sets[query], model, tokens)
            if isinstance(profile, CellError):
                continue
            key = profile.p.tobytes()
            if key not in found:
                found[key] = Prefix(query, tokens), profile
            said = np.flatnonzero(profile.p.any(axis=0))
            following += [(*tokens, int(t)) for t in said if t not in model.vocabulary.ends]
        level = following
        if not any(prefix.tokens for prefix, _ in found.values()) and n_texts > 1:
            break  # the same distributions everywhere: longer texts show nothing new
    prefixes, profiles = zip(*found.values(), strict=True)
    return Looked(list(prefixes), list(profiles), exact=True)
