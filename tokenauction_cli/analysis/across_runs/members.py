"""The runs of a matrix in one table: the keys that vary are its first columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...statistics.bootstrap import mean_intervals
from ...statistics.intervals import Estimate, wilson
from ...system.errors import UsageError
from ..frames.mechanism_names import payments_of
from ..frames.metrics import is_rate, observations
from ..run import Run
from ..tables.figure_tables import FigureChoice, heading, named_figures
from ..tables.tables import Table
from .comparison_tables import numbers_of
from .run_comparison import Comparison


@dataclass(frozen=True, eq=False)
class MemberRuns:
    """Runs that differ in the values of some keys, and what their values are called, by key."""

    name: str
    keys: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]
    runs: tuple[Run, ...]
    n_members: int

    @classmethod
    def of(
        cls, name: str, keys: Sequence[str], found: Sequence[tuple[Sequence[str], Run]], n_members: int
    ) -> MemberRuns:
        """With each run called after its values; raises UsageError where there is no run."""
        if not found:
            raise UsageError(f"{name}: none of the {n_members} members has run; `tokauction run` runs them")
        names = tuple(tuple(each) for each, _ in found)
        runs = tuple(replace(run, member=tuple(zip(keys, each, strict=True))) for each, run in found)
        return cls(name, tuple(keys), names, runs, n_members)

    @property
    def what_is_missing(self) -> str:
        """A sentence about members without a run, '' where all have one."""
        n = self.n_members - len(self.runs)
        return f"{n} of {self.n_members} members of the matrix have no run: `tokauction run` runs them." if n else ""

    def joined(self, tables_of: Callable[[Run], Sequence[Table]]) -> Table:
        """The rows of every run's tables, behind its values and what told its tables apart."""
        parts = [(names, table) for names, run in zip(self.names, self.runs, strict=True) for table in tables_of(run)]
        if not parts:
            return Table(self.name, self.keys, ())
        apart = list(dict.fromkeys(key for _, table in parts for key, _ in _keys_of(table)))
        apart = [key for key in apart if len({dict(_keys_of(table)).get(key, "") for _, table in parts}) > 1]
        heads = list(dict.fromkeys(column for _, table in parts for column in table.columns))
        rows = tuple(
            (*names, *(dict(_keys_of(table)).get(key, "") for key in apart), *(values.get(head, "") for head in heads))
            for names, table in parts
            for values in (dict(zip(table.columns, row, strict=True)) for row in table.rows)
        )
        first, notes = parts[0][1], tuple(dict.fromkeys(note for _, table in parts for note in table.notes))
        n_heads = len(self.keys) + len(apart) + first.n_heads
        return Table(self.name, (*self.keys, *apart, *heads), rows, n_heads, first.name, (), notes)

    def compared(self, comparison: Comparison, figures: Sequence[str]) -> Table:
        """A row for each member, rule and figure: its mean over the sweep, and how far it is from the first one's."""
        numbers = numbers_of(comparison, figures)
        numbers = numbers[numbers[numbers.columns[2]].isna()]
        names = dict(zip((str(run.path) for run in self.runs), self.names, strict=True))
        has_queries = numbers["query"].nunique() > 1
        rows = tuple(
            (
                *names[row["run"]],
                *([row["query"]] if has_queries else []),
                row["aggregation"],
                row["figure"],
                row["seeds"],
                row["mean"],
                Estimate(row["difference"], row["low"], row["high"]),
            )
            for row in numbers.to_dict("records")
        )
        heads = (*self.keys, *(["query"] if has_queries else []), "rule", "figure")
        return Table(self.name, (*heads, "seeds", "mean", "minus the first"), rows, len(heads))

    def overall(self, choice: FigureChoice) -> Table:
        """A row for each member and rule: means over all texts that did not fail."""
        return self.joined(lambda run: [_overall(run, choice)])


def _keys_of(table: Table) -> tuple[tuple[str, Any], ...]:
    return table.keys or (("table", table.title),)


def _overall(run: Run, choice: FigureChoice) -> Table:
    finished = run.cells[run.cells["end_reason"] != "failed"]
    figures = observations(run.experiment, finished)
    names = (
        named_figures(choice.columns, list(figures.columns)) if choice.columns else _usual(run, list(figures.columns))
    )
    rows = []
    for rule, group in finished.groupby("aggregation", sort=False):
        values = figures.loc[group.index, names].to_numpy(dtype=float)
        means = [
            _of_rate(column.sum(), len(column)) if is_rate(name) else interval
            for name, column, interval in zip(names, values.T, mean_intervals(values), strict=True)
        ]
        rows.append((rule, len(group), *(means if choice.intervals else (one.mean for one in means))))
    headings = (heading(name, run.experiment) for name in names)
    return Table("", ("rule", "texts", *headings), tuple(rows), 1, "matrix", (("table", ""),))


def _of_rate(hits: float, n: int) -> Estimate:
    return Estimate(hits / n, *wilson(int(hits), n))


def _usual(run: Run, known: Sequence[str]) -> list[str]:
    return [name for name in dict.fromkeys(_wanted(run)) if name in known]


def _wanted(run: Run) -> Iterator[str]:
    yield from (f"mention_rate.{agent.id}" for agent in run.experiment.agents)
    yield from ("co_mention_rate", "tokens")
    yield from (f"revenue.{payment}" for payment in payments_of(run.experiment))
    yield from (f"judge.{name}" for name in run.experiment.judges)
