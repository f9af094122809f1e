"""The auctioneer: at one prefix, aggregate for every (rule, bids), draw for every cell, charge, measure, write down.

All cells of a group share one profile; all seeds with the same rule and bids share one outcome.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ...experiment.experiment import Experiment
from ...experiment.resolved.mechanism_choice import CellMechanism
from ...lm.base import Logits, Vocabulary
from ...mechanism.distributions import Array, MechanismError, Profile
from ...mechanism.native.compiled import CompiledProfile, profile_begun
from ...mechanism.native.prefetch import Need, Needs, Prefetch
from ...mechanism.outcome import Outcome, needs_of
from ...mechanism.sampling.randomness import Randomness
from ...mechanism.terms import bidding_of
from ...mechanism.truncation import OFF, truncated
from ...system.errors import CellError, DisjointError
from ...system.processors import usable_processors
from ..plan import Cell
from ..rules import Rules
from .forms import form_of, restricted
from .kinds import Kind, begin_text
from .reporting import Reporting, honest
from .scoring import Scores
from .text_state import TextSetting, TextState
from .token_loop import Drawn, Failed

MOST_PREFETCHED_BYTES = 1 << 29  # of rows that prefixes hold which wait for their turn
MOST_KNOWN_NEEDS = 4096
MOST_KEPT = 4096  # rows that last, outcomes of their bids, and draws from one of them


class Auctioneer:
    """Runs the auction of one token for all cells of a group."""

    def __init__(
        self,
        experiment: Experiment,
        rules: Rules,
        vocabulary: Vocabulary,
        reportings: Sequence[Reporting] = (),
        *,
        in_the_mean: bool = False,
        begin_text: Kind = begin_text,
    ) -> None:
        """`reportings` are those of the cells, by default that every agent is honest.

        `in_the_mean` charges what each draw costs in expectation, and measures texts for an audit. `begin_text` makes
        the empty text of a cell.
        """
        self.experiment = experiment
        self.rules = rules
        self.setting = TextSetting(experiment, rules, vocabulary, in_the_mean=in_the_mean)
        self.reportings = {one.report: one for one in reportings or (honest(experiment),)}
        self.temperatures = {
            report: np.array(experiment.temperatures_of(one.voices)) for report, one in self.reportings.items()
        }
        self.truncations = {report: experiment.truncations_of(one.voices) for report, one in self.reportings.items()}
        self.form = form_of(experiment, vocabulary)
        self._randomness: dict[tuple[str, int], Randomness] = {}
        threads = experiment.runtime.threads
        self.prefetch = Prefetch(usable_processors() if threads == "auto" else int(threads))
        self._begin_text = begin_text
        self._lasting: dict[tuple[Any, ...], _Settled] = {}
        self._needs: dict[frozenset[tuple[CellMechanism, tuple[float, ...]]], Needs] = {}

    def begin(self, cell: Cell) -> TextState:
        key = (cell.query, cell.seed)
        if key not in self._randomness:
            self._randomness[key] = Randomness(self.experiment.seed, cell.query, cell.seed)
        return self._begin_text(self.setting, cell, self._randomness[key], self.reportings[cell.report].truth)

    def auction(
        self, texts: Iterable[tuple[Sequence[Logits], Sequence[TextState]]]
    ) -> Generator[list[Drawn], None, None]:
        """For each prefix, given as the logits after it and the cells that share it, what every cell draws.

        While one prefix is auctioned, threads work out what the next ones need. A cell whose outcome is undefined
        fails alone.
        """
        coming: deque[_Prefix] = deque()
        waiting = iter(texts)
        is_settled = False
        try:
            while self._prefetched(coming, waiting):
                yield coming[0].draws()
                coming.popleft().close()
            is_settled = True
        except GeneratorExit:
            is_settled = not any(text.is_running for text in coming)
            raise
        finally:
            if not is_settled:
                self.close()
            for text in coming:
                text.close()

    def failure(self, state: TextState, error: MechanismError) -> CellError:
        """Why the next draw is undefined."""
        reserve, unit = self.setting.terms.reserve, self.experiment.auction.symbol
        kept_out = any(state.bids) and not self.setting.terms.is_open(state.bids)
        if isinstance(error, DisjointError):
            error = MechanismError(f"{error}{self._of_whom(state)}")
        why = f"the reserve of {reserve:g} keeps every bid out" if kept_out else str(error)
        return CellError(f"{unit} {state.n_tokens + 1} of {state.text()!r}: {why}", cell=state.cell.id)

    def _of_whom(self, state: TextState) -> str:
        """Who bids, and whose truncation may be why they have no token in common."""
        bidding = [agent for agent, bid in zip(self.experiment.agents, state.bids, strict=True) if bid > 0]
        cut = [agent.name for agent in bidding if agent.truncation != OFF]
        why = f"; top_k, top_p and min_p leave few tokens to {' and '.join(cut)}: leave more" if cut else ""
        return f"; these agents are {' and '.join(agent.name for agent in bidding)}{why}"

    def _prefetched(
        self, coming: deque[_Prefix], waiting: Iterator[tuple[Sequence[Logits], Sequence[TextState]]]
    ) -> bool:
        """Begin as many prefixes as keep the threads busy; whether there is any."""
        while not coming or (
            len(coming) <= self.prefetch.most_prefixes and sum(text.n_bytes for text in coming) < MOST_PREFETCHED_BYTES
        ):
            text = next(waiting, None)
            if text is None:
                break
            coming.append(_Prefix(self, *text))
        return bool(coming)

    def close(self) -> None:
        """End the threads; where there is more to do, others begin."""
        self.prefetch.close()

    def needs(self, states: Sequence[TextState]) -> Needs:
        """What the outcomes of these cells need; undefined ones are met, and said, when they are auctioned."""
        outcomes = frozenset((state.cell.mechanism, state.bids) for state in states)
        if outcomes not in self._needs:
            if len(self._needs) == MOST_KNOWN_NEEDS:  # bids that budgets change never return
                self._needs.clear()
            self._needs[outcomes] = Needs(need for outcome in outcomes for need in self._needs_of(*outcome))
        return self._needs[outcomes]

    def settled(self, report: str, logits: Sequence[Logits]) -> _Settled:
        """What is worked out after these logits: kept for those of tables, which nobody can write to and which return.

        Over bytes nobody can write to them either, but each prefix has its own.
        """
        if self.experiment.auction.alphabet == "bytes" or any(row.flags.writeable for row in logits):
            return _Settled(logits)
        key = report, *map(id, logits)
        known = self._lasting.get(key)
        if known is None or known.is_large:
            if len(self._lasting) >= MOST_KEPT:
                self._lasting.clear()
            known = self._lasting[key] = _Settled(logits)
        return known

    def _needs_of(self, mechanism: CellMechanism, bids: tuple[float, ...]) -> list[Need]:
        others = any(payment.compares_others for payment in self.setting.payments.get(mechanism, ()))
        try:
            bidding = bidding_of(self.setting.terms, bids)
        except MechanismError:
            return []
        return list(needs_of(self.rules.drawing(mechanism), bidding, others=others))


class _Settled:
    """The profile of some logits, and an outcome for every (rule, bids)."""

    def __init__(self, logits: Sequence[Logits]) -> None:
        self.logits = logits  # keeps them, and so what `id` says of them
        self.profile: Profile | None = None
        self.outcomes: dict[tuple[CellMechanism, tuple[float, ...]], Outcome] = {}

    @property
    def is_large(self) -> bool:
        """Whether it is better begun anew: a profile keeps what every draw from it needs."""
        n_kept = 0 if self.profile is None else self.profile.n_kept
        return len(self.outcomes) > MOST_KEPT or n_kept > MOST_KEPT


class _Prefix:
    """One prefix: the profile after it, and an outcome for every (rule, bids) of its cells."""

    def __init__(self, auctioneer: Auctioneer, logits: Sequence[Logits], states: Sequence[TextState]) -> None:
        n_agents, report = len(auctioneer.experiment.agents), states[0].cell.report
        temperatures = auctioneer.temperatures[report]
        logits = truncated(logits, temperatures, auctioneer.truncations[report])
        self._auctioneer = auctioneer
        self._states = states
        self._failure: CellError | None = None
        self.log_allowed: Array | None = None
        if auctioneer.form is not None:
            logits = self._restricted(logits, report)
        self._logits, self._temperatures = logits[:n_agents], temperatures[:n_agents]
        self._settled = auctioneer.settled(report, self._logits)
        self.scores: Scores | None = None
        if len(logits) > n_agents:
            truth = auctioneer.reportings[report].truth
            self.scores = Scores(logits[n_agents:], temperatures[n_agents:], truth)
        self._begun: CompiledProfile | None = None
        if states[0].is_prefetched and self._failure is None:
            needs = auctioneer.needs(states)
            self._begun = profile_begun(self._logits, self._temperatures, needs, auctioneer.prefetch)

    def _restricted(self, logits: Sequence[Logits], report: str) -> Sequence[Logits]:
        """Everybody to the form but the reference, which only scores; those of a prefix that fails as they are."""
        auctioneer, voices = self._auctioneer, self._auctioneer.reportings[report].voices
        speak = [k for k, voice in enumerate(voices) if voice is not auctioneer.experiment.reference]
        asked = [voices[k] for k in speak], [logits[k] for k in speak], auctioneer.temperatures[report][speak]
        try:
            found = restricted(auctioneer.form, *asked, self._states[0].tokens)
        except CellError as error:
            self._failure = error
            return logits
        self.log_allowed = found.log_allowed[: len(auctioneer.experiment.agents)]
        by_voice = dict(zip(speak, found.logits, strict=True))
        return [by_voice.get(k, row) for k, row in enumerate(logits)]

    @property
    def is_running(self) -> bool:
        """Whether a thread may still read its logits."""
        return self._begun is not None and self._begun.is_running

    @property
    def n_bytes(self) -> int:
        return 0 if self._begun is None else self._begun.n_bytes

    def close(self) -> None:
        """To be called before it is let go."""
        if self._begun is not None:
            self._begun.close()

    @cached_property
    def profile(self) -> Profile:
        if self._begun is not None and self._begun.ready():
            return self._begun
        if self._settled.profile is None:
            self._settled.profile = self._states[0].profile(self._logits, self._temperatures)
        return self._settled.profile

    def draws(self) -> list[Drawn]:
        """What every cell draws, in the plan's order: all cells of a seed before those of the next."""
        try:
            if self._failure is not None:
                raise self._failure
            _ = self.profile
        except MechanismError as error:
            for state in self._states:
                state.fail(CellError(f"a model gave no distribution: {error}", cell=state.cell.id))
            return [Failed()] * len(self._states)
        except CellError as error:
            for state in self._states:
                state.fail(error)
            return [Failed()] * len(self._states)
        return [self._draw(state) for state in self._states]

    def _draw(self, state: TextState) -> Drawn:
        try:
            return state.draw(self)
        except MechanismError as error:
            state.fail(self._auctioneer.failure(state, error))
        except CellError as error:
            state.fail(error)
        return Failed()

    def outcome(self, state: TextState) -> Outcome:
        key = state.cell.mechanism, state.bids
        outcomes = self._settled.outcomes
        if key not in outcomes:
            rule = self._auctioneer.rules.drawing(state.cell.mechanism)
            outcomes[key] = Outcome(rule, self.profile, state.bids, self._auctioneer.setting.terms)
        return outcomes[key]
