"""Does a finished run keep what its file expects of it?

A figure is a column of numbers of summary.csv, else of cells.csv; `trend.F` is the tau of the figure F in trends.csv,
`trend.F.violation` another column there, both of each query. It holds where every row of `at` lies within the bounds: a
number that is not there lies within none. A test of texts holds where enough of the texts that did not fail pass it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..experiment.checks.expectation_checks import TREND
from ..experiment.format.expect import At, TextTest
from ..experiment.resolved.expectation import TOLERANCE, Expectation
from ..system.errors import Problem
from ..system.wording import first_few
from .columns.columns import figures, number_columns
from .tables.tables import Table

if TYPE_CHECKING:
    import pandas as pd

TAU, MECHANISM = "tau", "mechanism"
TESTS = {"contains": "contains", "not_contains": "does not contain", "matches": "matches"}
_TRENDS, _SUMMARY, _CELLS = "trends.csv", "summary.csv", "cells.csv"


class Verdict(NamedTuple):
    """Whether an expectation holds, and what was found, in words."""

    expectation: Expectation
    holds: bool
    found: str


def figure_names(ids: Sequence[str], payments: Sequence[str]) -> Iterator[str]:
    """Every figure that an expectation may name, of a run with these agents' ids and payment columns."""
    for file in (_SUMMARY, _CELLS):
        yield from number_columns(file, ids, payments)
    for figure in figures(ids, payments):
        yield TREND + figure
        yield from (f"{TREND}{figure}.{column}" for column in number_columns(_TRENDS, ids, payments))


def verdicts(
    expectations: Sequence[Expectation], cells: pd.DataFrame, summary: pd.DataFrame, trends: pd.DataFrame
) -> list[Verdict]:
    """One per expectation, of the frames of a finished run."""
    written = cells[cells["end_reason"] != "failed"]
    of_queries = trends[trends["query"].isin(summary["query"])] if len(trends) else trends
    frames = {_SUMMARY: summary, _CELLS: written, _TRENDS: of_queries}
    return [
        _verdict_on_texts(one, one.text, written) if one.text is not None else _verdict_on_figure(one, frames)
        for one in expectations
    ]


def _verdict_on_texts(expectation: Expectation, test: TextTest, cells: pd.DataFrame) -> Verdict:
    rows = cells[_agrees(expectation.at, cells)]
    if not len(rows):
        return Verdict(expectation, False, _nothing_there(expectation.at, cells, "text"))
    passed = sum(_passes(test, text) for text in rows["text"])
    return Verdict(expectation, passed / len(rows) >= expectation.share, f"{passed} of {len(rows)} texts")


def _passes(test: TextTest, text: str) -> bool:
    return (
        (test.contains is None or test.contains in text)
        and (test.not_contains is None or test.not_contains not in text)
        and (test.matches is None or re.search(test.matches, text) is not None)
    )


def _verdict_on_figure(expectation: Expectation, frames: Mapping[str, pd.DataFrame]) -> Verdict:
    frame, column = _rows_of(expectation.figure or "", frames)
    if column not in frame:
        return Verdict(expectation, False, "this run has no such figure")
    rows = frame[_agrees(expectation.at, frame)]
    if not len(rows):
        return Verdict(expectation, False, _nothing_there(expectation.at, frame, "row"))
    values = rows[column].astype("Float64").to_numpy(dtype=float, na_value=math.nan)
    fails = ~((values >= expectation.low) & (values <= expectation.high))  # NaN does
    if not fails.any():
        return Verdict(expectation, True, _range(values))
    with np.errstate(invalid="ignore", over="ignore"):  # of infinite numbers
        outside = np.maximum(expectation.low - values[fails], values[fails] - expectation.high)
    worst = int(np.flatnonzero(fails)[np.argmax(np.nan_to_num(outside, nan=math.inf))])
    several = f" ({fails.sum()} of {len(rows)} rows fail)" if len(rows) > 1 else ""
    return Verdict(expectation, False, f"{_words(values[worst])}{_where(rows, worst)}{several}")


def _rows_of(figure: str, frames: Mapping[str, pd.DataFrame]) -> tuple[pd.DataFrame, str]:
    """The rows that may hold a figure, and its column."""
    if not figure.startswith(TREND):
        return frames[_SUMMARY if figure in frames[_SUMMARY] else _CELLS], figure
    trends, name, column = frames[_TRENDS], figure.removeprefix(TREND), TAU
    if name not in set(trends["figure"]) and name.rpartition(".")[2] in trends:
        name, _, column = name.rpartition(".")
    return trends[trends["figure"] == name], column


