"""The auctioneer: at one prefix, aggregate for every (rule, bids), draw for every cell, charge, measure, write down.

All cells of a group share one profile; all seeds with the same rule and bids share one outcome.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence

import numpy as np

from ...experiment.experiment import Experiment
from ...lm.base import Logits, Vocabulary
from ...mechanism.alternatives.mechanisms import WriterMechanism
from ...mechanism.distributions import MechanismError, Profile
from ...mechanism.native.compiled import profile_begun
from ...mechanism.native.prefetch import Need, Needs, Prefetch
from ...mechanism.outcome import Outcome, needs_of
from ...mechanism.sampling.randomness import DrawKey, Randomness
from ...mechanism.terms import bidding_of
from ...system.errors import CellError
from ...system.processors import usable_processors
from ..plan import Cell
from ..rules import Rules
from .reporting import Reporting, honest
from .scoring import Scores
from .text_state import Setting, TextState
from .words import WordState
from .writers import WriterState

MOST_PREFETCHED_BYTES = 1 << 29  # of rows that prefixes hold which wait for their turn
MOST_KNOWN_NEEDS = 4096


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
    ) -> None:
        """`reportings` are those of the cells, by default that every agent is honest.

        `in_the_mean` charges what each draw costs in expectation, and measures texts for an audit.
        """
        self.experiment = experiment
        self.rules = rules
        self.setting = Setting(experiment, rules, vocabulary, in_the_mean=in_the_mean)
        self.reportings = {one.report: one for one in reportings or (honest(experiment),)}
        self.temperatures = {
            report: np.array(experiment.temperatures_of(one.voices)) for report, one in self.reportings.items()
        }
        self._randomness: dict[tuple[str, int], Randomness] = {}
        threads = experiment.runtime.threads
        self.prefetch = Prefetch(usable_processors() if threads == "auto" else int(threads))
        self._over_words = experiment.auction.alphabet == "words"
        self._needs: dict[frozenset[tuple[str, tuple[float, ...]]], Needs] = {}

    def begin(self, cell: Cell) -> TextState:
        key = (cell.query, cell.seed)
        if key not in self._randomness:
            self._randomness[key] = Randomness(self.experiment.seed, cell.query, cell.seed)
        randomness = self._randomness[key]
        if self._over_words:
            rule = self.rules.aggregation[cell.aggregation]
            return WordState(self.setting, cell, randomness, rule, self.rules.sampling)
        truth = self.reportings[cell.report].truth
        mechanism = self.rules.mechanisms.get(cell.aggregation)
        if isinstance(mechanism, WriterMechanism):
            return WriterState(self.setting, cell, randomness, mechanism, truth)
        return TextState(self.setting, cell, randomness, truth)

    def auction(
        self, texts: Iterable[tuple[Sequence[Logits], Sequence[TextState]]]
    ) -> Generator[list[int], None, None]:
        """For each prefix, given as the logits after it and the cells that share it, the token of every cell.

        While one prefix is auctioned, threads work out what the next ones need. A cell whose outcome is undefined
        fails alone. Over words it is the next byte, and no work for threads.
        """
        if self._over_words:
            yield from (self._bytes(logits, states) for logits, states in texts)
            return
        coming: deque[_Prefix] = deque()
        waiting = iter(texts)
        is_settled = False
        try:
            while self._prefetched(coming, waiting):
                yield coming[0].tokens()
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

    def _bytes(self, log_p: Sequence[Logits], states: Sequence[TextState]) -> list[int]:
        """What is drawn for every cell, given log p of the next byte by agent."""
        profile = Profile(log_p=np.stack(log_p))
        drawn = []
        for state in states:
            assert isinstance(state, WordState)
            try:
                drawn.append(state.step(profile))
            except CellError as error:
                state.fail(self.failure(state, error) if isinstance(error, MechanismError) else error)
                drawn.append(-1)
        return drawn

    def failure(self, state: TextState, error: MechanismError) -> CellError:
        """Why the next draw is undefined."""
        reserve, unit = self.setting.terms.reserve, self.experiment.auction.symbol
        kept_out = any(state.bids) and not self.setting.terms.is_open(state.bids)
        why = f"the reserve of {reserve:g} keeps every bid out" if kept_out else str(error)
        return CellError(f"{unit} {state.n_tokens + 1} of {state.text()!r}: {why}", cell=state.cell.id)

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
        outcomes = frozenset((state.cell.aggregation, state.bids) for state in states)
        if outcomes not in self._needs:
            if len(self._needs) == MOST_KNOWN_NEEDS:  # bids that budgets change never return
                self._needs.clear()
            self._needs[outcomes] = Needs(need for outcome in outcomes for need in self._needs_of(*outcome))
        return self._needs[outcomes]

    def _needs_of(self, aggregation: str, bids: tuple[float, ...]) -> list[Need]:
        others = any(payment.compares_others for payment in self.setting.payments.get(aggregation, ()))
        try:
            bidding = bidding_of(self.setting.terms, bids)
        except MechanismError:
            return []
        return list(needs_of(self.rules.writing(aggregation), bidding, others=others))


class _Prefix:
    """One prefix: the profile after it, and an outcome for every (rule, bids) of its cells."""

    def __init__(self, auctioneer: Auctioneer, logits: Sequence[Logits], states: Sequence[TextState]) -> None:
        n_agents, report = len(auctioneer.experiment.agents), states[0].cell.report
        temperatures = auctioneer.temperatures[report]
        self._auctioneer = auctioneer
        self._logits, self._temperatures = logits[:n_agents], temperatures[:n_agents]
        self._states = states
        self._outcomes: dict[tuple[str, tuple[float, ...]], Outcome] = {}
        self._scores: Scores | None = None
        if len(logits) > n_agents:
            truth = auctioneer.reportings[report].truth
            self._scores = Scores(logits[n_agents:], temperatures[n_agents:], truth)
        needs = auctioneer.needs(states)
        self._begun = profile_begun(self._logits, self._temperatures, needs, auctioneer.prefetch)

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

    def tokens(self) -> list[int]:
        """The token of every cell, -1 for one that fails."""
        try:
            profile = self._profile()
        except MechanismError as error:
            for state in self._states:
                state.fail(CellError(f"a model gave no distribution: {error}", cell=state.cell.id))
            return [-1] * len(self._states)
        tokens = []
        for state in self._states:  # in the plan's order: all cells of a seed before those of the next
            try:
                tokens.append(self._token(profile, state))
            except MechanismError as error:
                state.fail(self._auctioneer.failure(state, error))
                tokens.append(-1)
        return tokens

    def _profile(self) -> Profile:
        if self._begun is not None and self._begun.ready():
            return self._begun
        return Profile.from_logits(self._logits, self._temperatures)

    def _token(self, profile: Profile, state: TextState) -> int:
        if state.undefined is not None:
            raise state.undefined
        outcome = self._outcome(profile, state)
        draw_key = DrawKey(state.randomness, state.n_tokens)
        draw = self._auctioneer.rules.sampling.draw(outcome, draw_key)
        state.receive(outcome, draw, draw_key, self._scores)
        return draw.token

    def _outcome(self, profile: Profile, state: TextState) -> Outcome:
        key = state.cell.aggregation, state.bids
        if key not in self._outcomes:
            rule = self._auctioneer.rules.writing(state.cell.aggregation)
            self._outcomes[key] = Outcome(rule, profile, state.bids, self._auctioneer.setting.terms)
        return self._outcomes[key]
