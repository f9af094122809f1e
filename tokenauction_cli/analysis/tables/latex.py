r"""Tables for a paper: booktabs, captions with labels, heads that wrap, nothing wider than \linewidth.

Every column is a paragraph of fixed width. Widths are reckoned in ems of Computer Modern, from letters that are never
narrower than the true ones. The size of type falls until all columns fit side by side, and what does not fit at
\footnotesize goes on below. A long word may break, so that no box is overfull at the \linewidth of an article.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from .layout import Breadth, parts, widths

PREAMBLE = r"% \usepackage{array,booktabs}; with other than Latin letters compile by LuaLaTeX or XeLaTeX"
SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\symbol{34}",
    "…": r"\ldots{}",
    **{sign: f"\\{sign}" for sign in "$&#_%"},
}
SIZES = (("", 1.0), (r"\small", 0.9), (r"\footnotesize", 0.8))
LINE = 32.0  # ems of normal type: an article has 34.5 at 10 pt, 32.7 at 11 pt, 32.5 at 12 pt
GAP = 0.8  # of normal type, twice \tabcolsep
LONG, PARAGRAPH = 24.0, 8.0  # ems from which a cell is a paragraph, and how wide that is at least
LONGEST_WORD, LONGEST_PIECE = 12, 16  # characters, beyond which it may break after - and _, or anywhere
_MAY_BREAK = r"\penalty500 "
_WIDE = {**dict.fromkeys("mwMW%@", 1.03), **dict.fromkeys("fijlrtI.,:;'!()[]-|` ", 0.4), "…": 1.2}


@dataclass(frozen=True)
class PaperTable:
    """A table of text that is fit to read: `is_number` tells the columns that are set to the right."""

    caption: str
    label: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    is_number: Sequence[bool]
    n_heads: int


def latex(tables: Sequence[PaperTable], notes: Sequence[str] = ()) -> str:
    """The tables as floats, the notes under the last; labels are made to differ."""
    taken: set[str] = set()
    texts = [PREAMBLE + "\n"]
    for k, table in enumerate(tables):
        label = next(name for name in _labels(table.label) if name not in taken)
        taken.add(label)
        texts.append("\n".join(_float(table, label, notes if k == len(tables) - 1 else ())) + "\n")
    return "\n".join(texts)


def _labels(label: str) -> Iterator[str]:
    """The label, then `label-2`, `label-3`, ..., one of which another table may have for its own."""
    yield label
    yield from (f"{label}-{number}" for number in count(2))


def escaped(text: str) -> str:
    """Text that LaTeX sets as it stands; line breaks become blanks, and long words may break."""
    return " ".join(map(_word, text.split()))


def _word(word: str) -> str:
    *before, last = _pieces(word) or [""]
    signs = "".join(_signs(piece) + ("" if piece.endswith("-") else _MAY_BREAK) for piece in before)
    return signs + _signs(last)


def _signs(text: str) -> str:
    return "".join(SPECIAL.get(sign, sign) for sign in text)


def _float(table: PaperTable, label: str, notes: Sequence[str]) -> Iterator[str]:
    needs = [_needs([head, *(row[k] for row in table.rows)]) for k, head in enumerate(table.columns)]
    size, scale, chosen = _size(needs, table.n_heads)
    yield from (r"\begin{table}", r"\centering", rf"\setlength{{\tabcolsep}}{{{GAP / 2}em}}")
    yield rf"\caption{{{escaped(table.caption)}}}\label{{{label}}}"
    for k, columns in enumerate(chosen):
        if k:
            yield r"\par\medskip"
        yield from _tabular(table, columns, [needs[j] for j in columns], size, LINE / scale)
    for note in notes:
        yield rf"\par\smallskip\raggedright\footnotesize {escaped(note)}"
    yield r"\end{table}"


def _size(needs: Sequence[Breadth], n_heads: int) -> tuple[str, float, list[list[int]]]:
    """The largest type in which all columns stand side by side, or the smallest, and the parts of the table."""
    tried = [(size, scale, parts(needs, n_heads, LINE / scale, GAP / scale)) for size, scale in SIZES]
    return next((one for one in tried if len(one[2]) == 1), tried[-1])


def _tabular(
    table: PaperTable, columns: Sequence[int], needs: Sequence[Breadth], size: str, available: float
) -> Iterator[str]:
    shares = [width / available for width in widths(needs, available, available / LINE * GAP)]
    wide = "".join(_column(share, table.is_number[k]) for share, k in zip(shares, columns, strict=True))
    yield rf"{{{size}\begin{{tabular}}{{@{{}}{wide}@{{}}}}"
    yield r"\toprule"
    yield _line([table.columns[k] for k in columns])
    yield r"\midrule"
    yield from (_line([row[k] for k in columns]) for row in table.rows)
    yield from (r"\bottomrule", r"\end{tabular}}")


def _column(share: float, is_number: bool) -> str:
    side = r"\raggedleft" if is_number else r"\raggedright"
    return rf">{{{side}\arraybackslash}}p{{{int(share * 1000) / 1000:.3f}\linewidth}}"


def _line(cells: Sequence[str]) -> str:
    return " & ".join(map(escaped, cells)) + r" \\"


def _needs(cells: Sequence[str]) -> Breadth:
    """Widths in ems, of the longest piece and of the longest cell; a little more, for what is rounded off."""
    pieces = [piece for cell in cells for word in cell.split() for piece in _pieces(word)]
    longest = max(map(_ems, cells), default=0.0)
    least = PARAGRAPH if longest > LONG else 0.0
    return Breadth(max(least, *map(_ems, pieces), 0.0) + 0.1, longest + 0.1)


def _pieces(word: str) -> list[str]:
    """What cannot be broken of a word: a long one may break after - and _, and anywhere where that does not help."""
    if len(word) <= LONGEST_WORD:
        return [word]
    parts_of_word = re.findall(r"[^_-]*[_-]|[^_-]+", word)
    return [piece for part in parts_of_word for piece in ([part] if len(part) <= LONGEST_PIECE else part)]


def _ems(text: str) -> float:
    return sum(_WIDE.get(sign) or _ordinary(sign) for sign in text)


def _ordinary(sign: str) -> float:
    if not sign.isascii():
        return 1.03
    return 0.79 if sign.isupper() or sign in "<>&" else 0.56
