"""`python -m benchmarks`: parse, measure, print ratios. `python -m benchmarks formats MODEL` is `formats.py`."""

from __future__ import annotations

import json
import statistics
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tokenauction_cli.cli.app import run_app
from tokenauction_cli.cli.options import TableOrJson, TablesAs, quiet_llama
from tokenauction_cli.system.errors import UsageError

if TYPE_CHECKING:
    from tokenauction_cli.analysis.tables.tables import Table

    from .benchmark import Measured
    from .replay import Replayed

OF_TOKENS, OF_BYTES, OF_CANDIDATES = (
    Path(__file__).with_name(f"{name}.yaml") for name in ("tokens", "bytes", "mosaic")
)
OF_WORKERS = Path(__file__).with_name("workers.yaml")
SEEDS_PER_WORKER = 100  # of models that sleep: some twenty seconds
SHARED = {
    "times_alone": ("texts/s, over those of the one", "{:.2f}"),
    "share_of_linear": ("the same, divided by the number of workers", "{:.2f}"),
    "evaluation_rate": ("evaluations/s, over those of the one", "{:.2f}"),
    "evaluations_over_alone": ("evaluations, over those of the one", "{:.2f}"),
    "share_without_task": ("share of the workers' time without a task, or while they load", "{:.1%}"),
}
TRADES = ("airline", "resort", "bakery", "museum", "surf school", "ferry line", "garden", "theatre")
OF_CROWDS = (  # of the crowds: texts part early, so that few cells share a prefix
    "auction.aggregation=[linear, log_linear]",
    "auction.max_tokens=16",
    "sweep.agent=firm_0",
    "sweep.relative_weight={from: 0, to: 1, step: 0.25}",
    "sweep.seeds=8",
)


def crowd(n_agents: int) -> list[str]:
    """The changes of a file that make so many agents, each with a prompt of its own, of about 40 tokens."""
    agents = [
        {
            "name": f"Firm {k}",
            "id": f"firm_{k}",
            "model": "small",
            "chat": {
                "system": f"You are a copywriter of Firm {k}, a {TRADES[k % len(TRADES)]} near the beach.",
                "user": "Write an advertisement for {{ query }}.",
            },
        }
        for k in range(n_agents)
    ]
    return [f"agents={json.dumps(agents)}", *OF_CROWDS]


