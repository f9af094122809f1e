"""The kinds of texts: which class keeps a cell's text. A new kind is a class and one word here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...mechanism.sampling.randomness import Randomness
from ..plan import Cell
from .text_state import TextSetting, TextState
from .words import WordState
from .writers import WriterState

Kind = Callable[[TextSetting, Cell, Randomness, int | None], TextState]

BY_ALPHABET: Mapping[str, Kind] = {"words": WordState}
BY_WRITERS: Mapping[str, Kind] = {"agents": WriterState}
"""By what a mechanism lets bids choose; see `Mechanism.writers`."""


def begin_text(setting: TextSetting, cell: Cell, randomness: Randomness, truth: int | None) -> TextState:
    """An empty text of the kind that the experiment's alphabet and the cell's mechanism ask for."""
    mechanism = setting.rules.other(cell.mechanism)
    of_writers = BY_WRITERS.get(mechanism.writers) if mechanism else None
    kind = BY_ALPHABET.get(setting.experiment.auction.alphabet) or of_writers or TextState
    return kind(setting, cell, randomness, truth)
