"""Tables for people and for other programs: what a table is, and how it is written in every format.

People (terminal, Markdown, LaTeX) read three significant digits, an interval beside its mean, and an ellipsis where a
text was cut at its most tokens or bytes. Programs (CSV, JSON) get numbers, a column for each end of an interval, and
texts as they are.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from ...statistics.intervals import Estimate
from ...system.environment import visible
from .latex import PaperTable, latex

if TYPE_CHECKING:
    import pandas as pd

Row = TypeVar("Row")
Key = TypeVar("Key", bound=Hashable)

_ROUNDING_ERROR = 1e-12  # below which a number is what is left where terms cancel
_THREE_DIGITS = 999.5  # from which a number has more than three digits before the point


class CutText(str):
    """A text that ends because it has the most tokens or bytes. To programs it is the text itself."""


@dataclass(frozen=True)
class Table:
    """Cells of text, numbers or estimates under named columns, of which the first `n_heads` name the rows.

    `name` is what the table holds, for labels; `keys` tell it from the others of its name, for programs; `notes`
    are sentences for people, told once for several tables, `caption` is one that stands below this table.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    n_heads: int = 1
    name: str = "table"
    keys: tuple[tuple[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    caption: str = ""

    def shown(self, row: Sequence[Any]) -> list[str]:
        """A row as people read it; what names it is not rounded."""
        return [plain(value) if k < self.n_heads else shown(value) for k, value in enumerate(row)]

    def of_run(self, run: str) -> Table:
        """The same among tables of several runs."""
        keys = self.keys or (("title", self.title),)
        return replace(self, title=f"{run}: {self.title}".removesuffix(": "), keys=(("run", run), *keys))

    def holds_numbers(self, column: int) -> bool:
        """Whether a column is set to the right."""
        return all(isinstance(row[column], (int, float, Estimate)) for row in self.rows)


def shown(value: Any) -> str:
    """A value as people read it: three significant digits, `mean [low, high]`, a text that was cut with an ellipsis."""
    if isinstance(value, Estimate):
        interval = f"[{shown(value.low)}, {shown(value.high)}]" if not math.isnan(value.low) else ""
        return f"{shown(value.mean)} {interval}".strip()
    if isinstance(value, CutText):
        return f"{value.rstrip()}…"
    if isinstance(value, float) and math.isfinite(value):
        return _three_digits(value)
    return plain(value)


def _three_digits(value: float) -> str:
    if abs(value) < _ROUNDING_ERROR:
        return "0"
    return f"{value:.0f}" if abs(value) >= _THREE_DIGITS else f"{value:.3g}"


def plain(value: Any) -> str:
    """A value as it is written: 0.3 and not 0.30000000000000004."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)


def grouped(rows: Iterable[Row], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    """Rows by key, both in the order in which they come."""
    groups: dict[Key, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def notes_of(tables: Sequence[Table]) -> list[str]:
    """What people should know of these tables, each sentence once."""
    return list(dict.fromkeys(note for table in tables for note in table.notes))


def render(tables: Sequence[Table], how: str) -> str:
    """Tables as Markdown, LaTeX, CSV, JSON (a list of rows) or JSON lines.

    In the last three, several tables are told apart by their keys, or without by the column `title`.
    """
    if how == "md":
        return "\n".join([*map(_markdown, tables), *(f"{_markdown_cell(note)}\n" for note in notes_of(tables))])
    if how == "latex":
        return latex([_on_paper(table) for table in tables], [visible(note) for note in notes_of(tables)])
    columns, rows = _joined([_for_programs(table) for table in tables])
    if how == "csv":
        sink = _Lines()
        writer = csv.writer(sink)
        writer.writerow(columns)
        writer.writerows([without_nul(plain(value)) for value in row] for row in rows)
        return sink.getvalue()
    objects = [dict(zip(columns, row, strict=True)) for row in rows]
    if how == "json":
        return json.dumps(objects, ensure_ascii=False, indent=2, default=plain) + "\n"
    return "".join(json.dumps(item, ensure_ascii=False, default=plain) + "\n" for item in objects)


def _for_programs(table: Table) -> Table:
    """The same with three columns for an estimate: F, F.low and F.high."""
    wide = [any(isinstance(row[k], Estimate) for row in table.rows) for k in range(len(table.columns))]
    columns = [
        name
        for head, is_wide in zip(table.columns, wide, strict=True)
        for name in ([head, f"{head}.low", f"{head}.high"] if is_wide else [head])
    ]
    rows = (
        [part for value, is_wide in zip(row, wide, strict=True) for part in (value if is_wide else [value])]
        for row in table.rows
    )
    return Table(table.title, tuple(columns), tuple(map(tuple, rows)), keys=table.keys)


def _joined(tables: Sequence[Table]) -> tuple[list[str], list[list[Any]]]:
    keys = [table.keys or ((("title", table.title),) if len(tables) > 1 else ()) for table in tables]
    leading = list(dict.fromkeys(name for pairs in keys for name, _ in pairs))
    columns = list(dict.fromkeys(column for table in tables for column in table.columns))
    rows = []
    for table, pairs in zip(tables, keys, strict=True):
        named = [dict(pairs).get(name, "") for name in leading]
        for row in table.rows:
            values = dict(zip(table.columns, row, strict=True))
            rows.append(named + [_json_number(values.get(c, "")) for c in columns])
    return leading + columns, rows


def _json_number(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return ("" if math.isnan(value) else str(value)) if isinstance(value, float) and not math.isfinite(value) else value


def frame_csv(frame: pd.DataFrame) -> str:
    """A frame as CSV."""
    from pandas.api.types import is_numeric_dtype

    texts = {c: frame[c].map(without_nul) for c in frame.columns if not is_numeric_dtype(frame[c])}
    sink = _Lines()
    frame.assign(**texts).to_csv(sink, index=False, lineterminator="\r\n")
    return sink.getvalue()


class _Lines(io.StringIO):
    """CSV with lines that end in LF, of a writer that ends them in CRLF, since only that one quotes a lone CR."""

    def write(self, line: str, /) -> int:
        return super().write(line.removesuffix("\r\n") + "\n")


def without_nul(value: Any) -> Any:
    """Text with U+FFFD for the character 0, which Python 3.10 cannot write to a CSV file; anything else as it is."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


def _on_paper(table: Table) -> PaperTable:
    told_apart = " ".join(str(key) for _, key in table.keys) or table.title
    slug = re.sub(r"[^a-z0-9]+", "-", told_apart.lower()).strip("-")
    return PaperTable(
        caption=visible(table.title) or table.name.capitalize(),
        label="-".join(filter(None, [f"tab:{table.name}", slug])),
        columns=[visible(column) for column in table.columns],
        rows=[[visible(cell) for cell in table.shown(row)] for row in table.rows],
        is_number=[table.holds_numbers(k) for k in range(len(table.columns))],
        n_heads=table.n_heads,
    )


def _markdown(table: Table) -> str:
    def line(values: Sequence[str]) -> str:
        return "| " + " | ".join(map(_markdown_cell, values)) + " |"

    title = [f"### {_markdown_cell(table.title)}", ""] if table.title else []
    rows = [line(table.shown(row)) for row in table.rows]
    below = ["", _markdown_cell(table.caption)] if table.caption else []
    return "\n".join([*title, line(table.columns), "|" + "---|" * len(table.columns), *rows, *below]) + "\n"


def _markdown_cell(text: str) -> str:
    escaped = re.sub(r"([\\`*_\[\]<>|])", r"\\\1", visible(text.strip()))
    return re.sub(r"\s*\n\s*", "<br>", escaped)
