"""The paragraph on top of a report: what a run found, in sentences made from its numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..analysis.run import Run
from ..analysis.trend import trends_frame
from ..mechanism.registry import label

if TYPE_CHECKING:
    import pandas as pd

UNIT = "\u00a0%"
MOST_PARTS = 6  # of a sentence; beyond it only the swept agent is told of


def sentences(run: Run) -> list[str]:
    """What was done, who is mentioned, when they share a text, what is earned. Of several queries the first."""
    return [_what_was_done(run), *_mentions(run), *_sharing(run), *_revenue(run)]


def _what_was_done(run: Run) -> str:
    experiment, cells = run.experiment, run.cells
    names = listed([agent.name for agent in experiment.agents])
    n_points, n_seeds = len(experiment.points), len(experiment.seeds)
    where = f" about “{experiment.queries[0]}”" if len(experiment.queries) == 1 and experiment.queries[0] else ""
    more = f" on {len(experiment.queries)} queries" if len(experiment.queries) > 1 else ""
    rules = listed([label(rule) for rule in experiment.auction.aggregation])
    bids = f"{n_points} settings of the bids" if n_points > 1 else "one setting of the bids"
    written = counted(len(cells), "text")
    if len(cells) < run.n_planned:
        written = f"{len(cells)} of the {run.n_planned} texts that were planned"
    text = f"{names} wrote {written}{where}{more}, token by token, under {rules} aggregation: "
    text += f"{bids}, {counted(n_seeds, 'seed')} each"
    failed = f"; {counted(run.n_failed, 'text')} failed" if run.n_failed else ""
    return f"{text}{failed}. On average a text has {counted(round(cells['tokens'].mean()), 'token')}."


def _mentions(run: Run) -> Iterator[str]:
    """How often each agent is named: at both ends of a sweep, otherwise once for every rule."""
    first = _first_query(run)
    if not len(first):
        return
    agents = run.experiment.agents
    if not _is_sweep(first):
        parts = [f"{agent.name} is named in {_rates_at_once(first, agent.id)} of the texts" for agent in agents]
        yield f"{'Depending on the bids, ' if first['point'].nunique() > 1 else ''}{listed(parts)}."
        return
    first = first.sort_values("relative_weight", kind="stable")
    trends = trends_frame(first).set_index(["aggregation", "figure"])["tau"]
    swept = agents[run.experiment.swept_agent].name
    low, high = first["relative_weight"].min(), first["relative_weight"].max()
    is_short = len(agents) * first["aggregation"].nunique() <= MOST_PARTS
    told = agents if is_short else agents[run.experiment.swept_agent :][:1]
    parts = [f"those that name {agent.name} go {_rates_along(first, trends, agent.id)}" for agent in told]
    yield f"As the share of {swept} in the bids rises from {low:g} to {high:g}, of the texts {'; '.join(parts)}."


def _rates_at_once(summary: pd.DataFrame, agent: str) -> str:
    several = summary["aggregation"].nunique() > 1
    parts = []
    for rule, group in summary.groupby("aggregation", sort=False):
        under = f" under {label(str(rule))}" if several else ""
        rates = group[f"mention_rate.{agent}"]
        span = f"{percent(rates.min())} to {percent(rates.max())}"
        parts.append((span if len(group) > 1 else interval(group.iloc[0], f"mention_rate.{agent}", percent)) + under)
    return listed(parts)


def _rates_along(summary: pd.DataFrame, trends: pd.Series[Any], agent: str) -> str:
    """From the first weight to the last, under every rule."""
    several = summary["aggregation"].nunique() > 1
    parts = []
    for rule, group in summary.groupby("aggregation", sort=False):
        rates = group[f"mention_rate.{agent}"]
        tau = float(trends.get((rule, f"mention_rate.{agent}"), math.nan))
        sure = "" if math.isnan(tau) else f" (Kendall’s τ {signed(tau)})"
        under = f" under {label(str(rule))}" if several else ""
        parts.append(f"from {percent(rates.iloc[0])} to {percent(rates.iloc[-1])}{under}{sure}")
    return listed(parts)


def _sharing(run: Run) -> Iterator[str]:
    if len(run.experiment.agents) < 2:
        return
    first = _first_query(run)
    best = first.iloc[int(first["co_mention_rate"].argmax())] if len(first) else None
    who = "Both" if len(run.experiment.agents) == 2 else "All of them"
    if best is None or best["co_mention_rate"] == 0:
        yield f"{who} are never named in one text."
        return
    share = interval(best, "co_mention_rate", percent)
    yield f"{who} are named in one text most often{_where(run, best)}: in {share} of the texts."


def _revenue(run: Run) -> Iterator[str]:
    first = _first_query(run)
    named = [rule for rule in run.experiment.auction.payments if f"revenue.{rule}" in first.columns]
    parts = []
    for rule in named:
        revenue = first[f"revenue.{rule}"]
        if revenue.notna().any():
            best = first.iloc[int(revenue.argmax())]
            parts.append(f"{label(rule)} {interval(best, f'revenue.{rule}', number)}{_where(run, best)}")
    if parts:
        highest = "highest " if len(first) > 1 else ""
        yield f"The {highest}mean revenue for a text, in units of the bids, by payment rule: {listed(parts)}."


def _where(run: Run, row: pd.Series[Any]) -> str:
    rules = f" under {label(str(row['aggregation']))}" if len(run.experiment.auction.aggregation) > 1 else ""
    first = _first_query(run)
    if not _is_sweep(first):
        bids = " : ".join(f"{row[f'bid.{agent.id}']:g}" for agent in run.experiment.agents)
        return f" at the bids {bids}{rules}" if first["point"].nunique() > 1 else rules
    return f" at weight {row['relative_weight']:g}{rules}"


def _first_query(run: Run) -> pd.DataFrame:
    return run.summary[run.summary["query"] == run.experiment.queries[0]]


def _is_sweep(summary: pd.DataFrame) -> bool:
    weights = summary.drop_duplicates("point")["relative_weight"]
    return len(weights) > 1 and bool(weights.notna().all()) and weights.nunique() == len(weights)


def interval(row: pd.Series[Any], figure: str, form: Any) -> str:
    """A mean with its interval, as in 35 % (18–57 %)."""
    low, high = row[f"{figure}.low"], row[f"{figure}.high"]
    if not (math.isfinite(low) and math.isfinite(high)) or form(low) == form(high):
        return str(form(row[figure]))
    return f"{form(row[figure])} ({str(form(low)).removesuffix(UNIT)}–{form(high)})"


def percent(share: float) -> str:
    return f"{100 * share:.0f}{UNIT}"


def number(value: float) -> str:
    return f"{value:.3g}"


def signed(tau: float) -> str:
    return f"{tau:.2f}".replace("-", "−")


def counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}".replace(",", "\u202f")


def listed(parts: list[str]) -> str:
    """a, b and c."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
