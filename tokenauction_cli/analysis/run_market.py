"""The market of a run: its settings, the runs beside it with other reserves, what comes out as frames."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..experiment.experiment import Experiment
from ..experiment.reader import read_experiment
from ..experiment.resolved.market import Market
from ..market.market import market_of
from ..runs.run_folder import RunFolder
from ..runs.run_folders import RESOLVED, is_run
from ..system.errors import UsageError
from .frames.market_frames import market_frame, paths_frame

if TYPE_CHECKING:
    import pandas as pd


class RunMarket(NamedTuple):
    """What a market came to: `table` is market.csv, `paths` market_paths.csv, `left_out` sentences about the rest."""

    table: pd.DataFrame
    paths: pd.DataFrame
    left_out: list[str]
    market: Market


def overrides_of(settings: Mapping[str, Any]) -> list[str]:
    """Keys of the section `market` as -S writes them."""
    return [f"market.{key}={json.dumps(value)}" for key, value in settings.items()]


def check_trusted(path: Path, experiment: Experiment, trust: Sequence[str]) -> None:
    """Raises UsageError where an experiment that was read from a run folder needs code that is not trusted here."""
    if untrusted := sorted(set(experiment.trust) - set(trust)):
        raise UsageError(
            f"{path}: its rules are code that is not part of tokauction; where you trust it, go to the folder of "
            f"the module and say --trust {' --trust '.join(untrusted)}"
        )


def with_market(
    folder: RunFolder, experiment: Experiment, overrides: Sequence[str], trust: Sequence[str] = ()
) -> Experiment:
    """The experiment of a run with other keys of its section `market`. Raises ExperimentError for mistakes in them."""
    if other := [one for one in overrides if not one.startswith("market.")]:
        raise UsageError(f"{folder.path} is a run folder, whose experiment is fixed but for market: not -S {other[0]}")
    if not overrides:
        return experiment
    source, file = folder.read(RESOLVED), folder.path / RESOLVED
    sections = read_experiment(source, str(file), overrides, trust, carried=experiment.query_table or b"")
    read = Experiment.of(sections, file, source)
    return replace(experiment, market=read.market, plain=read.plain, trust=read.trust)


def run_market(
    folder: RunFolder, experiment: Experiment, cells: pd.DataFrame, cells_in: Callable[[Path], pd.DataFrame]
) -> RunMarket:
    """Play the market of a run whose cells are all there; `cells_in` reads those of another run folder."""
    market = experiment.market
    if market is None:
        ids = [agent.id for agent in experiment.agents if not agent.reference]
        example = ", ".join(f"{agent}: {{mention: 1}}" for agent in ids[:3])
        raise UsageError(
            f"{experiment.path}: the file has no section market; write what a text is worth to each agent, as in "
            f"market: {{values: {{{example}}}}}"
        )
    runs = []
    for reserve in market.reserves or (experiment.auction.reserve,):
        if reserve == experiment.auction.reserve:
            runs.append((experiment, cells))
        else:
            runs.append(_with_reserve(folder, experiment, reserve, cells_in))
    found = market_of(runs, market)
    return RunMarket(market_frame(experiment, market, found), paths_frame(found), found.left_out, market)


def _with_reserve(
    folder: RunFolder, experiment: Experiment, reserve: float, cells_in: Callable[[Path], pd.DataFrame]
) -> tuple[Experiment, pd.DataFrame]:
    """The run beside this one that differs in its reserve alone. Raises UsageError where there is none."""
    source, file = folder.read(RESOLVED), folder.path / RESOLVED
    override = f"auction.reserve={reserve:g}"
    sections = read_experiment(source, str(file), [override], carried=experiment.query_table or b"")
    other = Experiment.of(sections, file, source)
    beside = (path for path in sorted(folder.path.parent.glob(f"*-{other.semantic_hash}")) if is_run(path))
    path = next(beside, None)
    if path is None:
        raise UsageError(
            f"{folder.path}: there is no run beside it with a reserve of {reserve:g}; make it with `tokauction run "
            f"{experiment.path} -S {override} -o {folder.path.parent}`"
        )
    return replace(other, market=experiment.market, modules=experiment.modules), cells_in(path)
