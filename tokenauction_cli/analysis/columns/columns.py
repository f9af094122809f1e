"""What every column of every file of a run is: its unit, whether it is per token or per text, and its formula.

One table, read by docs/reference/columns.md and by the report; `NOTATION` has the letters of its formulas. In a name,
`A` is the id of an agent, `<payment>` a column of a payment rule or of another mechanism, `RULE` an aggregation rule or
another mechanism, `NAME` an agent's name, and `F` a figure: a column of cells.csv that summary.csv sums up, a rate, or
a ratio of sums.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from .audit_columns import AUDIT
from .column import Column, File
from .market_columns import MARKET_FILES
from .mechanism_columns import MEASURES
from .sweep_columns import COMPARISONS, POOLED, SUMMARY, TABLE, TRENDS
from .text_audit_columns import TEXT_AUDIT_FILES
from .text_columns import FIGURES_OF_A_TEXT, MENTIONS, TEXT, TRACE

_AT_LEAST_0, _AT_MOST_0, _ANY, _SHARE = (0.0, math.inf), (-math.inf, 0.0), (-math.inf, math.inf), (0.0, 1.0)
RANGES = {
    **dict.fromkeys(("tokens", "bytes", "first_mention", "unfollowed"), _AT_LEAST_0),
    **dict.fromkeys(("log_prob", "log_allowed", "quality"), _AT_MOST_0),
    "log_ratio": _ANY,
    "tv": _SHARE,
    **dict.fromkeys(("kl", "reverse_kl", "reverse_kl_sum", "payment", "revenue"), _AT_LEAST_0),
    "welfare": _AT_MOST_0,
    **dict.fromkeys(("welfare_share", "posterior"), _SHARE),
    "paid_share": _AT_LEAST_0,
    "common_welfare": _ANY,
    "revenue_share": _AT_LEAST_0,
    "ess": _AT_LEAST_0,
    "repetition": _SHARE,
    "sold": _SHARE,
    "complete": _SHARE,
    "judge": _SHARE,
}
"""What the figures can be, by their first parts. A payment rule of one's own may pay agents; no built-in rule does."""

FIGURES = tuple(RANGES)
"""First parts of the columns of cells.csv that summary.csv sums up."""

BY_OBJECTIVE = ("welfare", "welfare_share")
"""Figures that are measured by the aggregation rule's own objective: `comparable.py`."""

RATES = ("mention_rate", "co_mention_rate", "blend_rate")
SOLD, COMPLETE = "sold", "complete"

RATIOS = ("revenue_per_1000_bytes", "payment_per_1000_bytes")
"""Ratios of sums over texts: `per_bytes.py`."""

_OF_SUMMARY = RATES + RATIOS
"""Figures that one text has not."""

FILES = (
    File("cells.csv", "One row per text.", (*TEXT, *MENTIONS, *FIGURES_OF_A_TEXT, *MEASURES)),
    File("summary.csv", "One row per query, aggregation rule and sweep point.", SUMMARY),
    File(
        "trends.csv",
        "One row per query, aggregation rule and figure, where there are 3 weights or more. Of several queries with "
        "the same weights also one over all of them, of the means in pooled.csv.",
        TRENDS,
    ),
    File(
        "comparisons.csv",
        "One row per query, sweep point, pair of aggregation rules and figure, where there are 2 seeds or more. "
        "Welfare only of rules of one objective.",
        COMPARISONS,
    ),
    File("pooled.csv", "One row per aggregation rule and sweep point, where there are several queries.", POOLED),
    File("audit.csv", "One row per check of `tokauction audit`.", AUDIT),
    *TEXT_AUDIT_FILES,
    *MARKET_FILES,
    File("table.csv", "One row per sweep point: the table that a run prints (`table.md` is the same).", TABLE),
    File(
        "records-*.jsonl",
        "One line per text, in the order in which texts end; lists have one entry per token. `trace` needs "
        "`auction.trace`; its logarithms and probabilities have 3 decimals.",
        (*(column for column in TEXT if column.name not in (SOLD, COMPLETE)), *FIGURES_OF_A_TEXT, *TRACE),
    ),
)

_HOLES = {
    "A": r"[A-Za-z0-9_]+",
    "<payment>": r".+",
    "NAME": r".+",
    "RULE": r"(?!title$|weight of |bid of ).+",
    "F": rf"(?:{'|'.join(FIGURES + _OF_SUMMARY)})(?:\..+?)?",
}


def entries_for(file: str, column: str) -> Iterator[Column]:
    """The entries that describe a column of a file, the most specific first."""
    (found,) = (one for one in FILES if one.name == file)
    return (entry for entry in found.columns if _pattern(entry.name).fullmatch(column))


@lru_cache(maxsize=256)
def _pattern(name: str) -> re.Pattern[str]:
    """The columns that a name with holes stands for. An id is never low or high: those are ends of intervals."""
    parts = re.split(r"(<payment>|\b(?:A|F|NAME|RULE)\b)", name)
    ends = r"(?!.*\.(?:low|high)$)" if not name.endswith((".low", ".high")) else ""
    return re.compile(ends + "".join(_HOLES.get(part, re.escape(part)) for part in parts), re.DOTALL)


def number_columns(file: str, ids: Sequence[str], payments: Sequence[str]) -> list[str]:
    """The columns of numbers that a file may have in a run with these agents' ids and payment columns."""
    (found,) = (one for one in FILES if one.name == file)
    names = []
    for entry in found.columns:
        if entry.name.split(".")[0] == "F":
            names += [figure + entry.name[1:] for figure in figures(ids, payments)]
        elif entry.unit:  # what has none is a name, a number of something or a text
            names += _filled(entry.name, ids, payments)
    return list(dict.fromkeys(names))


def figures(ids: Sequence[str], payments: Sequence[str]) -> list[str]:
    """The figures of a run's summary.csv: means of columns of cells.csv, rates and ratios."""
    entries = [one for one in FILES[0].columns if one.name.split(".")[0] in FIGURES]
    entries += [one for one in FILES[1].columns if one.name.split(".")[0] in _OF_SUMMARY]
    return list(dict.fromkeys(name for entry in entries for name in _filled(entry.name, ids, payments)))


def _filled(name: str, ids: Sequence[str], payments: Sequence[str]) -> list[str]:
    """The columns that a name with holes stands for; entries of one payment rule are covered by that of all."""
    if name.startswith("payment.") and "<payment>" not in name:
        return []
    names = [name.replace("<payment>", payment) for payment in payments] if "<payment>" in name else [name]
    return [f"{one.removesuffix('.A')}.{agent}" for one in names for agent in ids] if name.endswith(".A") else names


def range_of(figure: str) -> tuple[float, float]:
    """The least and the most that a figure of summary.csv can be."""
    first = figure.split(".")[0]
    return _AT_LEAST_0 if first in RATIOS else RANGES.get(first, _SHARE)


def explained(file: str, column: str) -> str:
    """A column in one sentence or two, for a tooltip; '' where there is no entry."""
    entry = next(entries_for(file, column), None)
    return "" if entry is None else entry.in_words.replace("`", "")


def figure_explained(figure: str) -> str:
    """What a figure of summary.csv is: the column of cells.csv whose mean it is, or an entry of its own."""
    file = "summary.csv" if figure.split(".")[0] in _OF_SUMMARY else "cells.csv"
    return explained(file, figure)