SCENARIOS: dict[str, tuple[Path, list[str]]] = {
    "one text alone": (OF_TOKENS, ["sweep.relative_weight=[0.5]"]),
    "11 weights, linear, one seed": (OF_TOKENS, []),
    "11 weights, 2 rules, greedy": (
        OF_TOKENS,
        ["auction.aggregation=[linear, log_linear]", "auction.sampling=greedy", "auction.payments=[]"],
    ),
    "11 weights, 2 rules, 20 seeds": (OF_TOKENS, ["auction.aggregation=[linear, log_linear]", "sweep.seeds=20"]),
    "over bytes, 11 weights, 2 rules, 4 seeds": (OF_BYTES, []),
    "8 agents, 2 rules, 5 weights, 8 seeds": (OF_TOKENS, crowd(8)),
    "32 agents, 2 rules, 5 weights, 8 seeds": (OF_TOKENS, crowd(32)),
    "mosaic: 20 candidates, 2 agents, 11 weights": (OF_CANDIDATES, []),
}
SHOWN = {  # label and format
    "cells": ("texts", "{:.0f}"),
    "evaluations_per_draw": ("evaluations per text so far and agent", "{:.2f}"),
    "sharing": ("evaluations of a loop without sharing / ours", "{:.2f}"),
    "evaluations_per_candidates": ("evaluations / those of writing and scoring the candidates once", "{:.2f}"),
    "times_naive": ("speed of our run / one Llama object per agent", "{:.2f}"),
    "times_naive_once": ("the same where the loop keeps its candidates for all bids", "{:.2f}"),
    "tokens_per_second": ("tokens/s, or bytes/s: ours", "{:.0f}"),
    "naive_tokens_per_second": ("tokens/s, or bytes/s: one Llama object per agent", "{:.0f}"),
    "evaluations_per_second": ("evaluations/s", "{:.0f}"),
    "decode_efficiency": ("time of the same bare llama_decode calls / our run's", "{:.2f}"),
    "share_evaluating": ("share of time: evaluating", "{:.1%}"),
    "share_auctioning": ("share of time: auctioning, payments, measures, traces", "{:.1%}"),
    "share_charging": ("share of time: payments, a part of the line above", "{:.1%}"),
    "share_writing": ("share of time: settling candidates, writing", "{:.1%}"),
    "mean_rows": ("rows in a batch, mean", "{:.1f}"),
    "peak_memory_mib": ("peak memory, MiB", "{:.0f}"),
}


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def bench(
    experiment: Annotated[
        Path | None, typer.Argument(metavar="[EXP]", help="Default: eight built-in scenarios.")
    ] = None,
    repeat: Annotated[int, typer.Option("--repeat", min=1, help="Experiment seeds; medians are shown.")] = 1,
    overrides: Annotated[list[str] | None, typer.Option("-S", metavar="KEY.PATH=VALUE", help="Override a key.")] = None,
    how: TablesAs = TableOrJson.table,
    replay: Annotated[
        bool, typer.Option("--replay", help="Only the auction, on recorded logits: prefixes/s by 1, 2, 4, ... threads.")
    ] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Where the time goes: decode, softmax, draws, ..., tables.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", min=1, help="How well N processes share EXP, or models that sleep."),
    ] = None,
) -> None:
    """Measure speed in ratios, on a quiet machine: against one Llama object per agent and against bare decoding."""
    if sum([workers is not None, replay, profile]) > 1:
        raise UsageError("--workers, --replay and --profile measure different things: choose one")
    if workers is not None:
        _share(experiment, workers, overrides or [], how)
        return
    if replay:
        _replay(experiment, repeat, overrides or [], how)
        return
    from tokenauction_cli.experiment.experiment import load_experiment

    from .benchmark import measure_experiment

    scenarios = SCENARIOS if experiment is None else {experiment.stem: (experiment, [])}
    if profile:
        _profile(scenarios, overrides or [], how)
        return
    medians = []
    for name, (file, changes) in scenarios.items():
        runs = []
        for seed in range(repeat):
            typer.echo(f"{name}, seed {seed}", err=True)
            loaded = load_experiment(file, [*changes, f"seed={seed}", *(overrides or [])])
            runs.append(measure_experiment(loaded, name))
        medians.append(median_of(runs))
    if how is TableOrJson.json:
        typer.echo(json.dumps(medians, indent=2))
    else:
        _print_table(medians)


def _profile(scenarios: dict[str, tuple[Path, list[str]]], overrides: list[str], how: TableOrJson) -> None:
    """Print where the time of each goes."""
    from tokenauction_cli.analysis.tables.tables import render
    from tokenauction_cli.cli.terminal import console, rich_table
    from tokenauction_cli.experiment.experiment import load_experiment

    from .profile import profiled

    tables = []
    for name, (file, changes) in scenarios.items():
        typer.echo(name, err=True)
        tables.append(profiled(load_experiment(file, [*changes, *overrides])))
        if how is TableOrJson.table:
            console().print(rich_table(tables[-1]))
    if how is TableOrJson.json:
        typer.echo(render(tables, "json"), nl=False)


