"""One cell's prefix while it is written: its tokens, what its agents paid, the sums over its tokens, its record."""

from __future__ import annotations

import codecs
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ...experiment.experiment import Experiment
from ...experiment.resolved.mechanism_choice import CellMechanism, TokenAuction
from ...lm.base import Logits, Vocabulary, spelled
from ...mechanism.distributions import Array, MechanismError, Profile
from ...mechanism.measures import Measures, measure, posterior
from ...mechanism.outcome import Outcome
from ...mechanism.payments.rules import PaymentRule
from ...mechanism.sampling.randomness import DrawKey, Randomness
from ...mechanism.sampling.rules import Draw
from ...mechanism.welfare import welfare_share
from ...runs.run_folder import Record
from ...system.errors import CellError
from ..plan import Cell
from ..rules import Rules, terms_of
from .scoring import ScoredText, Scores
from .token_loop import Drawn
from .trace import TextTrace

FAILED = "failed"
UNSOLD = "unsold"
"""Nobody's bid counted, so that nothing was drawn: an outcome, with payments and welfare of 0."""
CUT = ("length", "budget")  # the reasons to end that may come within a character
_decoder = codecs.getincrementaldecoder("utf-8")


def bids_before(experiment: Experiment, cell: Mapping[str, Any], position: int) -> Array:
    """What counted as the agents' bids at this draw, from 0, of a finished text: a record, or a row of cells.csv, (n,).

    0 for an agent that has spent its budget, and for one that a reserve keeps out.
    """
    bids = []
    for agent in experiment.agents:
        bid, spent_at = float(cell[f"bid.{agent.id}"]), cell.get(f"spent_at.{agent.id}")
        is_spent = spent_at is not None and position >= spent_at  # not where it is NaN
        bids.append(0.0 if is_spent else bid)
    return terms_of(experiment).effective(bids)


class TextSetting:
    """What is the same for all texts of an experiment."""

    def __init__(
        self, experiment: Experiment, rules: Rules, vocabulary: Vocabulary, *, in_the_mean: bool = False
    ) -> None:
        """`in_the_mean`: charge what a draw costs in expectation, and measure texts for an audit."""
        self.experiment = experiment
        self.rules = rules
        self.in_the_mean = in_the_mean
        self.vocabulary = vocabulary
        self.ends = vocabulary.ends
        self.terms = terms_of(experiment)
        self.payments: Mapping[CellMechanism, Sequence[PaymentRule]] = {
            TokenAuction(name): rules.fitting(name, self.terms.reserve) for name in rules.aggregation
        }
        self.charge = experiment.auction.charge
        self.budgets = np.array([agent.budget for agent in experiment.agents])
        self.has_budgets = bool(np.isfinite(self.budgets).any())
        self.spending = self.charge if self.has_budgets else None
        self.is_scored = in_the_mean or experiment.reference is not None
        self.stops = tuple(stop.encode() for stop in experiment.auction.stop)
        self.has_form = experiment.auction.constraint is not None
        self.over_bytes = experiment.auction.alphabet != "tokens"

    def cut(self, tokens: Sequence[int]) -> str | None:
        """Why a text ends with the last of its tokens, whatever was paid."""
        if tokens[-1] in self.ends:
            return "end"
        if self.stops and any(stop in self._tail(tokens) for stop in self.stops):
            return "stop"
        return "length" if len(tokens) >= self.experiment.auction.max_draws else None

    def _tail(self, tokens: Sequence[int]) -> bytes:
        """The bytes in which the last token can have completed a stop string."""
        first = len(tokens) - 1
        needed = max(map(len, self.stops)) - 1 + len(self.vocabulary.joiner)
        while first and needed > 0:
            first -= 1
            needed -= len(self.vocabulary.piece(tokens[first]) + self.vocabulary.joiner)
        return spelled(self.vocabulary, tokens[first:])

    def text(self, tokens: Sequence[int], end_reason: str | None) -> str:
        """A text, decoded as a whole (a character may span tokens), cut before the first stop string.

        Over bytes a text may be cut within a character, which is left out.
        """
        data = spelled(self.vocabulary, tokens)
        cuts = [data.find(stop) for stop in self.stops if stop in data]
        is_whole = not self.over_bytes or end_reason not in CUT
        return _decoder(errors="replace").decode(data[: min(cuts, default=len(data))], final=is_whole)


class NextDraw(Protocol):
    """What follows the text of some cells."""

    @property
    def profile(self) -> Profile: ...

    @property
    def scores(self) -> Scores | None: ...

    @property
    def log_allowed(self) -> Array | None:
        """log p_i of what the form allows, by agent; None where there is no form."""
        ...

    def outcome(self, state: TextState) -> Outcome:
        """Of the rule and the bids of this cell."""
        ...


