"""Tables for people and for other programs: the paper's table of texts against relative weight, and rates."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..experiment.experiment import Experiment
from ..system.environment import visible
from ..system.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    **{sign: f"\\{sign}" for sign in "$&#_%"},
}
LONG = 24  # characters from which a column of text is a paragraph
By = Literal["aggregation", "seed", "query"]


@dataclass(frozen=True)
class Table:
    """Cells of text or numbers under named columns."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


def text_tables(
    experiment: Experiment, cells: pd.DataFrame, by: By = "aggregation", seed: int | None = None
) -> list[Table]:
    """Texts against relative weight: one table per value of what is neither row nor column.

    By default the columns are the rules, there is one table per query, and the texts are those of the first seed.
    """
    first_seed = int(cells["seed"].iloc[0]) if len(cells) else 0
    chosen_seed = first_seed if seed is None else seed
    if seed is not None and seed not in set(cells["seed"]):
        raise UsageError(f"there is no seed {seed}; this run has {_listed(sorted(set(cells['seed'])))}")
    if by != "seed":
        cells = cells[cells["seed"] == chosen_seed]
    apart = [column for column in ("query", "aggregation") if column != by]
    tables = []
    for key, group in cells.groupby(apart, sort=False):
        title = " / ".join(str(part) for part in key if part != "")
        tables.append(_one_text_table(experiment, group, by, title))
    return tables


def _one_text_table(experiment: Experiment, group: pd.DataFrame, by: By, title: str) -> Table:
    columns = list(dict.fromkeys(group[by]))
    texts = {(row.point, getattr(row, by)): _text(row) for row in group.itertuples()}
    points = group.drop_duplicates("point").sort_values("point")
    heads, row_of = _row_heads(experiment, points)
    rows = tuple(
        (*row_of(point), *(texts.get((point.point, column), "") for column in columns)) for point in points.itertuples()
    )
    return Table(title, (*heads, *(f"seed {c}" if by == "seed" else str(c) for c in columns)), rows)


def _text(row: Any) -> str:
    return f"[failed: {row.error}]" if row.end_reason == "failed" else str(row.text)


def _row_heads(experiment: Experiment, points: pd.DataFrame) -> tuple[tuple[str, ...], Any]:
    """The relative weight where it tells the points apart, otherwise the bids."""
    weights = list(points["relative_weight"])
    if len(set(weights)) == len(weights) and all(w is not None and not math.isnan(w) for w in weights):
        swept = experiment.agents[experiment.swept_agent]
        return (f"weight of {swept.name}",), lambda point: (point.relative_weight,)
    ids = [agent.id for agent in experiment.agents]
    position = {point: k for k, point in enumerate(points["point"])}
    bids = points[[f"bid.{agent}" for agent in ids]].to_numpy().tolist()
    return tuple(f"bid of {agent.name}" for agent in experiment.agents), lambda point: tuple(
        bids[position[point.point]]
    )


def rate_tables(experiment: Experiment, summary: pd.DataFrame) -> list[Table]:
    """Mention rates, lengths and revenues against relative weight, one table per query and rule.

    Only the columns that differ between rows are shown, all of them where there is one row.
    """
    named = {f"mention_rate.{agent.id}": f"mentions {agent.name}" for agent in experiment.agents}
    named |= {"co_mention_rate": "mentions all", "tokens": "tokens"}
    revenues = [f"revenue.{payment}" for payment in experiment.auction.payments]
    named |= {column: column.replace("revenue.", "revenue ") for column in revenues if column in summary.columns}
    tables = []
    for (query, aggregation), group in summary.groupby(["query", "aggregation"], sort=False):
        heads, row_of = _row_heads(experiment, group)
        shown = [c for c in named if len(group) == 1 or group[c].nunique() > 1]
        if not shown:
            continue
        rows = tuple(
            (*row_of(row), *values) for row, values in zip(group.itertuples(), group[shown].to_numpy(), strict=True)
        )
        fewest, most = group["cells"].min(), group["cells"].max()
        texts = f"{most} texts each" if fewest == most else f"{fewest} to {most} texts each"
        title = f"{query} / " * (query != "") + f"{aggregation}, {texts}"
        tables.append(Table(title, (*heads, *(named[c] for c in shown)), rows))
    return tables


