"""What a page says in sentences, made from a run's numbers: what was done, what was found, how tokens were drawn.

What is zero everywhere is not spoken of.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..analysis.columns.columns import figure_explained
from ..analysis.columns.glossary import TAU, WORDS
from ..analysis.frames.trend import shapes_frame
from ..analysis.run import Run
from ..mechanism.registry import is_known, label
from ..system import wording
from ..system.wording import listed

if TYPE_CHECKING:
    import pandas as pd

UNIT = "\u00a0%"
_SAME_NUMBERS = "One seed: the same random numbers in every row, so down a column only the bids change."
MOST_PARTS = 6  # of a sentence; beyond it only the swept agent is told of


class Found(NamedTuple):
    """A sentence about the numbers of one query, or of all together, and what its numbers are."""

    text: str
    about: str


def findings(run: Run, query: str | None) -> list[Found]:
    """Who is mentioned, when they share a text, what is earned: for one query, or for None pooled over all."""
    rows = run.pooled.assign(query="") if query is None else run.summary[run.summary["query"] == query]
    return [*_mentions(run, rows), *_sharing(run, rows), *_revenue(run, rows)] if len(rows) else []


def what_it_is(runs: Sequence[Run]) -> list[str]:
    """What a token auction, a row, a column and a seed are, in three sentences."""
    experiments = [run.experiment for run in runs]
    swept = {one.agents[one.swept_agent].name for one in experiments if any(p.relative_weight for p in one.points)}
    weight = f", named by the weight of {swept.pop()}, which is its share of the bids" if len(swept) == 1 else ""
    rules = dict.fromkeys(label(rule) for one in experiments for rule in one.auction.rules)
    told = [f"{rule} {_lower(re.split('[:,]', WORDS[rule])[0])}" for rule in rules if rule in WORDS]
    columns = f": {listed(told)}" if told else f", {listed(rules)}" if len(rules) < MOST_PARTS else ""
    n_seeds = max(len(one.seeds) for one in experiments)
    chance = f"the {n_seeds} seeds show how much is chance" if n_seeds > 1 else "there is one seed here"
    what = _lower(WORDS["token auction"].replace(". Before", ": before"))
    seed = _lower(WORDS["seed"].partition(".")[0])
    return [
        f"In a token auction {what}",
        f"A row of a table, or a place from left to right in a chart, is one setting of the bids{weight}; a column, or "
        f"a panel, is one rule or mechanism{columns}.",
        f"A seed {seed}: texts of one seed differ by the bids and the rule alone, and {chance}.",
    ]


def _lower(words: str) -> str:
    return words[0].lower() + words[1:]


def what_was_done(run: Run) -> str:
    """How many texts about what, under which rules, at how many bids and seeds."""
    experiment, cells = run.experiment, run.cells
    names = listed([agent.name for agent in experiment.agents])
    n_points, n_seeds = len(experiment.points), len(experiment.seeds)
    where = f" about “{experiment.queries[0]}”" if len(experiment.queries) == 1 and experiment.queries[0] else ""
    more = f" on {len(experiment.queries)} queries" if len(experiment.queries) > 1 else ""
    bids = f"{n_points} settings of the bids" if n_points > 1 else "one setting of the bids"
    written = counted(len(cells), "text")
    if len(cells) < run.n_planned:
        written = f"{len(cells)} of the {run.n_planned} texts that were planned"
    symbol = experiment.auction.symbol
    text = f"{names} wrote {written}{where}{more}, {_by_what(run)}: "
    text += f"{bids}, {counted(n_seeds, 'seed')} each"
    failed = f"; {counted(run.n_failed, 'text')} failed" if run.n_failed else ""
    average = f"On average a text has {counted(round(cells['tokens'].mean()), symbol)}."
    return " ".join(filter(None, (f"{text}{failed}.", average, _of_what_form(run))))


def _of_what_form(run: Run) -> str:
    """How many texts have the form that they were held to; '' without one."""
    if run.experiment.auction.constraint is None:
        return ""
    n_complete = int(run.cells["complete"].sum())
    return (
        f"Every agent was restricted to the tokens with which a text can still get its form (auction.constraint); "
        f"{n_complete} of {counted(len(run.cells), 'text')} have it."
    )


def _by_what(run: Run) -> str:
    """The rules of the token auction, and the other mechanisms."""
    auction, mechanisms = run.experiment.auction, [label(name) for name in run.experiment.auction.others]
    rules = [label(rule) for rule in auction.rules if rule not in run.experiment.auction.others]
    auctioned = f"{auction.symbol} by {auction.symbol}, under {listed(rules)} aggregation" if rules else ""
    return ", and ".join(filter(None, (auctioned, f"by {listed(mechanisms)}" if mechanisms else "")))


def _mentions(run: Run, rows: pd.DataFrame) -> Iterator[Found]:
    """How often each agent is named: at both ends of a sweep, otherwise once for every rule."""
    agents, swept = run.experiment.agents, run.experiment.agents[run.experiment.swept_agent]
    if _is_sweep(rows) and len(agents) * rows["aggregation"].nunique() > MOST_PARTS:
        agents = (swept,)
    named = [agent for agent in agents if (rows[f"mention_rate.{agent.id}"] > 0).any()]
    if not named:
        return
    about = figure_explained(f"mention_rate.{named[0].id}")
    if not _is_sweep(rows):
        parts = [f"{agent.name} is named in {_rates_at_once(rows, agent.id)} of the texts" for agent in named]
        yield Found(f"{'Depending on the bids, ' if rows['point'].nunique() > 1 else ''}{listed(parts)}.", about)
        return
    rows = rows.sort_values("relative_weight", kind="stable")
    trends = shapes_frame(rows).set_index(["aggregation", "figure"])["tau"]
    low, high = rows["relative_weight"].min(), rows["relative_weight"].max()
    parts = [f"those that name {agent.name} go {_rates_along(rows, trends, agent.id)}" for agent in named]
    text = f"As the share of {swept.name} in the bids rises from {low:g} to {high:g}, of the texts {'; '.join(parts)}."
    yield Found(text, f"{about} Kendall’s τ: {WORDS[TAU]}")


def _rates_at_once(summary: pd.DataFrame, agent: str) -> str:
    several = summary["aggregation"].nunique() > 1
    parts = []
    for rule, group in _where_named(summary, agent).groupby("aggregation", sort=False):
        under = f" under {label(str(rule))}" if several else ""
        rates = group[f"mention_rate.{agent}"]
        span = f"{percent(rates.min())} to {percent(rates.max())}"
        parts.append((span if len(group) > 1 else interval(group.iloc[0], f"mention_rate.{agent}", percent)) + under)
    return listed(parts)


def _rates_along(summary: pd.DataFrame, trends: pd.Series[Any], agent: str) -> str:
    """From the first weight to the last, under every rule."""
    several = summary["aggregation"].nunique() > 1
    parts = []
    for rule, group in _where_named(summary, agent).groupby("aggregation", sort=False):
        rates = group[f"mention_rate.{agent}"]
        tau = float(trends.get((rule, f"mention_rate.{agent}"), math.nan))
        sure = "" if math.isnan(tau) else f" (Kendall’s τ {signed(tau)})"
        under = f" under {label(str(rule))}" if several else ""
        parts.append(f"from {percent(rates.iloc[0])} to {percent(rates.iloc[-1])}{under}{sure}")
    return listed(parts)


def _where_named(rows: pd.DataFrame, agent: str) -> pd.DataFrame:
    """The rows of the rules under which some text names the agent."""
    return rows[rows.groupby("aggregation")[f"mention_rate.{agent}"].transform("max") > 0]


def _sharing(run: Run, rows: pd.DataFrame) -> Iterator[Found]:
    if len(run.experiment.agents) < 2 or not (rows["co_mention_rate"] > 0).any():
        return
    best = rows.iloc[int(rows["co_mention_rate"].argmax())]
    who = "Both" if len(run.experiment.agents) == 2 else "All of them"
    share = interval(best, "co_mention_rate", percent)
    text = f"{who} are named in one text most often{_where(run, rows, best)}: in {share} of the texts."
    yield Found(text, figure_explained("co_mention_rate") + _of_largest(rows))


def _revenue(run: Run, rows: pd.DataFrame) -> Iterator[Found]:
    if "revenue_share" in rows:
        yield from _revenue_shares(run, rows)
        return
    parts = []
    for rule in run.experiment.auction.payments:
        revenue = rows.get(f"revenue.{rule}")
        if revenue is not None and (revenue > 0).any():
            best = rows.iloc[int(revenue.argmax())]
            parts.append(f"{label(rule)} {interval(best, f'revenue.{rule}', number)}{_where(run, rows, best)}")
    if parts:
        highest = "highest " if len(rows) > 1 else ""
        text = f"The {highest}mean revenue for a text, in units of the bids, by payment rule: {listed(parts)}."
        about = "What the seller earns, with its 95 % interval. Unit: units of the bids. Per text."
        yield Found(text, about + _of_largest(rows))


def _revenue_shares(run: Run, rows: pd.DataFrame) -> Iterator[Found]:
    """Of several mechanisms, whose bids are for different things."""
    parts = []
    for rule, group in rows[rows["revenue_share"] > 0].groupby("aggregation", sort=False):
        best = group.iloc[int(group["revenue_share"].argmax())]
        parts.append(f"{label(str(rule))} {interval(best, 'revenue_share', number)}{_place(run, rows, best)}")
    if parts:
        highest = "highest " if len(rows) > rows["aggregation"].nunique() else ""
        text = f"The {highest}mean revenue over what is bid for a text: {listed(parts)}."
        yield Found(text, figure_explained("revenue_share") + _of_largest(rows))


def _of_largest(rows: pd.DataFrame) -> str:
    """What to know of the largest of several numbers."""
    if len(rows) < 2:
        return ""
    return f" The largest of {len(rows)} numbers, chosen by the same texts that it is of: rather too high."


def _where(run: Run, rows: pd.DataFrame, row: pd.Series[Any]) -> str:
    rules = f" under {label(str(row['aggregation']))}" if len(run.experiment.auction.rules) > 1 else ""
    return _place(run, rows, row) + rules


def _place(run: Run, rows: pd.DataFrame, row: pd.Series[Any]) -> str:
    if _is_sweep(rows):
        return f" at weight {row['relative_weight']:g}"
    if rows["point"].nunique() == 1:
        return ""
    if run.experiment.points_of_queries:  # there are other bids for other queries
        return f" at point {int(row['point'])} of the sweep"
    return f" at the bids {' : '.join(f'{bid:g}' for bid in run.experiment.points[int(row['point'])].bids)}"


def _is_sweep(summary: pd.DataFrame) -> bool:
    weights = summary.drop_duplicates("point")["relative_weight"]
    is_one = summary.groupby("point")["relative_weight"].nunique().max() == 1  # whatever the query bids
    return len(weights) > 1 and bool(weights.notna().all()) and weights.nunique() == len(weights) and is_one


def how_drawn(run: Run) -> str:
    """What texts of one seed have in common, down a column (weights) and between columns (rules), as was recorded."""
    mechanisms = run.experiment.auction.others
    auctioned = _how_auctioned(run) if len(mechanisms) < len(run.experiment.auction.rules) else _SAME_NUMBERS
    return " ".join([auctioned, *_how_else(run, list(mechanisms))])


def _how_else(run: Run, mechanisms: list[str]) -> Iterator[str]:
    """What writes the texts of other mechanisms."""
    chosen = set(run.cells.loc[run.cells["candidate"].notna(), "aggregation"]) if "candidate" in run.cells else set()
    for is_chosen, what in ((True, "are chosen among whole candidates"), (False, "are written by one agent at a time")):
        names = [label(name) for name in mechanisms if (name in chosen) == is_chosen]
        if names:
            yield f"Texts of {listed(names)} {what}."


def _how_auctioned(run: Run) -> str:
    rules_by_sampler = _rules_by_sampler(run)
    several = sum(map(len, rules_by_sampler.values())) > 1
    if set(rules_by_sampler) == {"greedy"}:
        between = ", along a row only the rule" if several else ""
        symbol = run.experiment.auction.symbol
        return f"Greedy sampling takes the likeliest {symbol}: down the table only the bids change{between}."
    if len(rules_by_sampler) == 1:
        where = "row and column" if several else "row"
        between = ", along a row only the rule" if several else ""
        sampler = next(iter(rules_by_sampler))
        return (
            f"One seed: the same random numbers in every {where}, used by {sampler} sampling. "
            f"Down a column only the bids change{between}."
        )
    return f"{_SAME_NUMBERS} {_between(run, rules_by_sampler)}" if rules_by_sampler else _SAME_NUMBERS


def _rules_by_sampler(run: Run) -> dict[str, list[str]]:
    """Under which aggregation rules each sampling was used, as the cells say."""
    used: dict[str, list[str]] = {}
    pairs = run.cells[["aggregation", "sampling"]].dropna().drop_duplicates()
    for rule, sampler in pairs.itertuples(index=False, name=None):
        if sampler and rule not in run.experiment.auction.others:
            used.setdefault(str(sampler), []).append(str(rule))
    return used


def _between(run: Run, rules_by_sampler: dict[str, list[str]]) -> str:
    """What rules with different samplings have in common: a coupling of their draws, or chance alone."""
    parts = []
    for sampler, rules in rules_by_sampler.items():
        how = "by a coupling to stable sampling" if sampler == "coupled" else f"by {sampler} sampling"
        parts.append(f"{listed([label(rule) for rule in rules])} {how}")
    drawn = f"{run.experiment.auction.alphabet.capitalize()} are drawn under {listed(parts)}"
    if set(rules_by_sampler) != {"stable", "coupled"}:
        return f"{drawn}: differences along a row are due to chance too."
    ends = sorted({f"{point.relative_weight:g}" for point in run.experiment.points if point.relative_weight in (0, 1)})
    if not ends or not _agree_at_the_ends(run, rules_by_sampler):
        return f"{drawn}, on the same random numbers."
    return f"{drawn}: at weight {listed(ends)}, where they have one distribution, their texts are the same."


def _agree_at_the_ends(run: Run, rules_by_sampler: dict[str, list[str]]) -> bool:
    """Whether all rules have the same distribution where one of two agents has all the weight, at every token."""
    agents = run.experiment.agents
    has_only_bidders = not any(agent.reference for agent in agents) and run.experiment.auction.charge is None
    is_linear_coupled = rules_by_sampler["stable"] == ["linear"]
    are_built_in = all(is_known("aggregation", rule) for rule in rules_by_sampler["coupled"])
    return len(agents) == 2 and has_only_bidders and is_linear_coupled and are_built_in


def interval(row: pd.Series[Any], figure: str, form: Any) -> str:
    """A mean with its interval, as in 35 % (18–57 %)."""
    low, high = row[f"{figure}.low"], row[f"{figure}.high"]
    if not (math.isfinite(low) and math.isfinite(high)) or form(low) == form(high):
        return str(form(row[figure]))
    return f"{form(row[figure])} ({str(form(low)).removesuffix(UNIT)}–{form(high)})"


def percent(share: float) -> str:
    return f"{100 * share:.0f}{UNIT}"


def number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")


def signed(tau: float) -> str:
    return f"{tau:.2f}".replace("-", "−")


def counted(n: int, noun: str) -> str:
    return wording.counted(n, noun, thousands="\u202f")
