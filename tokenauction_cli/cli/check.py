"""`tokauction check EXP`: is the file right, and what would a run do and cost?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from .matrix import check_matrix, load_members
from .options import ExperimentFile, Overrides, TableOrJson, TablesAs, Trust, Vary, load, quiet_llama
from .results import print_rich, tell_what_is_doubtful

if TYPE_CHECKING:
    from ..analysis.tables.tables import Table
    from ..api import Checked
    from ..experiment.experiment import Experiment
    from ..verify.calibration import Calibrated


def check(
    experiment: ExperimentFile,
    overrides: Overrides = None,
    vary: Vary = None,
    trust: Trust = None,
    probe: Annotated[
        bool,
        typer.Option("--probe", help="Measure now how fast it is and whether records depend on batching, to the end."),
    ] = False,
    prompts: Annotated[
        bool,
        typer.Option("--prompts", help="Print what each model reads for the first queries, chat template and all."),
    ] = False,
    covering: Annotated[
        bool,
        typer.Option("--covering", help="Over bytes: measure what the knobs of auction.covering cost and lose."),
    ] = False,
    how: TablesAs = TableOrJson.table,
) -> None:
    """Validate an experiment; print its plan and cost, and whether a text can end in the form of `auction.constraint`.

    No weights are loaded, but by --probe and --covering. Of a matrix, the cost of every member is listed.
    """
    from ..api import check_experiment
    from .plan_tables import plan_facts, plan_tables, prompt_facts

    with quiet_llama():
        if matrix := load_members(experiment, overrides, vary, trust):
            check_matrix(matrix, as_json=how is TableOrJson.json)
            return
        loaded = load(experiment, overrides, trust)
        if covering:
            _print_coverings(loaded, how)
            return
        checked = check_experiment(loaded, probe=probe)
        tell_what_is_doubtful(loaded)
        if how is TableOrJson.json:
            facts = plan_facts(checked) | ({"prompts": prompt_facts(checked)} if prompts else {})
            typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
            return
        print_rich(plan_tables(checked), loaded)
        if prompts:
            _print_prompts(checked)


def _print_coverings(experiment: Experiment, how: TableOrJson) -> None:
    """A row for each covering that is tried."""
    from ..verify.calibration import calibrate
    from .terminal import console, rich_table

    found = []
    for row in calibrate(experiment):
        typer.echo(f"open {row.open:g}, merge {row.merge:g}", err=True)
        found.append(row)
    if how is TableOrJson.json:
        typer.echo(json.dumps([asdict(row) for row in found], indent=2))
    else:
        console().print(rich_table(_covering_table(found)))


def _covering_table(found: Sequence[Calibrated]) -> Table:
    from ..analysis.tables.tables import Table

    heads = (
        "open",
        "merge",
        "evaluations per byte",
        "TV of q: mean",
        "99 %",
        "largest",
        "a text",
        "unfollowed, a text",
    )
    rows = tuple(
        (
            f"{row.open:g}",
            f"{row.merge:g}",
            f"{row.evaluations_per_byte:.2f}",
            f"{row.mean_distance:.1e}",
            f"{row.distance_99:.1e}",
            f"{row.largest_distance:.1e}",
            f"{row.distance_per_text:.1e}",
            f"{row.unfollowed_per_text:.1e}",
        )
        for row in found
    )
    return Table(f"{found[0].texts} texts, {found[0].draws} draws", heads, rows)


def _print_prompts(checked: Checked) -> None:
    from ..system.environment import visible
    from .plan_tables import QUERIES_SHOWN, prompt_facts

    shown = prompt_facts(checked)
    for fact in shown:
        about = f" / {fact['query']}" if fact["query"] else ""
        typer.echo(visible(f"--- {fact['agent']}{about}\n{fact['prompt']}"))
    if not shown:
        typer.echo("--- the agents are tables, which read no prompt")
    n_more = len(checked.experiment.queries) - QUERIES_SHOWN
    if shown and n_more > 0:
        typer.echo(f"--- and so on for {n_more} more {'queries' if n_more > 1 else 'query'}")