def _agrees(at: At, frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Which rows agree with every key."""
    agrees = np.ones(len(frame), dtype=bool)
    for column, value in _keys_in(at, frame).items():
        if isinstance(value, str):
            agrees &= (frame[column] == value).to_numpy()
        else:
            agrees &= np.isclose(frame[column].to_numpy(dtype=float), value, rtol=TOLERANCE, atol=TOLERANCE)
    return agrees


def _keys(at: At) -> dict[str, str | float]:
    """The columns that `at` names, and the values it wants there."""
    keys: dict[str, str | float | None] = {"query": at.query, MECHANISM: at.mechanism, "aggregation": at.aggregation}
    keys |= {"relative_weight": at.relative_weight, "point": at.point}
    keys |= {f"bid.{agent}": bid for agent, bid in (at.bids or {}).items()}
    return {column: value for column, value in keys.items() if value is not None}


def _keys_in(at: At, frame: pd.DataFrame) -> dict[str, str | float]:
    """The same without `mechanism` where the frame has no such column: then all rows are of one."""
    return {column: value for column, value in _keys(at).items() if column != MECHANISM or column in frame}


def _nothing_there(at: At, frame: pd.DataFrame, what: str) -> str:
    """That no row agrees, and what the rows have where `at` looks."""
    if not len(frame):
        return f"there is no {what}" + ("; a trend needs 3 relative weights" if TAU in frame else "")
    there_are = (f"{key} {first_few(map(_words, frame[key].unique()))}" for key in _keys_in(at, frame))
    return f"there is no {what}; there are {'; '.join(there_are)}"


def _range(values: NDArray[Any]) -> str:
    least, most = _words(values.min()), _words(values.max())
    return least if least == most else f"{least} to {most}"


def _where(rows: pd.DataFrame, k: int) -> str:
    """Which of several rows: what differs between them."""
    point = "relative_weight" if "relative_weight" in rows and rows["relative_weight"].nunique() > 1 else "point"
    keys = ("query", MECHANISM, "aggregation", point, "seed")
    differing = {key: rows[key].iloc[k] for key in keys if key in rows and rows[key].nunique() > 1}
    if differing.get("aggregation") == "":  # of a mechanism that has none
        del differing["aggregation"]
    return f" at {_listed(differing)}" if differing else ""


def _listed(keys: Mapping[str, Any]) -> str:
    """Queries and rules speak for themselves; numbers are named."""
    return ", ".join(_words(v) if isinstance(v, str) else f"{k.replace('_', ' ')} {_words(v)}" for k, v in keys.items())


def _words(value: Any) -> str:
    if isinstance(value, str):
        return value or "''"
    return "empty" if math.isnan(value) else f"{value + 0.0:.4g}"  # never -0


def what_is_expected(expectation: Expectation) -> str:
    """The figure or the test of texts, and where, on one line."""
    at = _listed(_keys(expectation.at))
    return _subject(expectation) + (f" at {at}" if at else "")


def _subject(expectation: Expectation) -> str:
    if expectation.text is None:
        return expectation.figure or ""
    tests = expectation.text.model_dump().items()
    return "text " + " and ".join(f"{TESTS[test]} {text!r}" for test, text in tests if text is not None)


def bounds(expectation: Expectation) -> str:
    """What would hold, in words."""
    if expectation.text is not None:
        return f"at least {100 * expectation.share:.4g} % of the texts" if expectation.share < 1 else "every text"
    least = f"at least {expectation.low:.6g}" if expectation.low > -math.inf else ""
    most = f"at most {expectation.high:.6g}" if expectation.high < math.inf else ""
    return " and ".join(filter(None, (least, most)))


def problem_of(verdict: Verdict) -> Problem:
    """An expectation that fails, at its place in the file."""
    expectation = verdict.expectation
    message = f"{what_is_expected(expectation)}: expected {bounds(expectation)}, found {verdict.found}"
    return replace(expectation.place, message=message)


def verdict_table(made: Sequence[Verdict]) -> Table:
    """A row per expectation."""
    n_kept = sum(one.holds for one in made)
    rows = tuple(
        (_subject(e), _listed(_keys(e.at)) or "everywhere", bounds(e), found, "holds" if holds else "FAILS")
        for e, holds, found in made
    )
    title = f"{n_kept} of {len(made)} expectations hold" if n_kept < len(made) else "Every expectation holds"
    return Table(title, ("what", "at", "expected", "found", "result"), rows)
