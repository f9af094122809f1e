"""One cell's text where bids choose who writes: one agent alone draws the tokens of a segment, until its unit ends.

Texts of all bids and mechanisms share random numbers, so what one agent writes after a prefix is written once for all
of them. Distances are those of each agent from who writes. A text that has all its segments ends with `segments`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ...mechanism.alternatives.mechanisms import WriterMechanism, check_settled
from ...mechanism.distributions import MechanismError
from ...mechanism.measures import Measures
from ...mechanism.outcome import Outcome
from ...mechanism.sampling.randomness import DrawKey, Randomness
from ...mechanism.sampling.rules import Draw
from ...mechanism.terms import bidding_of
from ...runs.run_folder import Record
from ..plan import Cell
from .scoring import Scores
from .text_state import UNSOLD, TextSetting, TextState

SEGMENTS = "segments"
_ENDS_OF_SENTENCES = (b".", b"!", b"?")
_BEHIND_A_SENTENCE = b" \"')]"
_OF_THE_TOKEN_AUCTION = ("welfare_share", "paid_share")


class WriterState(TextState):
    """The text, who writes it now, and what was paid for its segments."""

    def __init__(self, setting: TextSetting, cell: Cell, randomness: Randomness, truth: int | None = None) -> None:
        super().__init__(setting, cell, randomness, truth)
        mechanism = setting.rules.other(cell.mechanism)
        assert isinstance(mechanism, WriterMechanism)
        self._mechanism = mechanism
        self._bidding_left = setting.terms.effective(cell.bids)
        self._n_segments = 0
        self._value = 0.0
        if self.end_reason is None:
            self._begin_segment()

    def receive(self, outcome: Outcome, draw: Draw, draw_key: DrawKey, scores: Scores | None = None) -> None:
        """Append a drawn token, and see whether it ends the segment or the text.

        A text that is complete with the last token that it may have is no cut one.
        """
        super().receive(outcome, draw, draw_key, scores)
        if self.end_reason not in (None, "length") or not self._ends_segment(draw.token):
            return
        if self._n_segments == self._mechanism.segments or not self._bidding_left.any():
            self.end_reason = SEGMENTS
        elif self.end_reason is None:
            self._begin_segment()

    def _begin_segment(self) -> None:
        """Let bids choose who writes it. Where nobody can win it, it is not sold, and the text ends."""
        bidding = bidding_of(self._setting.terms, tuple(self._bidding_left.tolist()))
        if not self._mechanism.is_open(bidding):
            self.end_reason = SEGMENTS if self._n_segments else UNSOLD
            return
        try:
            settled = self._mechanism.settle(bidding, DrawKey(self.randomness, self._n_segments))
            check_settled(settled, self._mechanism, len(bidding.bids), len(bidding.bids))
        except MechanismError as error:
            self.undefined = error
            self.end_reason = SEGMENTS if self._n_segments else None
            return
        self._pay(settled.payments)
        self._value += settled.columns.get("welfare", math.nan)
        alone = max(1.0, self._setting.terms.reserve)  # any bid that counts
        self.bids = tuple((alone * np.eye(len(self.cell.bids))[settled.choice]).tolist())
        self._bidding_left = self._mechanism.next_bids(self._bidding_left, settled.choice)
        self._n_segments += 1

    def _ends_segment(self, token: int) -> bool:
        if self._mechanism.unit != "sentence":
            return self._mechanism.unit == "token"
        piece = self._setting.vocabulary.piece(token)
        return b"\n" in piece or piece.rstrip(_BEHIND_A_SENTENCE).endswith(_ENDS_OF_SENTENCES)

    @property
    def _columns_paid(self) -> Sequence[str]:
        return self._mechanism.payments

    def _totals(self, measures: Measures) -> Record:
        totals = super()._totals(measures)
        own = {name: value for name, value in totals.items() if name.split(".")[0] not in _OF_THE_TOKEN_AUCTION}
        return own | {"welfare": self._value}