def _share(file: Path | None, n_workers: int, overrides: list[str], how: TableOrJson) -> None:
    """Print what workers gain."""
    from tokenauction_cli.experiment.experiment import load_experiment

    from .workers import ONE_WORKER, measure_workers

    seeds = [] if file else [f"sweep.seeds={SEEDS_PER_WORKER * n_workers}"]
    loaded = load_experiment(file or OF_WORKERS, [*seeds, *overrides])
    measured = measure_workers(loaded, n_workers, lambda said: typer.echo(said, err=True))
    if how is TableOrJson.json:
        typer.echo(json.dumps(asdict(measured), indent=2))
        return
    typer.echo(f"{measured.scenario}: {measured.cells:,} texts, {n_workers} workers, compared with {measured.alone}")
    for name, (label, shape) in SHARED.items():
        if name == "share_of_linear" and measured.alone != ONE_WORKER:
            continue  # this process has the processors of all
        typer.echo(f"{shape.format(getattr(measured, name)):>8}  {label}")


def _replay(file: Path | None, repeat: int, overrides: list[str], how: TableOrJson) -> None:
    """Print prefixes/s by numbers of threads, a line for each shape and rule."""
    from tokenauction_cli.cli.terminal import console, rich_table
    from tokenauction_cli.experiment.experiment import load_experiment
    from tokenauction_cli.system.processors import usable_processors

    from .replay import REPEATS, replayed

    changes = [] if file else ["auction.aggregation=[linear, log_linear]", "sweep.seeds=4"]
    loaded = load_experiment(file or OF_TOKENS, [*changes, *overrides])
    most = usable_processors()
    threads = sorted({1, most, *(1 << k for k in range(most.bit_length()))})
    found = []
    for item in replayed(loaded, threads, repeats=max(repeat, REPEATS)):
        typer.echo(
            f"{item.logits} logits, {item.n_tokens} tokens, {item.n_agents} agents, {item.aggregation}", err=True
        )
        found.append(item)
    if how is TableOrJson.json:
        typer.echo(json.dumps([asdict(row) for row in found], indent=2))
    else:
        console().print(rich_table(_replay_table(found)))


def _replay_table(found: list[Replayed]) -> Table:
    from tokenauction_cli.analysis.tables.tables import Table

    threads = list(found[0].per_second)
    speeds = ["prefixes/s: 1 thread", *(f"{n} threads" for n in threads[1:])]
    columns = ("logits", "tokens", "agents", "rule", *speeds, *(f"{n} / 1" for n in threads[1:]))
    rows = tuple(
        (
            item.logits,
            str(item.n_tokens),
            str(item.n_agents),
            item.aggregation,
            *(f"{speed:.0f}" for speed in item.per_second.values()),
            *(f"{item.times_one_thread[n]:.2f}" for n in threads[1:]),
        )
        for item in found
    )
    return Table("", columns, rows)


def median_of(runs: list[Measured]) -> dict[str, Any]:
    """The median of every figure over runs of one scenario."""
    from .benchmark import as_rows

    rows = as_rows(runs)
    return {
        name: statistics.median(row[name] for row in rows) if isinstance(value, (int, float)) else value
        for name, value in rows[0].items()
    }


def _print_table(medians: list[dict[str, Any]]) -> None:
    from tokenauction_cli.cli.terminal import console, rich_table

    console().print(rich_table(_table(medians)))
    for name, value in medians[0]["machine"].items():
        typer.echo(f"{name:<10} {value}")


def _table(medians: list[dict[str, Any]]) -> Table:
    from tokenauction_cli.analysis.tables.tables import Table

    columns = ("measure", *(str(row["scenario"]) for row in medians))
    figures = {name: [row[name] for row in medians] for name in SHOWN}
    rows = tuple(
        (label, *("" if value is None else how.format(value) for value in figures[name]))
        for name, (label, how) in SHOWN.items()
        if any(value is not None for value in figures[name])
    )
    return Table("", columns, rows)


def main() -> None:
    """`formats MODEL`, or what speed is of experiments."""
    if sys.argv[1:2] == ["formats"]:
        from .formats import app as chosen

        del sys.argv[1]
    else:
        chosen = app
    with quiet_llama():
        run_app(chosen)


if __name__ == "__main__":
    main()
