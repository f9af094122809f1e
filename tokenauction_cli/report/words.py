"""The paragraph on top of a report: what a run found, in sentences made from its numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..run import RunResult
from ..trend import trends_frame
from .figures import spoken

if TYPE_CHECKING:
    import pandas as pd


def sentences(run: RunResult) -> list[str]:
    """What was done, who is mentioned, when they share a text, what is earned. Of several queries the first."""
    return [_what_was_done(run), *_mentions(run), *_sharing(run), *_revenue(run), _how_sure(run)]


def _what_was_done(run: RunResult) -> str:
    experiment, cells = run.experiment, run.cells
    names = listed([agent.name for agent in experiment.agents])
    n_points, n_seeds = len(experiment.points()), len(experiment.seeds())
    where = f" about “{experiment.queries[0]}”" if len(experiment.queries) == 1 and experiment.queries[0] else ""
    more = f" on {len(experiment.queries)} queries" if len(experiment.queries) > 1 else ""
    rules = listed([spoken(rule) for rule in experiment.auction.aggregation])
    bids = f"{n_points} settings of the bids" if n_points > 1 else "one setting of the bids"
    text = f"{names} wrote {counted(len(cells), 'text')}{where}{more}, token by token, under {rules} aggregation: "
    text += f"{bids}, {counted(n_seeds, 'seed')} each"
    failed = f"; {counted(run.n_failed, 'text')} failed" if run.n_failed else ""
    return f"{text}{failed}. A text has {cells['tokens'].mean():.0f} tokens on average."


def _mentions(run: RunResult) -> Iterator[str]:
    """How each agent's rate moves from the first to the last weight, for every rule."""
    experiment = run.experiment
    first = _first_query(run)
    if not len(first):
        return
    by_weight = _is_sweep(first)
    trends = trends_frame(first).set_index(["aggregation", "figure"]) if by_weight else None
    for rule, group in first.groupby("aggregation", sort=False):
        group = group.sort_values("relative_weight") if by_weight else group
        parts = []
        for agent in experiment.agents:
            rates = group[f"mention_rate.{agent.id}"]
            if trends is None or len(group) == 1:
                parts.append(f"{agent.name} is named in {percent(rates.iloc[0])} of the texts")
                continue
            tau = trends.loc[(rule, f"mention_rate.{agent.id}"), "tau"] if len(trends) else math.nan
            sure = "" if math.isnan(tau) else f" (Kendall’s τ {signed(tau)})"
            parts.append(f"{agent.name} from {percent(rates.iloc[0])} to {percent(rates.iloc[-1])}{sure}")
        if by_weight and len(group) > 1:
            swept = experiment.agents[experiment.swept_agent].name
            ends = (group["relative_weight"].iloc[k] for k in (0, -1))
            span = "from {:g} to {:g}".format(*ends)
            yield f"Under {spoken(str(rule))}, as {swept}’s share of the bids rises {span}, mentions go: {listed(parts)}."
        else:
            yield f"Under {spoken(str(rule))}, {listed(parts)}."


def _sharing(run: RunResult) -> Iterator[str]:
    if len(run.experiment.agents) < 2:
        return
    first = _first_query(run)
    best = first.loc[first["co_mention_rate"].idxmax()] if len(first) else None
    who = "Both" if len(run.experiment.agents) == 2 else "All of them"
    if best is None or best["co_mention_rate"] == 0:
        yield f"{who} are never named in one text."
        return
    share = interval(best, "co_mention_rate", percent)
    yield f"{who} are named in one text most often {_where(run, best)}: in {share} of the texts."


def _revenue(run: RunResult) -> Iterator[str]:
    first = _first_query(run)
    named = [rule for rule in run.experiment.auction.payments if f"revenue.{rule}" in first.columns]
    parts = []
    for rule in named:
        revenue = first[f"revenue.{rule}"]
        if revenue.notna().any():
            best = first.loc[revenue.idxmax()]
            parts.append(f"{spoken(rule)} {interval(best, f'revenue.{rule}', number)} {_where(run, best)}")
    if parts:
        yield f"The highest mean revenue for a text, in units of the bids, is by payment rule: {listed(parts)}."


def _how_sure(run: RunResult) -> str:
    text = "In brackets and in every figure: 95 % intervals, Wilson’s for rates and BCa bootstrap for means"
    several = len(run.experiment.queries) > 1
    return text + ("; pooled over queries they are clustered by query." if several else ".")


def _where(run: RunResult, row: pd.Series[Any]) -> str:
    rules = f" under {spoken(str(row['aggregation']))}" if len(run.experiment.auction.aggregation) > 1 else ""
    if not _is_sweep(_first_query(run)):
        return rules.strip() or "here"
    return f"at weight {row['relative_weight']:g}{rules}"


def _first_query(run: RunResult) -> pd.DataFrame:
    return run.summary[run.summary["query"] == run.experiment.queries[0]]


def _is_sweep(summary: pd.DataFrame) -> bool:
    weights = summary.drop_duplicates("point")["relative_weight"]
    return len(weights) > 1 and bool(weights.notna().all()) and weights.nunique() == len(weights)


def interval(row: pd.Series[Any], figure: str, form: Any) -> str:
    """A mean with its interval, as in 35 % (18–57 %)."""
    low, high = row[f"{figure}.low"], row[f"{figure}.high"]
    if not (math.isfinite(low) and math.isfinite(high)):
        return str(form(row[figure]))
    return f"{form(row[figure])} ({str(form(low)).removesuffix(' %')}–{form(high)})"


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def number(value: float) -> str:
    return f"{value:.3g}"


def signed(tau: float) -> str:
    return f"{tau:.2f}".replace("-", "−")


def counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}".replace(",", "\u202f")


def listed(parts: list[str]) -> str:
    """a, b and c."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
