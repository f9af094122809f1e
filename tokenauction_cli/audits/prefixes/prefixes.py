"""Where an audit looks: the prefixes that a run met, and the agents' distributions after each.

A sample of distinct (query, prefix) is drawn from the records, every one equally likely. Tables say all there is: one
distribution after each prefix that they name, and one, "*", after any other. So the distinct profiles are those after
the named prefixes that can arise, and the one after a prefix that no table names, at any length of text.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...engine.loop.forms import form_of, restricted
from ...engine.loop.text_state import TextSetting
from ...engine.loop.token_loop import PromptSet
from ...engine.models.bidder_models import BidderModels, TableBidders
from ...engine.rules import Rules
from ...experiment.experiment import Experiment
from ...lm.base import LanguageModel, Logits, Request, copied
from ...lm.table import ANY_TEXT
from ...mechanism.audit.misreport import TEMPERATURES
from ...mechanism.distributions import Profile, softmax
from ...mechanism.native.compiled import profile_of
from ...mechanism.truncation import OFF, truncated
from ...system.errors import CellError
from ...system.steps import Hear, heard, unheard

MOST_TABLE_PREFIXES = 10_000


class Prefix(NamedTuple):
    """A prefix, as tokens, in answer to a query."""

    query: str
    tokens: tuple[int, ...]


class Looked(NamedTuple):
    """The distributions after each prefix; `exact` where these are all there are.

    `left_out` are prefixes that can arise, and after which some agent has no table: nothing is drawn there.
    """

    prefixes: list[Prefix]
    profiles: list[Profile]
    exact: bool
    left_out: Sequence[Prefix] = ()


def look(
    experiment: Experiment,
    rules: Rules,
    bidders: BidderModels,
    model: LanguageModel,
    records: Mapping[str, Any],
    n_prefixes: int,
    hear: Hear = unheard,
) -> Looked:
    """The profiles at which an audit of this experiment is made."""
    if isinstance(bidders, TableBidders):
        everywhere = _everywhere(experiment, rules, bidders, model)
        if everywhere is not None:
            return everywhere
    prefixes = sample(experiment, records, n_prefixes)
    return Looked(prefixes, _profiles(experiment, bidders, model, prefixes, hear), exact=False)


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
    experiment: Experiment, bidders: BidderModels, model: LanguageModel, prefixes: Sequence[Prefix], hear: Hear
) -> list[Profile]:
    profiles = []
    for prefix in heard(prefixes, "prefixes", len(prefixes), hear):
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
    logits = [copied(answer[k]) for k in prompt_set.prompt_of_agent]
    temperatures, truncations = experiment.temperatures, experiment.truncations_of(experiment.agents)
    form = form_of(experiment, model.vocabulary)

    def left(agents: Sequence[int], hotter: float = 1.0) -> list[Logits]:
        """What these agents say, at so many times their temperatures."""
        voices, scaled = [experiment.agents[i] for i in agents], [temperatures[i] * hotter for i in agents]
        kept = truncated([logits[i] for i in agents], scaled, experiment.truncations_of(voices))
        return restricted(form, voices, kept, np.array(scaled), tokens).logits

    try:
        profile = profile_of(left(range(len(logits))), temperatures)
        for i, truncation in enumerate(truncations):
            for hotter in TEMPERATURES if truncation != OFF else ():
                profile.retold[i, hotter] = softmax(left([i], hotter)[0], temperatures[i] * hotter)["p"]
    except CellError as error:
        return error
    return profile


def _everywhere(experiment: Experiment, rules: Rules, bidders: TableBidders, model: LanguageModel) -> Looked | None:
    """After every prefix that tables tell apart, the shortest first; equal profiles count once. None for too many."""
    query = experiment.queries[0]
    found: dict[bytes, tuple[Prefix, Profile]] = {}
    left_out: list[Prefix] = []
    for n_prefixes, tokens in enumerate(_told_apart(experiment, rules, bidders, model)):
        if n_prefixes == MOST_TABLE_PREFIXES:
            return None
        profile = profile_after(experiment, bidders.prompt_sets[query], model, tokens)
        if isinstance(profile, CellError):
            left_out.append(Prefix(query, tokens))
        else:
            found.setdefault(profile.p.tobytes(), (Prefix(query, tokens), profile))
    prefixes, profiles = [prefix for prefix, _ in found.values()], [profile for _, profile in found.values()]
    return Looked(prefixes, profiles, True, left_out)


def _told_apart(
    experiment: Experiment, rules: Rules, bidders: TableBidders, model: LanguageModel
) -> Iterator[tuple[int, ...]]:
    """The prefixes that can arise and that tables name or that begin such a name, and one prefix of any other kind.

    A form may tell any two prefixes apart: with one, all that can arise.
    """
    setting, prompts = TextSetting(experiment, rules, model.vocabulary), bidders.prompt_sets[experiment.queries[0]]
    named = {text for agent in experiment.agents for text in agent.distributions or {} if text != ANY_TEXT}
    joiner = bidders.vocabulary.joiner.decode()
    told_apart = named | {text[:end] for text in named for end in range(len(text)) if text.startswith(joiner, end)}
    waiting: deque[tuple[int, ...]] = deque([()])
    another: tuple[int, ...] | None = None
    while waiting:
        tokens = waiting.popleft()
        yield tokens
        for longer in _following(setting, prompts, model, tokens):
            if setting.has_form or bidders.vocabulary.prefix(longer) in told_apart:
                waiting.append(longer)
            else:
                another = another or longer
    if another is not None:
        yield another


def _following(
    setting: TextSetting, prompts: PromptSet, model: LanguageModel, tokens: tuple[int, ...]
) -> Iterator[tuple[int, ...]]:
    """The unfinished prefixes that are one token longer, whoever may say that token."""
    profile = profile_after(setting.experiment, prompts, model, tokens)
    if isinstance(profile, CellError):
        return
    for token in np.flatnonzero(profile.p.any(axis=0)).tolist():
        longer = (*tokens, token)
        if setting.cut(longer) is None:
            yield longer
