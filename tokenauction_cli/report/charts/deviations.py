"""What the charts of an audit of whole texts have in common: agents, and numbers of a row of its files, unchanged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from ...mechanism.audit.prose import ORDER_NAMES
from .file_tables import Row

Ends = tuple[float | None, float | None]


class DrawnAgent(NamedTuple):
    """An agent as charts show it."""

    id: str
    name: str
    colour: int


def measured(row: Row, column: str, ends: Ends) -> dict[str, Any]:
    """A number of a deviation, and what a tooltip says of it."""
    return {
        "mean": finite(row[column]),
        "low": ends[0],
        "high": ends[1],
        "exact": row["method"] == "exact",
        "texts": int(float(row["texts"])),
        "report": row["report"],
        "bid": None if row["bid"] == "" else float(row["bid"]),
        "note": row["note"],
    }


def gain_of(row: Row) -> float:
    """By which deviations are ordered; an empty gain, of two infinite utilities, is the least."""
    return float(row["gain"] or "-inf")


def ends_of(row: Row) -> Ends:
    """The ends of the gain's interval, none where it is exact."""
    return (None, None) if row["method"] == "exact" else (finite(row["gain.low"]), finite(row["gain.high"]))


def is_best(row: Row) -> bool:
    """Of the bids for a whole text, as the audit says; files of earlier versions do not tell."""
    return row.get("best") in ("tried", "constant")


def finite(value: str) -> float | None:
    """A number to draw; None for an infinite one, and for an empty one: the difference of two such."""
    number = float(value or "nan")
    return number if math.isfinite(number) else None


def utility_label(utility: str) -> str:
    return ORDER_NAMES.get(utility, utility.replace("_", " "))


def chart_id(name: str, *parts: tuple[str, Mapping[str, Any]]) -> str:
    """The name, and of every kind of part that has several the one that is meant."""
    return ".".join([name, *(part for part, all_of_them in parts if len(all_of_them) > 1)])


def numbers(rows: tuple[dict[str, Any], ...], *columns: str) -> list[float]:
    """All that is drawn of these columns."""
    return [row[column] for row in rows for column in columns if row[column] is not None]