class TextState:
    """One cell's prefix, and the sums over its tokens."""

    is_prefetched = True
    """Whether threads work out what its draw needs."""
    undefined: MechanismError | None = None
    """Why nothing can be drawn, whatever the distributions."""

    def __init__(self, setting: TextSetting, cell: Cell, randomness: Randomness, truth: int | None = None) -> None:
        """`truth` is the agent that misreports and whose own model measures the text."""
        self.cell = cell
        self.randomness = randomness
        self.bids = cell.bids
        self.end_reason: str | None = None if setting.terms.is_open(cell.bids) else UNSOLD
        self._setting = setting
        self._payments = setting.payments.get(cell.mechanism, ())
        self._tokens: list[int] = []
        self._sampling = ""
        self.error: str | None = None
        self._left = setting.budgets
        self._spent_at = np.zeros(len(cell.bids), np.int64)  # the token that spent an agent's budget, from 1
        self.log_likelihoods = np.zeros(len(cell.bids))  # of the text so far, by agent
        self._log_allowed: Array | None = np.zeros(len(cell.bids)) if setting.has_form else None
        self._log_prob = 0.0
        self._measured: Array = np.zeros(3 * len(cell.bids) + 3)
        self._paid: dict[str, Array] = {}
        detail = setting.experiment.auction.trace
        is_traced = detail != "none" and isinstance(cell.mechanism, TokenAuction)
        self.trace = TextTrace(setting.vocabulary, detail) if is_traced else None
        self._scored: ScoredText | None = None
        if setting.is_scored:
            has_reference = setting.experiment.reference is not None
            self._scored = ScoredText(truth, has_reference=has_reference, with_tv=setting.in_the_mean)

    @property
    def tokens(self) -> tuple[int, ...]:
        """Drawn so far."""
        return tuple(self._tokens)

    @property
    def n_tokens(self) -> int:
        """Draws so far, end tokens and the tokens that complete a stop string included."""
        return len(self._tokens)

    @staticmethod
    def profile(logits: Sequence[Logits], temperatures: Array) -> Profile:
        """The agents' distributions, where no thread has worked them out."""
        return Profile.from_logits(logits, temperatures)

    def draw(self, next_draw: NextDraw) -> Drawn:
        """Draw and receive what follows; raises MechanismError where it is undefined."""
        if self.undefined is not None:
            raise self.undefined
        outcome = next_draw.outcome(self)
        draw_key = DrawKey(self.randomness, self.n_tokens)
        draw = self._setting.rules.sampling.draw(outcome, draw_key)
        self.receive(outcome, draw, draw_key, next_draw.scores)
        if self._log_allowed is not None and next_draw.log_allowed is not None:
            self._log_allowed = self._log_allowed + next_draw.log_allowed
        return draw.token

    def receive(self, outcome: Outcome, draw: Draw, draw_key: DrawKey, scores: Scores | None = None) -> None:
        """Append a drawn token: charge it, measure it, and see whether it ends the text."""
        self._tokens.append(draw.token)
        log_p, log_q = outcome.profile.log_at(draw.token), outcome.q.log_at(draw.token)
        self._take_down([draw.token], outcome, draw, draw_key, log_p, log_q)
        if self.trace is not None:
            self.trace.add_candidates(outcome)
        if self._scored is not None and scores is not None:
            self._scored.add(scores, outcome, draw.token)
        offered = self.cell.bids
        self._measured = self._measured + outcome.once(("row", offered), lambda: measure(outcome, offered).vector)
        self.end_reason = self._setting.cut(self._tokens) or self._spent()

    def _take_down(
        self, tokens: Sequence[int], outcome: Outcome, draw: Draw, draw_key: DrawKey, log_p: Array, log_q: float
    ) -> None:
        """Charge these tokens, one draw of these log-probabilities."""
        self._sampling = draw.used
        paid = self._charge(outcome, draw, draw_key)
        if self.trace is not None:
            self.trace.add(tokens, outcome.bids, draw, paid, log_p, log_q)
        self.log_likelihoods += log_p
        self._log_prob += log_q

    def _charge(self, outcome: Outcome, draw: Draw, draw_key: DrawKey) -> dict[str, Array]:
        """What every agent pays for the token, by column."""
        paid: dict[str, Array] = {}
        for payment in self._payments:
            is_mean = self._setting.in_the_mean and payment.name != self._setting.spending
            columns = payment.columns[:1] if is_mean else payment.columns
            amounts = {columns[0]: payment.expected(outcome)} if is_mean else payment.charge(outcome, draw, draw_key)
            for k, column in enumerate(columns):
                is_charged = k == 0 and payment.name == self._setting.charge
                paid[column] = self._spend(amounts[column]) if is_charged else amounts[column]
        self._pay(paid)
        return paid

    def _pay(self, paid: Mapping[str, Array]) -> None:
        """Add to what is paid for the text."""
        for column, amounts in paid.items():
            self._paid[column] = self._paid[column] + amounts if column in self._paid else amounts

    def bid(self, bids: tuple[float, ...]) -> None:
        """For the tokens to come; an agent that has spent its budget bids 0."""
        self.bids = tuple(bid if left > 0 else 0.0 for bid, left in zip(bids, self._left.tolist(), strict=True))

    def _spend(self, amounts: Array) -> Array:
        """Payments capped at what is left of each budget."""
        paid: Array = np.minimum(amounts, self._left)
        self._left = self._left - np.nan_to_num(paid)  # what is not defined is not spent
        for i in np.flatnonzero((self._left <= 0) & (self._spent_at == 0)):
            self._spent_at[i] = self.n_tokens
        self.bid(self.bids)
        return paid

    def _spent(self) -> str | None:
        """The reason to end where the budgets are why no bid of a charged agent counts any more."""
        if not self._setting.has_budgets:
            return None
        terms = self._setting.terms
        bidding = (terms.effective(self.bids)[np.array(terms.charged)] > 0).any()
        return "budget" if not bidding and (self._left <= 0).any() else None

    def text(self) -> str:
        """The text so far: see `TextSetting.text`."""
        return self._setting.text(self._tokens, self.end_reason)

    def fail(self, error: CellError) -> None:
        """The cell cannot go on: what was written stays, with the reason."""
        self.end_reason = FAILED
        self.error = str(error)

    def record(self, unfollowed: Callable[[], Sequence[float]] | None = None) -> Record:
        """The cell as one flat line: the columns of cells.csv (mentions are counted later), and the token ids.

        `unfollowed` is asked over bytes and words; without it the record says nothing of that. None is what is not
        defined: means per token of a text without any, and a payment at a draw where it is not.
        """
        cell, agents = self.cell, self._setting.experiment.agents
        record: Record = {
            **cell.head,
            "sampling": self._sampling,
            "text": self.text(),
            "tokens": self.n_tokens,
            "end_reason": self.end_reason,
        }
        record |= cell.offers(agent.id for agent in agents)
        if self.end_reason == FAILED:
            return record | {"error": self.error, "token_ids": self._tokens}
        if self.end_reason == UNSOLD:
            self._pay({column: np.zeros(len(agents)) for column in self._columns_paid})
        measures = Measures.of(self._measured)
        columns = {"log_prob": self.log_likelihoods}
        columns |= {} if self._log_allowed is None else {"log_allowed": self._log_allowed}
        columns |= {f"payment.{column}": amounts for column, amounts in self._paid.items()}
        columns |= {name: self._per_token(getattr(measures, name)) for name in ("tv", "kl", "reverse_kl")}
        if self._setting.over_bytes and unfollowed is not None:
            columns["unfollowed"] = np.array(unfollowed()) if self._tokens else np.zeros(len(agents))
        if self._setting.over_bytes:
            record["bytes"] = sum(len(self._setting.vocabulary.piece(token)) for token in self._tokens)
        if self._scored is not None:
            columns |= self._scored.columns(self.log_likelihoods, measures)
        for name, amounts in columns.items():
            record |= {f"{name}.{agent.id}": one for agent, one in zip(agents, amounts.tolist(), strict=True)}
        traced = {} if self.trace is None else {"trace": self.trace.plain()}
        return self._defined(record | self._totals(measures)) | {"token_ids": self._tokens} | traced

    def _defined(self, record: Record) -> Record:
        """The record, with None for what is not defined."""
        return {key: None if value != value else value for key, value in record.items()}

    def _totals(self, measures: Measures) -> Record:
        """What belongs to the text as a whole, and to agents only in view of it."""
        cell, auction, is_sold = self.cell, self._setting.experiment.auction, self.end_reason != UNSOLD
        totals: Record = {"log_prob": self._log_prob}
        totals |= {f"revenue.{column}": float(amounts.sum()) for column, amounts in self._paid.items()}
        if self._scored is not None and self._setting.experiment.reference is not None:
            totals["quality"] = self._scored.quality(self.n_tokens) if is_sold else None
        totals["welfare"] = measures.welfare
        share = welfare_share(measures.welfare, measures.optimum, measures.offered)
        totals["welfare_share"] = share if is_sold else math.nan
        explained = posterior(cell.bids, self.log_likelihoods) if any(cell.bids) else None
        charged = self._paid.get(auction.charge or next(iter(self._paid), ""))
        for i, agent in enumerate(self._setting.experiment.agents):
            totals[f"posterior.{agent.id}"] = None if explained is None else float(explained[i])
            if agent.budget < math.inf:
                totals[f"spent_at.{agent.id}"] = int(self._spent_at[i]) or None
            offered = cell.bids[i] * self.n_tokens
            totals[f"paid_share.{agent.id}"] = None if charged is None or not offered else float(charged[i]) / offered
        return totals

    @property
    def _columns_paid(self) -> Sequence[str]:
        """What is charged, by column."""
        n_kept = 1 if self._setting.in_the_mean else None
        return [name for payment in self._payments for name in payment.columns[:n_kept]]

    def _per_token(self, amounts: Array) -> Array:
        """The mean over the draws; NaN without any."""
        return amounts / self.n_tokens if self.n_tokens else np.full_like(amounts, np.nan)


def is_nan(value: Any) -> bool:
    """Whether it is the number that says that there is none."""
    return type(value) is float and math.isnan(value)
