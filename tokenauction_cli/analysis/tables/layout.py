"""How wide the columns of a table are, and which stand side by side, so that no word of a head breaks.

Widths are numbers of characters on a terminal, ems on paper. It knows nothing of what the columns hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Breadth(NamedTuple):
    """Of a column: its longest piece that cannot be broken, and its longest line without a break."""

    least: float
    most: float


def parts(columns: Sequence[Breadth], n_heads: int, available: float, gap: float) -> list[list[int]]:
    """The numbers of the columns that stand side by side; the first `n_heads`, which name the rows, in every part.

    A part has at least one column beside those, whether or not it fits.
    """
    heads = list(range(n_heads))
    found: list[list[int]] = []
    for k in range(n_heads, len(columns)):
        if found and _fits([columns[j] for j in [*found[-1], k]], available, gap):
            found[-1].append(k)
        else:
            found.append([*heads, k])
    return found or [heads]


def widths(columns: Sequence[Breadth], available: float, gap: float) -> list[float]:
    """The longest line of each where they fit; else the longest piece, and what is left as each lacks it.

    Where not even the longest pieces fit, the widest columns give way.
    """
    room = max(0.0, available - gap * (len(columns) - 1))
    least, most = (sum(column[k] for column in columns) for k in (0, 1))
    if most <= room:
        return [column.most for column in columns]
    if least >= room:
        level = _level([column.least for column in columns], room)
        return [min(column.least, level) for column in columns]
    share = (room - least) / (most - least)
    return [column.least + share * (column.most - column.least) for column in columns]


def _level(wanted: Sequence[float], room: float) -> float:
    """The width at which to cut the widest columns, so that all fit."""
    ordered = sorted(wanted)
    for k, width in enumerate(ordered):
        level = room / (len(ordered) - k)
        if width > level:
            return level
        room -= width
    return max(ordered)


def _fits(columns: Sequence[Breadth], available: float, gap: float) -> bool:
    return sum(column.least for column in columns) + gap * (len(columns) - 1) <= available
