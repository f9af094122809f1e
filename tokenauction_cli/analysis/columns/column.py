"""An entry of the table of columns, and a file: what `columns.py` is made of."""

from __future__ import annotations

from typing import NamedTuple

BIDS = "units of the bids"
NOTATION = (
    "In formulas p_i is what agent i's model says of the next token, byte or word (`auction.alphabet`), q the "
    "aggregate, o_i the aggregate without agent i's bid, b_i the bid, B = sum_j b_j, w_i = b_i / B, S_i = B - b_i, and "
    "x_t what is drawn at t = 1 ... T. `token` stands for byte or word too."
)
"""The letters of every formula of a column."""


class Column(NamedTuple):
    """One entry. `per` is what one number belongs to: `text`, `token`, `mean per token` (over a text), or ''.

    `is_text` where the column holds words, so that `NA` in it is a word and `007` no number.
    """

    name: str
    meaning: str
    unit: str = ""
    per: str = ""
    formula: str = ""
    is_text: bool = False

    @property
    def in_words(self) -> str:
        """All of it on one line, for a tooltip."""
        formula = f"{self.formula}." if self.formula else ""
        unit = f"Unit: {self.unit}." if self.unit else ""
        per = {"text": "Per text.", "token": "Per token.", "mean per token": "Mean per token."}.get(self.per, "")
        return " ".join(filter(None, (self.meaning, formula, unit, per)))


class File(NamedTuple):
    """A file, what one line of it is, and its columns. More specific names come before patterns that also fit."""

    name: str
    about: str
    columns: tuple[Column, ...]
