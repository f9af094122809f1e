"""The auction house: at one prefix, aggregate for every (rule, bids), draw for every cell, charge, measure, write down.

All cells of a group share one profile; all seeds with the same rule and bids share one outcome.
"""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import CellError, UsageError
from ..experiment.experiment import Experiment
from ..experiment.sweep import terms_of_agents
from ..lm.base import Logits, Vocabulary
from ..mechanism import registry
from ..mechanism.aggregation.rules import AggregationRule
from ..mechanism.distributions import Array, MechanismError, Profile
from ..mechanism.measures import Measures, measure, posterior
from ..mechanism.native.compiled import profile_begun
from ..mechanism.native.prefetch import Need, Needs, Prefetch
from ..mechanism.outcome import Outcome, needs_of
from ..mechanism.payments.rules import PaymentRule
from ..mechanism.registry import misfit
from ..mechanism.sampling.randomness import Moment, Randomness
from ..mechanism.sampling.rules import Draw, SamplingRule
from ..mechanism.terms import Terms, bidding_of
from ..mechanism.welfare import welfare_share
from ..system.processors import usable_processors
from .plan import Cell
from .token_loop import Record
from .trace import TextTrace

FAILED = "failed"
MOST_PREFETCHED_BYTES = 1 << 29  # of rows that prefixes hold which wait for their turn
MOST_KNOWN_NEEDS = 4096


@dataclass(frozen=True)
class Rules:
    """The rules of one experiment, found by name, and which payments fit which aggregation."""

    aggregation: Mapping[str, AggregationRule]
    payments: Mapping[str, PaymentRule]
    sampling: SamplingRule

    @classmethod
    def of(cls, experiment: Experiment) -> Rules:
        """Raises UsageError for a rule of the user's own that cannot be loaded, and for a payment that fits no rule."""
        auction = experiment.auction
        own = str(experiment.modules)
        if experiment.trust:  # else a file beside the experiment could pose as any module
            sys.path.insert(0, own)
        try:
            rules = cls(
                {name: registry.find("aggregation", name) for name in auction.aggregation},
                {name: registry.find("payment", name) for name in auction.payments},
                registry.find("sampling", auction.sampling),
            )
            reasons = (
                misfit(name, auction.aggregation, auction.sampling, auction.reserve) for name in auction.payments
            )
            for reason in filter(None, reasons):
                raise UsageError(f"{experiment.path}: {reason}")
        except registry.UnknownRuleError as error:
            raise UsageError(f"{experiment.path}: {error}") from error
        finally:
            if experiment.trust:
                sys.path.remove(own)
        return rules

    def fitting(self, aggregation: str, reserve: float) -> tuple[PaymentRule, ...]:
        """The payment rules whose premise this aggregation rule meets; the others' columns stay empty."""
        rule = self.aggregation[aggregation]
        return tuple(payment for payment in self.payments.values() if payment.fits(rule, self.sampling, reserve))


def terms_of(experiment: Experiment) -> Terms:
    """Who bids, who is swept and who is charged."""
    return terms_of_agents(experiment.agents, experiment.swept_agent, experiment.auction.reserve)


class House:
    """Runs the auction of one token for all cells of a group."""

    def __init__(self, experiment: Experiment, rules: Rules, vocabulary: Vocabulary) -> None:
        self.experiment = experiment
        self.vocabulary = vocabulary
        self.ends = vocabulary.ends
        self.rules = rules
        self.terms = terms_of(experiment)
        self.payments = {name: self.rules.fitting(name, self.terms.reserve) for name in self.rules.aggregation}
        self.charge = experiment.auction.charge
        self.budgets = np.array([agent.budget for agent in experiment.agents])
        self.has_budgets = bool(np.isfinite(self.budgets).any())
        self.stops = tuple(stop.encode() for stop in experiment.auction.stop)
        self.temperatures = np.array([agent.temperature for agent in experiment.agents], dtype=np.float64)
        self._randomness: dict[tuple[str, int], Randomness] = {}
        threads = experiment.runtime.threads
        self.prefetch = Prefetch(usable_processors() if threads == "auto" else int(threads))
        self._needs: dict[frozenset[tuple[str, tuple[float, ...]]], Needs] = {}

    def begin(self, cell: Cell) -> TextState:
        key = (cell.query, cell.seed)
        if key not in self._randomness:
            self._randomness[key] = Randomness(self.experiment.seed, cell.query, cell.seed)
        return TextState(self, cell, self._randomness[key])

    def auction(
        self, texts: Iterable[tuple[Sequence[Logits], Sequence[TextState]]]
    ) -> Generator[list[int], None, None]:
        """For each text so far, given as the logits after it and the cells that share it, the token of every cell.

        While one prefix is auctioned, threads work out what the next ones need. A cell whose outcome is undefined
        fails alone.
        """
        coming: deque[_TextSoFar] = deque()
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

    def _prefetched(
        self, coming: deque[_TextSoFar], waiting: Iterator[tuple[Sequence[Logits], Sequence[TextState]]]
    ) -> bool:
        """Begin as many prefixes as keep the threads busy; whether there is any."""
        while not coming or (
            len(coming) <= self.prefetch.most_prefixes and sum(text.n_bytes for text in coming) < MOST_PREFETCHED_BYTES
        ):
            text = next(waiting, None)
            if text is None:
                break
            coming.append(_TextSoFar(self, *text))
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
        others = any(payment.compares_others for payment in self.payments[aggregation])
        try:
            bidding = bidding_of(self.terms, self.effective(bids))
        except MechanismError:
            return []
        return list(needs_of(self.rules.aggregation[aggregation], bidding, others=others))

    def effective(self, bids: tuple[float, ...]) -> tuple[float, ...]:
        """The bids that a reserve leaves."""
        return tuple(self.terms.effective(bids).tolist()) if self.terms.reserve else bids


