"""One cell's text while it is auctioned word by word: bytes are drawn one after the other, and charged as words.

A word ends with white space, with END, or where the text is cut. A draw may take a word back and begin it again: see
`mechanism/sampling/words.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...lm.base import Logits
from ...mechanism.distributions import Array, Profile
from ...mechanism.outcome import Outcome
from ...mechanism.sampling.randomness import DrawKey, Randomness
from ...mechanism.sampling.rules import Draw
from ...mechanism.sampling.words import Walk, Walks, log_mixture, walks
from ...mechanism.terms import Bidding, bidding_of
from ...mechanism.word_outcome import WordOutcome
from ...runs.run_folder import Record
from ...system.errors import CellError
from ..plan import Cell
from .text_state import NextDraw, TextSetting, TextState, is_nan
from .token_loop import Back, Drawn

WHITE_SPACE = frozenset(b"\t\n\v\f\r ")


class _Word:
    """A word that is being drawn, from this position of the text on."""

    def __init__(self, begin: int, bidding: Bidding, walks: Walks) -> None:
        self.begin = begin
        self.bidding = bidding
        self.walks = walks
        self.walk: Walk = next(walks)
        self.log_p: Array = np.zeros(len(bidding.bids))  # of its bytes so far, by agent


class WordState(TextState):
    """One cell's text, of words; its tokens are bytes."""

    is_prefetched = False

    def __init__(self, setting: TextSetting, cell: Cell, randomness: Randomness, truth: int | None = None) -> None:
        super().__init__(setting, cell, randomness, truth)
        self._rule = setting.rules.drawing(cell.mechanism)
        self._sampler = setting.rules.sampling
        self._word: _Word | None = None
        self._n_words = 0
        self._measured = np.full_like(self._measured, np.nan)  # they sum over all words

    @property
    def n_tokens(self) -> int:
        """Words so far, one that is cut included."""
        return self._n_words

    @staticmethod
    def profile(logits: Sequence[Logits], temperatures: Array) -> Profile:
        """Over words models answer with log p of the next byte."""
        return Profile(log_p=np.stack(logits))

    def draw(self, next_draw: NextDraw) -> Drawn:
        """Draw a byte: the byte, or how far the text goes back.

        Raises CellError where an agent has no distribution, MechanismError for bids that have none.
        """
        profile = next_draw.profile
        word = self._word = self._word or self._begun(profile)
        byte = word.walk.byte(profile, word.log_p, DrawKey(self.randomness, len(self._tokens)))
        self._tokens.append(byte)
        word.log_p = word.log_p + profile.log_at(byte)
        cut = self._setting.cut(self._tokens)
        if cut is None and byte not in WHITE_SPACE:
            return byte
        try:
            word.walk = word.walks.send(word.log_p)
        except StopIteration as kept:
            self._keep(word, kept.value)
            self.end_reason = cut or self._spent()
            return byte
        del self._tokens[word.begin :]
        word.log_p = np.zeros_like(word.log_p)
        return Back(word.begin)

    def _defined(self, record: Record) -> Record:
        """What sums over all words is not known, and left out."""
        return {key: value for key, value in record.items() if not is_nan(value)}

    def _charge(self, outcome: Outcome, draw: Draw, draw_key: DrawKey) -> dict[str, Array]:
        """As of a token, without the payments that are not known."""
        paid = super()._charge(outcome, draw, draw_key)
        return {column: amounts for column, amounts in paid.items() if not np.isnan(amounts).any()}

    def _begun(self, profile: Profile) -> _Word:
        """The word that begins here."""
        silent = profile.once("silent", lambda: np.flatnonzero(np.isneginf(profile.log_p).all(axis=1)))
        if len(silent):
            name = self._setting.experiment.agents[silent[0]].name
            why = f"agent {name!r} cannot spell {self.text()!r}: it has no distribution of what follows"
            raise CellError(why, cell=self.cell.id, agent=name)
        bidding = bidding_of(self._setting.terms, self.bids)
        begin = len(self._tokens)
        draw_key = DrawKey(self.randomness, begin)
        return _Word(begin, bidding, walks(self._rule, self._sampler, bidding, draw_key))

    def _keep(self, word: _Word, draw: Draw) -> None:
        """Charge a word that is drawn."""
        self._word = None
        self._n_words += 1
        outcome = WordOutcome(self._rule, word.bidding, word.log_p)
        draw_key = DrawKey(self.randomness, word.begin)
        log_q = log_mixture(word.bidding.weights, word.log_p)
        self._take_down(self._tokens[word.begin :], outcome, draw, draw_key, word.log_p, log_q)
