"""What commands do with a matrix: run its members, list their cost, and print one table of all of them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..system.errors import TokauctionError
from .options import EXIT_EXPECTATION_FAILED, EXIT_SOME_FAILED, By, Format, TableName
from .results import exit_if_wrong, print_plain

if TYPE_CHECKING:
    from ..analysis.across_runs.members import MemberRuns
    from ..analysis.run import Run
    from ..analysis.tables.figure_tables import FigureChoice
    from ..analysis.tables.tables import Table
    from ..api import Checked
    from ..engine.run import Progress
    from ..experiment.matrix import Matrix
    from ..experiment.resolved.shard import Shard


def load_members(
    target: Path, overrides: list[str] | None, vary: list[str] | None, trust: list[str] | None
) -> Matrix | None:
    """The matrix of a file, None where it is one experiment; a run folder is none."""
    from ..analysis.expectations import figure_names
    from ..experiment.matrix import load_matrix

    if target.is_dir():
        return None
    return load_matrix(target, overrides or [], vary or [], trust or [], figure_names)


def run_matrix(
    matrix: Matrix, results: Path, progress: Progress, how: Format, shard: Shard | None, options: dict[str, Any]
) -> None:
    """Run every member, print one table of all, and end with the most urgent of their exit codes."""
    from ..analysis.across_runs.members import MemberRuns
    from ..analysis.tables.figure_tables import FigureChoice
    from ..members import run_members, write_members

    codes, found = [], []
    for k, (member, run, error) in enumerate(run_members(matrix, results, progress, shard=shard, **options), 1):
        label = f"{k} of {len(matrix.members)}: {matrix.label(member)}"
        if run is None:
            progress.note(f"{label}: {error}")
            codes.append(error.exit_code if error else 0)
            continue
        progress.note(f"{label}: {run.path}")
        found.append((member.names, run))
        codes.append(_told(run, label, progress))
    if found:
        members = MemberRuns.of(matrix.name, matrix.keys, found, len(matrix.members))
        print_plain([members.overall(FigureChoice())], how)
        folder = write_members(matrix, results, members)
        progress.note(f"Matrix: {folder}\nFor figures and a page: tokauction report {shlex.quote(str(folder))}")
    if code := min(filter(None, codes), default=0):
        raise typer.Exit(code)


def _told(run: Run, label: str, progress: Progress) -> int:
    """What is wrong with a run, and the exit code for it."""
    from ..analysis.expectations import problem_of

    broken = [str(problem_of(verdict)) for verdict in run.verdicts if not verdict.holds]
    for sentence in (*broken, run.what_failed, run.what_is_few, run.what_judges_miss, run.what_is_unfollowed):
        if sentence:
            progress.note(f"{label}: {sentence}")
    return EXIT_SOME_FAILED if run.n_failed else EXIT_EXPECTATION_FAILED if broken else 0


def member_table(matrix: Matrix, checked: Sequence[Checked]) -> Table:
    """A row for each member: what it has at each key, and what it costs."""
    from ..analysis.tables.tables import Table

    rows = tuple(
        (*member.names, one.n_cells, one.n_tokens, one.n_evaluations, "" if one.seconds is None else round(one.seconds))
        for member, one in zip(matrix.members, checked, strict=True)
    )
    columns = (*matrix.keys, "cells", "tokens at most", "evaluations at most", "seconds at most")
    return Table(f"{len(rows)} experiments", columns, rows, len(matrix.keys))


def check_matrix(matrix: Matrix, *, as_json: bool) -> None:
    """Check every member, and print what each costs."""
    import json

    from ..api import check_experiment
    from .plan_tables import plan_facts
    from .results import tell_what_is_doubtful

    checked = [check_experiment(member.experiment) for member in matrix.members]
    for member in matrix.members[:1]:
        tell_what_is_doubtful(member.experiment)
    if as_json:
        facts = [
            {"values": dict(zip(matrix.keys, member.names, strict=True)), **plan_facts(one)}
            for member, one in zip(matrix.members, checked, strict=True)
        ]
        typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    print_plain([member_table(matrix, checked)], Format.table)


def show_members(
    members: MemberRuns, wanted: Sequence[TableName], by: By, seed: int | None, choice: FigureChoice, how: Format
) -> None:
    """One table: means by member and rule, or the tables of these names behind the values of each member."""
    from .results import chosen_tables

    def table_of(name: TableName) -> Table:
        return members.joined(lambda run: chosen_tables(run, [name], by, seed, choice))

    tables = list(map(table_of, wanted))
    print_plain(tables or [members.overall(choice)], how)
    for run in members.runs:
        for sentence in filter(None, (run.what_is_missing, run.what_is_few, run.what_judges_miss)):
            typer.echo(f"{run.name}: {sentence}", err=True)
    if members.what_is_missing:
        typer.echo(members.what_is_missing, err=True)
    exit_if_wrong(members.runs)


def audit_members(matrix: Matrix, audited: Callable[[Any], tuple[Run, list[Table]]], how: Format) -> None:
    """Audit every member as `audited` does, and print one table of what was found."""
    from ..analysis.across_runs.members import MemberRuns

    found, tables, codes = [], {}, []
    for member in matrix.members:
        try:
            run, tables[member.names] = audited(member.experiment)
            found.append((member.names, run))
        except TokauctionError as error:
            typer.echo(f"{matrix.label(member)}: {error}", err=True)
            codes.append(error.exit_code)
    if found:
        members = MemberRuns.of(matrix.name, matrix.keys, found, len(matrix.members))
        by_name = dict(zip((run.name for run in members.runs), members.names, strict=True))
        print_plain([members.joined(lambda run: tables[by_name[run.name]])], how)
    if code := min(filter(None, codes), default=0):
        raise typer.Exit(code)
