"""`tokauction market EXP|RUN`: bidders that learn and have budgets, in many rounds of a finished run's auctions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Format, Output, Overrides, Quiet, Results, Trust


def market(
    target: Annotated[
        Path,
        typer.Argument(
            metavar="EXP|RUN", help="A run folder, or an experiment whose run is in --results.", show_default=False
        ),
    ],
    rounds: Annotated[
        int | None, typer.Option("--rounds", min=1, help="Auctions in a row. Default: market.rounds of the file.")
    ] = None,
    replications: Annotated[
        int | None, typer.Option("--replications", min=1, help="How often the market is repeated.")
    ] = None,
    policies: Annotated[
        list[str] | None,
        typer.Option("--policy", metavar="AGENT=POLICY", help="How an agent bids, e.g. alpha=hedge, beta={fixed: 1}."),
    ] = None,
    budgets: Annotated[
        list[str] | None, typer.Option("--budget", metavar="AGENT=MONEY", help="What an agent can pay in all.")
    ] = None,
    money: Annotated[str | None, typer.Option("--money", help="expected or realised payments.")] = None,
    intervals: Annotated[bool, typer.Option("--intervals", help="95 % intervals beside the means.")] = False,
    overrides: Overrides = None,
    trust: Trust = None,
    results: Results = Path("results"),
    how: Output = Format.table,
    quiet: Quiet = False,
) -> None:
    """Play many rounds of a finished run's auctions among bidders that learn and have budgets. No model is asked.

    The section `market` of the file says what a text is worth to each agent and how it bids.
    """
    from ..analysis.tables.market_tables import market_tables
    from ..api import market_in
    from .results import print_tables

    given = {"rounds": rounds, "replications": replications, "money": money}
    named = [f"market.{key}={value}" for key, value in given.items() if value is not None]
    named += [f"market.policies.{one}" for one in policies or ()]
    named += [f"market.budgets.{one}" for one in budgets or ()]
    run, found = market_in(target, results, [*(overrides or []), *named], trust or [])
    print_tables(market_tables(run.experiment, found, intervals=intervals), how, run.experiment)
    if not quiet:
        typer.echo(f"All numbers: {run.path / 'market.csv'}; paths: market_paths.csv beside it", err=True)
