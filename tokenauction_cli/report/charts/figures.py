"""The charts of a run's sweep: which numbers of `summary.csv` and `pooled.csv` stand against what.

A chart has one panel per run and aggregation rule, and in each panel one series per agent (or payment rule). Rows
carry the numbers of the summary unchanged: mean and 95 % interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ...analysis.frames.comparable import groups_of
from ...analysis.frames.mechanism_names import payments_of
from ...analysis.frames.metrics import figures_of_summary, numbered
from ...analysis.frames.per_bytes import BYTES
from ...analysis.run import Run
from ...experiment.experiment import Experiment
from ...experiment.resolved.sweep import SweepPoint
from ...mechanism.registry import label
from .chart import ALL_QUERIES, Panel
from .sweep import Horizontal, SweepChart
from .vega import INK, Series

MOST_ROWS = 12_000  # of single queries, in all charts of a page


class SummaryRow(NamedTuple):
    """A row of a summary, of a query by number."""

    query: int
    row: Mapping[Any, Any]

    def has(self, column: str) -> bool:
        return math.isfinite(self.row.get(column, math.nan))

    def drawn(self, series: str, column: str, x: float) -> dict[str, Any]:
        """A figure as a row of a chart."""
        low, high = (float(self.row[f"{column}.{end}"]) for end in ("low", "high"))
        return {
            "query": self.query,
            "x": x,
            "series": series,
            "mean": float(self.row[column]),
            "low": low if math.isfinite(low) else None,
            "high": high if math.isfinite(high) else None,
            "n": int(self.row["cells"]),
        }


SummaryRows = dict[tuple[int, str], list[SummaryRow]]
"""The rows of all summaries, by the number of the run and the aggregation rule or mechanism."""


def summary_rows(runs: Sequence[Run]) -> SummaryRows:
    queries = numbered(queries_of(runs))
    found: SummaryRows = {(k, rule): [] for k, run in enumerate(runs) for rule in run.experiment.auction.rules}
    for k, run in enumerate(runs):
        for frame in (run.summary[run.summary["query"].isin(queries)], run.pooled):
            for row in frame.to_dict("records"):
                query = queries[row["query"]] if "query" in row else ALL_QUERIES
                found[k, str(row["aggregation"])].append(SummaryRow(query, row))
    return found


def horizontal_of(runs: Sequence[Run]) -> Horizontal:
    """The relative weight where it tells the points of every run apart, otherwise the points by number."""
    swept = {run.experiment.agents[run.experiment.swept_agent].name for run in runs}
    title = f"weight of {swept.pop() if len(swept) == 1 else 'the swept agent'}"
    for run in runs:
        weights = [point.relative_weight for point in run.experiment.points]
        if None in weights or len(set(weights)) < len(weights) or _has_other_weights(run.experiment):
            longest = max((run.experiment.points for run in runs), key=len)
            by_number = any(run.experiment.points_of_queries for run in runs)
            labels = tuple(_label(point, by_number) for point in longest)
            bidders = " : ".join(agent.name for agent in runs[0].experiment.agents)
            return Horizontal(f"bids ({bidders})" if len(runs) == 1 else "bids", False, labels)
    return Horizontal(title, True)


def _has_other_weights(experiment: Experiment) -> bool:
    """Whether a query's own bids make other relative weights of the same points."""
    weights = [point.relative_weight for point in experiment.points]
    return any([one.relative_weight for one in points] != weights for points in experiment.points_of_queries.values())


def _label(point: SweepPoint, by_number: bool) -> str:
    return f"point {point.index}" if by_number else " : ".join(f"{bid:g}" for bid in point.bids)


def agent_colours(runs: Sequence[Run]) -> dict[str, int]:
    """The number of the colour of every agent, by name: the same agent in two runs has one colour."""
    names = dict.fromkeys(agent.name for run in runs for agent in run.experiment.agents)
    return {name: k for k, name in enumerate(names)}


