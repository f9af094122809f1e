"""Mechanisms on one footing: a row for each rule or mechanism, of the texts where bids are most nearly equal.

Means have 95 % intervals as in summary.csv and, of several queries, as in pooled.csv. `common_measures.py` says what is
measured alike, `evaluations.py` what a text costs.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ...experiment.experiment import Experiment
from ...experiment.resolved.mechanism_choice import TOKEN_AUCTION
from ...experiment.resolved.sweep import SweepPoint
from ...statistics.intervals import Estimate
from ..columns.reading import read_csv
from ..frames.common_measures import charged_payment
from ..frames.mechanism_names import MECHANISM, keys_of
from ..run import Run
from ..tables.figure_tables import heading, mention_figures
from ..tables.tables import Table
from .equal_values import equal_value_tables
from .evaluations import costs

if TYPE_CHECKING:
    import pandas as pd

AUDIT = "text_audit.csv"
_HEADS = {
    "revenue_share": "revenue / total bid",
    "welfare": "own welfare",
    "common_welfare": "common welfare",
    "quality": "quality",
    "repetition": "repetition",
}
_LAST = ("distinct texts", "evaluations per text", "seconds per text")
_NOTES = (
    "Revenue / total bid: bids are per draw in the token auction, per segment on offer in a segment auction, else per "
    "text. These are different moneys: compare shares, not payments.",
    "Own welfare is by each mechanism's own objective: do not compare it between mechanisms. Common welfare is in one "
    "measure.",
    "Quality: mean log-probability of a draw under the reference. Repetition: share of a text's word 4-grams that "
    "occurred before in it. Distinct texts: share of the texts.",
    "Evaluations per text: distinct (query, prefix) times prompts, over all texts of the mechanism at every weight. "
    "Seconds: those of all sessions, shared by evaluations. Both are empty where nothing is known, as of texts that "
    "were taken over from another run.",
)
_OF_REGRET = (
    "Regret at most: what any deviation gains over whole texts, the upper end of its interval (text_audit.csv)."
)


def mechanism_tables(run: Run) -> list[Table]:
    """At equal bids, and at equal values; none where the token auction is the only mechanism."""
    return [*_at_equal_bids(run), *equal_value_tables(run)]


def _at_equal_bids(run: Run) -> list[Table]:
    """One table; none where no text is written at these bids."""
    experiment, point = run.experiment, most_equal_point(run.experiment)
    written = run.cells[run.cells["end_reason"] != "failed"]
    cells = written[written["point"] == point.index]
    if not experiment.auction.others or not len(cells):
        return []
    figures = [figure for figure in _figures(experiment) if figure in run.summary]
    cost, regrets = costs(experiment, run.folder, written, run.manifest), _regrets(run)
    rules = [rule for rule in experiment.auction.rules if (cells["aggregation"] == rule).any()]
    rows = []
    for rule in rules:
        of_rule = cells[cells["aggregation"] == rule]
        names = *(value for _, value in keys_of(experiment, rule)), len(of_rule)
        own = *(_estimate(run, rule, point.index, figure) for figure in figures), _distinct(of_rule), *cost[rule]
        last = (regrets.get(rule, math.nan),) if regrets else ()
        rows.append((*names, charged_payment(experiment, run.cells, rule), *own, *last))
    heads = (_HEADS.get(figure, heading(figure, experiment)) for figure in figures)
    columns = (
        "mechanism",
        "aggregation",
        "texts",
        "payment",
        *heads,
        *_LAST,
        *(("regret at most",) if regrets else ()),
    )
    notes = (*_NOTES, *((_OF_REGRET,) if regrets else ()))
    return [Table(_title(experiment, point), columns, tuple(rows), 2, "mechanisms", notes=notes)]


def most_equal_point(experiment: Experiment) -> SweepPoint:
    """The first sweep point at which the bids of those that are charged are most nearly equal."""
    charged = [k for k, agent in enumerate(experiment.agents) if not agent.reference]

    def inequality(point: SweepPoint) -> float:
        bids = [point.bids[k] for k in charged]
        return max(bids) - min(bids) if not sum(bids) else (max(bids) - min(bids)) / sum(bids)

    return min((point for point in experiment.points if sum(point.bids)), key=inequality, default=experiment.points[0])


def _figures(experiment: Experiment) -> list[str]:
    return [*mention_figures(experiment), *_HEADS, "tokens"]


def _title(experiment: Experiment, point: SweepPoint) -> str:
    bids = "of each query" if experiment.points_of_queries else " : ".join(f"{bid:g}" for bid in point.bids)
    several = f", over {len(experiment.queries)} queries" if len(experiment.queries) > 1 else ""
    return f"Mechanisms at the bids {bids}{several}"


def _estimate(run: Run, rule: str, point: int, figure: str) -> Estimate:
    """Of several queries pooled; of the only one that has texts as in the summary."""
    pooled, own = (_rows_at(frame, rule, point) for frame in (run.pooled, run.summary))
    row = (pooled if len(pooled) else own).iloc[0]
    return Estimate(*(float(row[column]) for column in (figure, f"{figure}.low", f"{figure}.high")))


def _rows_at(frame: pd.DataFrame, rule: str, point: int) -> pd.DataFrame:
    return frame[(frame["aggregation"] == rule) & (frame["point"] == point)] if len(frame) else frame


def _distinct(cells: pd.DataFrame) -> float:
    return len(cells[["query", "text"]].drop_duplicates()) / len(cells)


def _regrets(run: Run) -> dict[str, float]:
    """The largest upper end of a constant bid's gain, of all agents and utilities, by rule or mechanism.

    Empty where whole texts were not audited.
    """
    path = run.path / AUDIT
    if not path.is_file():
        return {}
    audited = read_csv(path)
    if MECHANISM in audited:
        is_other = audited[MECHANISM] != TOKEN_AUCTION
        audited["aggregation"] = audited["aggregation"].mask(is_other, audited[MECHANISM])
    charged = {rule: charged_payment(run.experiment, run.cells, rule) for rule in run.experiment.auction.rules}
    counts = audited[(audited["payment"] == audited["aggregation"].map(charged)) & audited["bid"].notna()]
    return {str(rule): float(gain) for rule, gain in counts.groupby("aggregation")["gain.high"].max().items()}