def render(tables: Sequence[Table], how: str) -> str:
    """Tables as Markdown, LaTeX, CSV, JSON (a list of rows) or JSON lines; the last three tell several by `title`."""
    if how == "md":
        return "\n".join(_markdown(table) for table in tables)
    if how == "latex":
        return "\n".join(map(_latex, tables))
    columns, rows = _joined(tables)
    if how == "csv":
        sink = _Lines()
        writer = csv.writer(sink)
        writer.writerow(columns)
        writer.writerows([without_nul(_plain(value)) for value in row] for row in rows)
        return sink.getvalue()
    objects = [dict(zip(columns, row, strict=True)) for row in rows]
    if how == "json":
        return json.dumps(objects, ensure_ascii=False, indent=2, default=_plain) + "\n"
    return "".join(json.dumps(item, ensure_ascii=False, default=_plain) + "\n" for item in objects)


def _joined(tables: Sequence[Table]) -> tuple[list[str], list[list[Any]]]:
    several = len(tables) > 1
    columns = list(dict.fromkeys(column for table in tables for column in table.columns))
    rows = []
    for table in tables:
        for row in table.rows:
            values = dict(zip(table.columns, row, strict=True))
            rows.append(([table.title] if several else []) + [_json_number(values.get(c, "")) for c in columns])
    return (["title"] if several else []) + columns, rows


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
    """CSV whose lines end in LF, of a writer that ends them in CRLF: otherwise it would not quote a lone CR in a text."""

    def write(self, line: str, /) -> int:
        return super().write(line.removesuffix("\r\n") + "\n")


def without_nul(value: Any) -> Any:
    """Text with U+FFFD for the character 0, which Python 3.10 cannot write to a CSV file; anything else as it is."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value


def _plain(value: Any) -> str:
    """A value as people write it: 0.3 and not 0.30000000000000004."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)


def _latex(table: Table) -> str:

    rows = [[visible(_plain(value)) for value in row] for row in table.rows]
    is_number = [holds_numbers(table, k) for k in range(len(table.columns))]
    return latex_table(visible(table.title), list(map(visible, table.columns)), rows, is_number)


def _markdown(table: Table) -> str:
    def line(values: Sequence[Any]) -> str:
        return "| " + " | ".join(_markdown_cell(_plain(value)) for value in values) + " |"

    title = [f"### {_markdown_cell(table.title)}", ""] if table.title else []
    return "\n".join([*title, line(table.columns), "|" + "---|" * len(table.columns), *map(line, table.rows)]) + "\n"


def _markdown_cell(text: str) -> str:
    escaped = re.sub(r"([\\`*_\[\]<>|])", r"\\\1", visible(text.strip()))
    return re.sub(r"\s*\n\s*", "<br>", escaped)


def holds_numbers(table: Table, column: int) -> bool:
    return all(isinstance(row[column], (int, float)) for row in table.rows)


def _listed(values: Sequence[Any]) -> str:
    shown = ", ".join(str(value) for value in values[:10])
    return shown + (", ..." if len(values) > 10 else "")


def latex_table(title: str, columns: list[str], rows: list[list[str]], is_number: list[bool]) -> str:
    """One table; the cells are text that is already fit to read."""
    lines = [
        r"% \usepackage{booktabs}; with other than Latin letters also LuaLaTeX or XeLaTeX",
        r"\begin{table}",
        r"\centering",
        *([rf"\caption{{{escaped(title)}}}"] if title else []),
        rf"\begin{{tabular}}{{@{{}}{_columns(rows, is_number)}@{{}}}}",
        r"\toprule",
        _line(columns),
        r"\midrule",
        *map(_line, rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text that LaTeX sets as it stands; line breaks become blanks."""
    return re.sub(r"\s+", " ", "".join(SPECIAL.get(sign, sign) for sign in text)).strip()


def _line(cells: list[str]) -> str:
    return " & ".join(map(escaped, cells)) + r" \\"


def _columns(rows: list[list[Any]], is_number: list[bool]) -> str:
    """Numbers to the right, short text to the left, long text in paragraphs that share the line."""
    is_long = [not number and any(len(row[k]) > LONG for row in rows) for k, number in enumerate(is_number)]
    width = 0.82 / max(1, sum(is_long))
    return "".join(
        "r" if number else rf"p{{{width:.2f}\linewidth}}" if long else "l"
        for number, long in zip(is_number, is_long, strict=True)
    )