class _TextSoFar:
    """One text so far: the profile after it, and an outcome for every (rule, bids) of its cells."""

    def __init__(self, house: House, logits: Sequence[Logits], states: Sequence[TextState]) -> None:
        self._house = house
        self._logits = logits
        self._states = states
        self._outcomes: dict[tuple[str, tuple[float, ...]], Outcome] = {}
        self._begun = profile_begun(logits, house.temperatures, house.needs(states), house.prefetch)

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
                state.fail(CellError(f"a model gave no distribution: {error}"))
            return [-1] * len(self._states)
        tokens = []
        for state in self._states:  # in the plan's order: all cells of a seed before those of the next
            try:
                tokens.append(self._token(profile, state))
            except MechanismError as error:
                reserve = self._house.terms.reserve
                kept_out = any(state.bids) and not any(self._house.effective(state.bids))
                why = f"the reserve of {reserve:g} keeps every bid out" if kept_out else str(error)
                state.fail(CellError(f"token {state.n_tokens + 1} of {state.text()!r}: {why}"))
                tokens.append(-1)
        return tokens

    def _profile(self) -> Profile:
        if self._begun is not None and self._begun.ready():
            return self._begun
        return Profile.from_logits(self._logits, self._house.temperatures)

    def _token(self, profile: Profile, state: TextState) -> int:
        outcome = self._outcome(profile, state)
        moment = Moment(state.randomness, state.n_tokens)
        draw = self._house.rules.sampling.draw(outcome, moment)
        state.receive(outcome, draw, moment)
        return draw.token

    def _outcome(self, profile: Profile, state: TextState) -> Outcome:
        key = state.cell.aggregation, state.bids
        if key not in self._outcomes:
            rule = self._house.rules.aggregation[state.cell.aggregation]
            self._outcomes[key] = Outcome(rule, profile, self._house.effective(state.bids), self._house.terms)
        return self._outcomes[key]