def queries_of(runs: Sequence[Run]) -> list[str]:
    """The queries of all runs, each once: the first, where charts of every query are more than a page should carry."""
    every = list(dict.fromkeys(query for run in runs for query in run.experiment.queries))
    n_rows = sum(len(run.summary) * len(figures_of_summary(run.summary)) for run in runs)
    return every[: max(1, len(every) * MOST_ROWS // max(1, n_rows))]


def figures_of(runs: Sequence[Run]) -> list[SweepChart]:
    """Every chart for which the runs have numbers that differ from empty."""
    found, axis = summary_rows(runs), horizontal_of(runs)
    charts = []
    for kind, rules in (part for every in _kinds(runs) for part in _in_one_measure(every, runs)):
        of_rules = {key: records for key, records in found.items() if key[1] in rules}
        panels = [
            _panel(kind, together, axis, runs, key, records)
            for together in (([one] for one in kind.series) if kind.is_apart else [kind.series])
            for key, records in of_rules.items()
        ]
        drawn = {row["series"] for panel in panels for row in panel.rows}
        series = tuple(one for one in kind.series if one.name in drawn)
        if drawn:
            panels = [panel for panel in panels if panel.rows]
            charts.append(replace(kind, axis=axis, series=series, panels=tuple(panels)))
    return charts


def _in_one_measure(kind: SweepChart, runs: Sequence[Run]) -> Iterator[tuple[SweepChart, list[str]]]:
    """The kind with the rules that share its axis: all, or a tab for each measure (`comparable.py`)."""
    groups = groups_of(kind.series[0].column, [rule for run in runs for rule in run.experiment.auction.rules])
    for rules in groups:
        of_rules = f"{kind.tab}, {', '.join(label(rule) for rule in dict.fromkeys(rules))}"
        yield kind if len(groups) == 1 else replace(kind, id=f"{kind.id}.{rules[0]}", tab=of_rules), rules


def _panel(
    kind: SweepChart,
    together: Sequence[Series],
    axis: Horizontal,
    runs: Sequence[Run],
    key: tuple[int, str],
    records: Sequence[SummaryRow],
) -> Panel:
    """These series of one run and rule; where others are apart, with a scale of their own."""
    k, rule = key
    scale = together[0].name if kind.is_apart else ""
    parts = [scale, runs[k].name if len(runs) > 1 else "", label(rule)]
    drawn = (
        record.drawn(series.name, series.column, axis.of(record.row))
        for series in together
        for record in records
        if record.has(series.column)
    )
    return Panel(" · ".join(filter(None, parts)), tuple(drawn), run=k, scale=scale)


def _kind(
    id: str,
    chapter: tuple[str, str],
    tab: str,
    unit: str,
    series: tuple[Series, ...],
    *,
    percent: bool = False,
    from_zero: bool = True,
    is_apart: bool = False,
) -> SweepChart:
    """A chart before it is looked up in the summaries; a chapter has a heading and a question."""
    title, question = chapter
    return SweepChart(
        id=id,
        chapter=title,
        question=question,
        tab=tab,
        unit=unit,
        series=series,
        percent=percent,
        from_zero=from_zero,
        is_apart=is_apart,
    )


def _kinds(runs: Sequence[Run]) -> Iterator[SweepChart]:
    """Every chart there could be, in the order of the page."""
    colours = agent_colours(runs)
    agents = dict.fromkeys((agent.name, agent.id) for run in runs for agent in run.experiment.agents)
    symbols = " or ".join(dict.fromkeys(run.experiment.auction.symbol for run in runs))
    alphabets = " or ".join(dict.fromkeys(run.experiment.auction.alphabet for run in runs))

    def by_agent(figure: str) -> tuple[Series, ...]:
        return tuple(Series(name, f"{figure}.{agent}", colours[name]) for name, agent in agents)

    yield _mentions(by_agent("mention_rate"))
    yield from _payments(runs, by_agent, _payments_in(runs, [agent for _, agent in agents]))
    yield from _welfare(runs)
    chapter = (
        "How many candidates count",
        "Effective sample size: how many candidates of equal chance the choice is worth. Below 5 it is rough.",
    )
    yield _kind("ess", chapter, "", "candidates", (Series("candidates", "ess", INK),))
    chapter = ("How far each agent is from the text", "Distance between what an agent would say and what is said.")
    for name, tab, unit in (
        ("tv", "total variation", f"total variation, mean per {symbols}"),
        ("kl", "forward KL", f"forward KL, mean per {symbols}, nats"),
        ("reverse_kl", "reverse KL", f"reverse KL, mean per {symbols}, nats"),
        ("reverse_kl_sum", "reverse KL, whole text", "reverse KL, sum over a text, nats"),
    ):
        yield _kind(name, chapter, tab, unit, by_agent(name))
    chapter = ("Whose model explains the text", "Posterior weight of each agent’s model, given the bids and the text.")
    yield _kind("posterior", chapter, "", "posterior weight", by_agent("posterior"), percent=True)
    chapter = (
        "How likely the text is to each agent",
        "Log-probability of the whole text under each agent’s own model.",
    )
    logs = by_agent("log_prob")
    yield _kind("log_prob", chapter, "log-probability", "log-probability, nats", logs, from_zero=False)
    unit = "log-probability beyond the reference’s, nats"
    yield _kind("log_ratio", chapter, "beyond the reference", unit, by_agent("log_ratio"))
    chapter = ("How likely the text is to the reference", "Log-probability under a model that never bids.")
    unit = f"log-probability, mean per {symbols}, nats"
    yield _kind("quality", chapter, "", unit, (Series("quality", "quality", INK),), from_zero=False)
    chapter = (
        "What the form costs each agent",
        "Log-probability that an agent gave, token by token, to what the form allows, before it was cut to that.",
    )
    unit = "log-probability of what is allowed, nats"
    yield _kind("log_allowed", chapter, "", unit, by_agent("log_allowed"), from_zero=False)
    chapter = ("What judges say of the texts", "Mean chance of the answer Yes when a model is asked about each text.")
    judges = dict.fromkeys(name for run in runs for name in run.experiment.judges)
    for name in judges:
        series = (Series(name, f"judge.{name}", INK),)
        yield _kind(f"judge.{name}", chapter, name if len(judges) > 1 else "", "p(Yes)", series)
    chapter = ("How long the texts are", f"{alphabets.capitalize()} drawn for a text.")
    yield _kind("tokens", chapter, "", alphabets, (Series(alphabets, "tokens", INK),), from_zero=False)


def _welfare(runs: Sequence[Run]) -> Iterator[SweepChart]:
    """Welfare, and as a share of the optimum where a rule falls short of it."""
    title = "How good the compromise is"
    question = (
        "Welfare of a text: the sum of bid times how much each agent likes it, by the rule’s own measure. 0 is best."
    )
    if any(run.experiment.auction.others for run in runs):
        question = "Welfare of a text, by each mechanism’s own measure, or by one for all: bids times log-probability."
    for name, tab, unit in (
        ("welfare", "welfare", "welfare per text, bids × nats"),
        ("common_welfare", "in one measure", "common welfare per text, bids × nats"),
    ):
        series = (Series(name.replace("_", " "), name, INK),)
        yield _kind(name, (title, question), tab, unit, series, from_zero=False)
    shares = [share for run in runs for share in run.summary.get("welfare_share", ())]
    if any(share < 1 - 1e-9 for share in shares):
        question = "How near the rule comes to the best aggregate for the bids: 100 % is the optimum."
        unit, series = "share of the optimal welfare", (Series("welfare", "welfare_share", INK),)
        tab = "share of the optimum"
        yield _kind("welfare_share", (title, question), tab, unit, series, percent=True, from_zero=False)


def _mentions(agents: tuple[Series, ...]) -> SweepChart:
    all_of_them = "both in one text" if len(agents) == 2 else "all in one text"
    together = (Series(all_of_them, "co_mention_rate", INK),) if len(agents) > 1 else ()
    series = (*agents, *together, Series("a blend of two names", "blend_rate", 3))
    chapter = ("Who is mentioned", "Share of the texts that name each agent.")
    return _kind("mention_rate", chapter, "", "share of texts", series, percent=True)


def _payments(
    runs: Sequence[Run], by_agent: Callable[[str], tuple[Series, ...]], rules: Sequence[str]
) -> Iterator[SweepChart]:
    """Payments and revenue by each of these payment rules."""
    chapter = ("What they pay", "Mean payment of each agent for a text.")
    for rule in rules:
        unit = "payment per text, in units of the bids"
        yield _kind(f"payment.{rule}", chapter, label(rule), unit, by_agent(f"payment.{rule}"))
    revenues = [Series(label(rule), f"revenue.{rule}", k + 2) for k, rule in enumerate(rules)]
    named = {rule for run in runs for rule in payments_of(run.experiment)}
    main = tuple(series for series, rule in zip(revenues, rules, strict=True) if rule in named)
    chapter = ("What the seller earns", "Mean revenue for a text. Every payment rule has a scale of its own.")
    unit = "revenue per text, in units of the bids"
    if len(main) > 1:
        yield _kind("revenue", chapter, "payment rules", unit, main, is_apart=True)
    for rule, series in zip(rules, revenues, strict=True):
        if len(main) < 2 or series not in main:
            yield _kind(f"revenue.{rule}", chapter, label(rule), unit, (series,))
    ratio = f"revenue_per_{BYTES}_bytes"
    per_bytes = tuple(replace(series, column=series.column.replace("revenue", ratio, 1)) for series in main)
    if main:
        unit = f"revenue per {BYTES:,} bytes, in units of the bids"
        yield _kind(ratio, chapter, f"per {BYTES:,} bytes", unit, per_bytes, is_apart=len(main) > 1)


def _payments_in(runs: Sequence[Run], agents: Sequence[str]) -> list[str]:
    """What stands between `payment.` and an agent's id, each once: the names of rules may contain dots."""
    columns = dict.fromkeys(column for run in runs for column in run.summary.columns if column.startswith("payment."))
    ends = [(column.removeprefix("payment."), f".{agent}") for column in columns for agent in agents]
    return list(dict.fromkeys(rest.removesuffix(end) for rest, end in ends if rest.endswith(end)))
