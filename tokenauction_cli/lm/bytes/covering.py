"""The next byte of a text under a model of tokens: the marginal over all tokenisations of the text so far.

A *hypothesis* is a way to spell the text: a context c of whole tokens, and a range of sorted tokens (`lexicon`) whose
common bytes are the rest of it. Of weight w, the probability of spelling the text so, it says of the next byte

    M(tokens of the range that go on with the byte) / M(tokens of the range),       M: their probability after c,

and the next byte is distributed as the mean over all hypotheses. When a byte comes, every range shrinks to what goes on
with it; a token that ends there is a *closing*: c and the token are the context of a new hypothesis, for the price of
an evaluation. Exact, that is a number of hypotheses which grows exponentially with the text. Two knobs bound it:

    open    closings of at most this share of all hypotheses are not evaluated
    merge   nor are those of at most this share of all closings where a heavier one is

What is not evaluated adds its weight to the heaviest closing that is, or waits as *pending* where there is none. Either
way its share is added to `dropped`. Pending closings return when they outweigh `pending` times what is followed: else
hypotheses would die on texts that somebody else writes. The law of a text that one agent writes alone is within the
expected sum of `dropped` in total variation.

Nothing is evaluated here: `begin` and `advance` yield what they lack, for all hypotheses at once, and return a state
that depends on the text alone. Weights and distributions are logarithms throughout, because another agent may write
what this one holds for next to impossible.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...system.arrays import Array
from ...system.errors import CellError, SpellingError
from .hypotheses import Closing, Context, Hypothesis, State, later, lightness, log_sum, merged
from .lexicon import Lexicon

N_SYMBOLS = 257
FLOOR = 1e-12  # of the heaviest hypothesis' first bytes, so that no byte is impossible which a token begins with
MOST_OFF = 0.01  # of the law of a whole text: above it people are warned
_TINY = 1e-250  # below it a sum of exponentials has lost digits
_SURE = np.zeros(1)
_NO_SCORES = np.empty(0)

Scores = NDArray[Any]  # logits in the lexicon's order


class Knobs(NamedTuple):
    """What is not followed: shares, see above. Exact where the first two are 0."""

    open: float = 3e-4
    merge: float = 1e-3
    pending: float = 0.01

    @property
    def is_exact(self) -> bool:
        return not self.open and not self.merge


class Wanted(NamedTuple):
    """The logits after a context of the tokens [lo, hi) in the lexicon's order."""

    context: Context
    lo: int
    hi: int


Steps = Generator[list[Wanted], Sequence[Scores], State]