class TextState:
    """One cell's text so far, and the sums over its tokens."""

    def __init__(self, house: House, cell: Cell, randomness: Randomness) -> None:
        self.cell = cell
        self.randomness = randomness
        self.bids = cell.bids
        self.end_reason: str | None = None
        self._house = house
        self._tokens: list[int] = []
        self._sampling = ""
        self._error: str | None = None
        self._left = house.budgets
        self._spent_at = np.zeros(len(cell.bids), np.int64)  # the token that spent an agent's budget, from 1
        self._log_likelihoods = np.zeros(len(cell.bids))
        self._log_prob = 0.0
        self._measured: Array = np.zeros(3 * len(cell.bids) + 3)
        self._paid: dict[str, Array] = {}
        detail = house.experiment.auction.trace
        self._trace = None if detail == "none" else TextTrace(house.vocabulary, detail)

    @property
    def n_tokens(self) -> int:
        """Draws so far, end tokens and the tokens that complete a stop string included."""
        return len(self._tokens)

    def receive(self, outcome: Outcome, draw: Draw, moment: Moment) -> None:
        """Append a drawn token: charge it, measure it, and see whether it ends the text."""
        self._sampling = draw.used
        self._tokens.append(draw.token)
        paid = self._charge(outcome, draw, moment)
        log_q = outcome.q.log_at(draw.token)
        if self._trace is not None:
            self._trace.add(outcome, draw, paid, log_q)
        self._log_likelihoods += outcome.profile.log_at(draw.token)
        self._log_prob += log_q
        offered = self.cell.bids
        self._measured = self._measured + outcome.once(("row", offered), lambda: measure(outcome, offered).vector)
        self.end_reason = self._reason_to_end(draw.token)

    def _charge(self, outcome: Outcome, draw: Draw, moment: Moment) -> dict[str, Array]:
        """What every agent pays for the token, by column."""
        paid: dict[str, Array] = {}
        for payment in self._house.payments[self.cell.aggregation]:
            amounts = payment.charge(outcome, draw, moment)
            for k, column in enumerate(payment.columns):
                is_charged = k == 0 and payment.name == self._house.charge
                paid[column] = self._spend(amounts[column]) if is_charged else amounts[column]
                self._paid[column] = self._paid[column] + paid[column] if column in self._paid else paid[column]
        return paid

    def bid(self, bids: tuple[float, ...]) -> None:
        """For the tokens to come; an agent that has spent its budget bids 0."""
        self.bids = tuple(bid if left > 0 else 0.0 for bid, left in zip(bids, self._left.tolist(), strict=True))

    def _spend(self, amounts: Array) -> Array:
        """Payments capped at what is left of each budget."""
        paid: Array = np.minimum(amounts, self._left)
        self._left = self._left - paid
        for i in np.flatnonzero((self._left <= 0) & (self._spent_at == 0)):
            self._spent_at[i] = self.n_tokens
        self.bid(self.bids)
        return paid

    def _reason_to_end(self, token: int) -> str | None:
        if token in self._house.ends:
            return "end"
        if self._house.stops and any(stop in self._tail() for stop in self._house.stops):
            return "stop"
        if self.n_tokens >= self._house.experiment.auction.max_tokens:
            return "length"
        return "budget" if self._house.has_budgets and self._everybody_spent() else None

    def _everybody_spent(self) -> bool:
        """Whether the budgets are why no charged agent bids any more."""
        bidding = any(bid for bid, pays in zip(self.bids, self._house.terms.charged, strict=True) if pays)
        return not bidding and bool((self._left <= 0).any())

    def _tail(self) -> bytes:
        """The bytes in which the last token can have completed a stop string."""
        needed = max(map(len, self._house.stops)) - 1
        tail = self._house.vocabulary.piece(self._tokens[-1])
        for token in reversed(self._tokens[:-1]):
            if needed <= 0:
                break
            piece = self._house.vocabulary.piece(token)
            tail, needed = piece + tail, needed - len(piece)
        return tail

    def text(self) -> str:
        """The text, decoded as a whole (a character may span tokens), cut before the first stop string."""
        data = b"".join(self._house.vocabulary.piece(token) for token in self._tokens)
        cuts = [data.find(stop) for stop in self._house.stops if stop in data]
        return data[: min(cuts, default=len(data))].decode("utf-8", "replace")

    def fail(self, error: CellError) -> None:
        """The cell cannot go on: what was written stays, with the reason."""
        self.end_reason = FAILED
        self._error = str(error)

    def record(self) -> Record:
        """The cell as one flat line: the columns of cells.csv (mentions are counted later), and the token ids."""
        cell, agents = self.cell, self._house.experiment.agents
        total = sum(cell.bids)
        record: Record = {
            "cell": cell.id,
            "query": cell.query,
            "aggregation": cell.aggregation,
            "point": cell.point,
            "relative_weight": cell.relative_weight,
            "seed": cell.seed,
            "sampling": self._sampling,
            "text": self.text(),
            "tokens": self.n_tokens,
            "end_reason": self.end_reason,
        }
        for i, agent in enumerate(agents):
            record[f"bid.{agent.id}"] = cell.bids[i]
            record[f"weight.{agent.id}"] = cell.bids[i] / total if total else 0.0
        if self.end_reason == FAILED:
            return record | {"error": self._error, "token_ids": self._tokens}
        measures = Measures.of(self._measured)
        columns = {"log_prob": self._log_likelihoods}
        columns |= {f"payment.{column}": amounts for column, amounts in self._paid.items()}
        columns |= {name: getattr(measures, name) / self.n_tokens for name in ("tv", "kl", "reverse_kl")}
        for name, amounts in columns.items():
            record |= {f"{name}.{agent.id}": float(amounts[i]) for i, agent in enumerate(agents)}
        traced = {} if self._trace is None else {"trace": self._trace.plain()}
        return record | self._totals(measures) | {"token_ids": self._tokens} | traced

    def _totals(self, measures: Measures) -> Record:
        """What belongs to the text as a whole, and to agents only in view of it."""
        cell, auction = self.cell, self._house.experiment.auction
        totals: Record = {"log_prob": self._log_prob}
        totals |= {f"revenue.{column}": float(amounts.sum()) for column, amounts in self._paid.items()}
        totals["welfare"] = measures.welfare
        totals["welfare_share"] = welfare_share(measures.welfare, measures.optimum, measures.offered)
        explained = posterior(cell.bids, self._log_likelihoods)
        charged = self._paid.get(auction.charge or next(iter(self._paid), ""))
        for i, agent in enumerate(self._house.experiment.agents):
            totals[f"posterior.{agent.id}"] = float(explained[i])
            if agent.budget < math.inf:
                totals[f"spent_at.{agent.id}"] = int(self._spent_at[i]) or None
            offered = cell.bids[i] * self.n_tokens
            totals[f"paid_share.{agent.id}"] = None if charged is None or not offered else float(charged[i]) / offered
        return totals
