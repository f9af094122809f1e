"""`tokauction check EXP`: is the file right, and what would a run do and cost?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from .options import ExperimentFile, Overrides, TableOrJson, TablesAs, Trust, load, quiet_llama
from .results import print_rich

if TYPE_CHECKING:
    from ..api import Checked


def check(
    experiment: ExperimentFile,
    overrides: Overrides = None,
    trust: Trust = None,
    probe: Annotated[
        bool,
        typer.Option("--probe", help="Measure now how fast it is and whether records depend on batching, to the end."),
    ] = False,
    prompts: Annotated[
        bool,
        typer.Option("--prompts", help="Print what each model reads for the first queries, chat template and all."),
    ] = False,
    how: TablesAs = TableOrJson.table,
) -> None:
    """Validate an experiment and print its plan and cost; no weights are loaded, but by --probe."""
    from ..api import check_experiment
    from .plan_tables import plan_facts, plan_tables, prompt_facts

    with quiet_llama():
        loaded = load(experiment, overrides, trust)
        checked = check_experiment(loaded, probe=probe)
        if how is TableOrJson.json:
            facts = plan_facts(checked) | ({"prompts": prompt_facts(checked)} if prompts else {})
            typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
            return
        print_rich(plan_tables(checked), loaded)
        if prompts:
            _print_prompts(checked)


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