class Covering:
    """Follows the texts of one model at one temperature."""

    def __init__(self, lexicon: Lexicon, temperature: float, knobs: Knobs) -> None:
        self.lexicon = lexicon
        self._temperature = temperature
        self._knobs = knobs
        self._log_open, self._log_merge, self._log_pending = (math.log(k) if k else -math.inf for k in knobs)

    def begin(self) -> Steps:
        """The state of the empty text."""
        hypotheses, _, dropped = yield from self._opened(b"", [Closing((), 0, 0.0)], [], [])
        return self._settled(b"", hypotheses, [], dropped)

    def advance(self, state: State, byte: int) -> Steps:
        """The state after one more byte; raises CellError where no token goes on with it."""
        text = state.text + bytes([byte])
        closings, going = yield from self._divided(state, byte)
        kept, aside, share = self._chosen(closings, log_sum([*closings, *going]))
        pending = later([*state.pending, *aside], [*kept, *going])
        hypotheses, pending, dropped = yield from self._opened(text, kept, going, pending)
        if not hypotheses:
            raise SpellingError(f"cannot spell byte {byte:02X} after {state.text.decode('utf-8', 'replace')!r}")
        return self._settled(text, hypotheses, pending, state.dropped + share + dropped)

    def _divided(
        self, state: State, byte: int
    ) -> Generator[list[Wanted], Sequence[Scores], tuple[list[Closing], list[Hypothesis]]]:
        """What becomes of every hypothesis when this byte comes: closings, and hypotheses that go on."""
        text = state.text + bytes([byte])
        heirs = [heir for h in state.hypotheses if (heir := self._heir(h, byte, len(text)))]
        wanted = [self._wanted(heir, text) for heir in heirs if len(heir.split.segments) > 1]
        answers = dict(zip(wanted, (yield wanted), strict=True)) if wanted else {}
        scores = {want.context: (want.lo, answer) for want, answer in answers.items()}
        closings, going = [], []
        for heir in heirs:
            closed, goes_on = self._parted(heir, *scores.get(heir.context, (0, _NO_SCORES)), len(text))
            closings += closed
            going += goes_on
        return closings, going

    def _heir(self, hypothesis: Hypothesis, byte: int, position: int) -> Hypothesis | None:
        """The hypothesis on the range that goes on with a byte, not yet divided; None where nothing does."""
        child = hypothesis.split.child(byte)
        if child is None or hypothesis.log_next[child.number] == -math.inf:
            return None
        log_w = hypothesis.log_w + float(hypothesis.log_next[child.number])
        return replace(
            hypothesis, log_w=log_w, split=self.lexicon.split(child.lo, child.hi, position - hypothesis.start)
        )

    def _wanted(self, heir: Hypothesis, text: bytes) -> Wanted:
        """The logits of all tokens that begin with the same byte: they serve as long as the hypothesis lives."""
        first = self.lexicon.root.child(text[heir.start])
        assert first is not None
        return Wanted(heir.context, first.lo, first.hi)

    def _parted(
        self, heir: Hypothesis, lo: int, scores: Scores, position: int
    ) -> tuple[list[Closing], list[Hypothesis]]:
        """The tokens that end at this position, and the one hypothesis, if any, that the others are.

        `scores` are those of the tokens from `lo` on.
        """
        split = heir.split
        shares = _SURE
        if len(split.segments) > 1:
            shares = log_shares(scores[split.lo - lo : split.hi - lo], split.segments, self._temperature)
        n = split.n_here
        tokens, weights = self.lexicon.order[split.lo : split.lo + n].tolist(), (heir.log_w + shares[:n]).tolist()
        closings = [
            Closing((*heir.context, token), position, log_w)
            for token, log_w in zip(tokens, weights, strict=True)
            if log_w > -math.inf
        ]
        log_going = float(np.logaddexp.reduce(shares[n:])) if n < len(shares) else -math.inf
        if log_going == -math.inf:
            return closings, []
        return closings, [replace(heir, log_w=heir.log_w + log_going, log_next=shares[n:] - log_going)]

    def _chosen(self, closings: list[Closing], log_live: float) -> tuple[list[Closing], list[Closing], float]:
        """Those to evaluate, those to put aside, and the share of all that this does not follow."""
        if not closings:
            return [], [], 0.0
        closings.sort(key=lightness)
        log_total, log_open = log_sum(closings), self._log_open + log_live
        if closings[0].log_w <= log_open:
            return [], closings, math.exp(log_total - log_live)
        kept, log_merged = merged(closings, max(log_open, self._log_merge + log_total))
        return kept, [], math.exp(log_merged - log_live)

    def _opened(
        self, text: bytes, kept: list[Closing], going: list[Hypothesis], pending: list[Closing]
    ) -> Generator[list[Wanted], Sequence[Scores], tuple[list[Hypothesis], list[Closing], float]]:
        """Evaluate what is kept, and pending closings while they are too heavy.

        Returns all hypotheses, what is still pending, and the share that is dropped on the way.
        """
        hypotheses, dropped = list(going), 0.0
        while True:
            log_live, log_pending = log_sum([*hypotheses, *kept]), log_sum(pending)
            log_all = float(np.logaddexp(log_live, log_pending))
            if log_pending > self._log_pending + log_live:
                revived, pending, log_merged = self._revived(pending)
                kept = [*kept, revived]
                dropped += math.exp(log_merged - log_all)
            if not kept:
                return hypotheses, pending, dropped
            answers = yield [Wanted(closing.context, 0, self.lexicon.size) for closing in kept]
            for closing, scores in zip(kept, answers, strict=True):
                hypothesis, silent = self._evaluated(closing, scores)
                dropped += silent * math.exp(closing.log_w - log_all)
                closed, goes_on = self._replayed(hypothesis, scores, text)
                pending = pending + closed
                hypotheses += goes_on
            kept = []

    def _revived(self, pending: list[Closing]) -> tuple[Closing, list[Closing], float]:
        """The heaviest pending closing, with what is merged into it; the others; and the weight that is merged."""
        start = min(pending, key=lightness).start
        rivals = sorted((closing for closing in pending if closing.start == start), key=lightness)
        (heaviest, *rest), log_merged = merged(rivals, self._log_merge + log_sum(rivals))
        return heaviest, [closing for closing in pending if closing.start != start] + rest, log_merged

    def _evaluated(self, closing: Closing, scores: Scores) -> tuple[Hypothesis, float]:
        """What a closing becomes, and the share of the silent tokens after it, which are left out."""
        lexicon = self.lexicon
        shares = log_shares(scores, lexicon.first_segments, self._temperature)
        spoken, silent = np.split(shares, [len(lexicon.root.segments)])
        log_spoken = float(np.logaddexp.reduce(spoken))
        if log_spoken == -math.inf:
            raise CellError("gave no distribution: it says nothing but control tokens")
        log_first = spoken - log_spoken
        hypothesis = Hypothesis(closing.context, closing.start, closing.log_w, lexicon.root, log_first, log_first)
        return hypothesis, float(np.exp(silent).sum())

    def _replayed(self, hypothesis: Hypothesis, scores: Scores, text: bytes) -> tuple[list[Closing], list[Hypothesis]]:
        """Follow a hypothesis from its start to the end of the text: its closings, and itself if it lives."""
        closings: list[Closing] = []
        alive = [hypothesis]
        for position in range(hypothesis.start + 1, len(text) + 1):
            heir = self._heir(alive[0], text[position - 1], position)
            closed, alive = self._parted(heir, 0, scores, position) if heir else ([], [])
            closings += closed
            if not alive:
                break
        return closings, alive

    def _settled(
        self, text: bytes, hypotheses: Sequence[Hypothesis], pending: Sequence[Closing], dropped: float
    ) -> State:
        """The state of these hypotheses, whose weights are made to sum to one."""
        log_total = log_sum(hypotheses)
        ordered = tuple(replace(h, log_w=h.log_w - log_total) for h in sorted(hypotheses, key=lightness))
        waiting = tuple(replace(closing, log_w=closing.log_w - log_total) for closing in pending)
        return State(text, ordered, waiting, dropped, self._log_p(ordered))

    def _log_p(self, hypotheses: Sequence[Hypothesis]) -> Array:
        """Of the next symbol, (257,)."""
        log_p = np.full(N_SYMBOLS, -math.inf)
        for h in hypotheses:
            log_p[h.split.symbols] = np.logaddexp(log_p[h.split.symbols], h.log_w + h.log_next)
        if not self._knobs.is_exact:
            log_p += math.log1p(-FLOOR)
            symbols = self.lexicon.root.symbols
            log_p[symbols] = np.logaddexp(log_p[symbols], math.log(FLOOR) + hypotheses[0].log_first)
        log_p.flags.writeable = False  # it is given away and kept
        return log_p


def log_shares(scores: Scores, segments: NDArray[np.intp], temperature: float) -> Array:
    """Log of the share of each segment in sum exp(scores / temperature); raises CellError where there is none.

    No differences of cumulative sums, which lose small segments: every segment is summed by itself, and where one
    underflows beside the largest score it is summed again beside its own.
    """
    x = scores.astype(np.float64)
    top = x.max()
    if not math.isfinite(top):
        raise CellError("gave no distribution: a logit is NaN or +inf, or all are -inf")
    x -= top
    x /= temperature
    sums = np.add.reduceat(np.exp(x), segments)
    if sums.min() > _TINY:
        return np.asarray(np.log(sums) - math.log(sums.sum()))
    tops = np.maximum.reduceat(x, segments)
    tops[np.isinf(tops)] = 0.0
    x -= np.repeat(tops, np.diff(segments, append=len(x)))
    with np.errstate(divide="ignore"):
        logs = np.log(np.add.reduceat(np.exp(x), segments)) + tops
    return np.asarray(logs - np.logaddexp.reduce(logs))
