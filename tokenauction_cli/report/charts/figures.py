"""The figures of a report: which numbers of `summary.csv` stand against what. How they are drawn is not known here.

A figure has one panel per run and aggregation rule, and in each panel one series per agent (or payment rule). Rows
carry the numbers of the summary unchanged: mean and 95 % interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...analysis.frames.comparable import groups_of
from ...analysis.frames.mechanism_names import payments_of
from ...analysis.frames.metrics import numbered
from ...analysis.frames.per_bytes import BYTES
from ...analysis.run import Run
from ...experiment.experiment import Experiment
from ...experiment.resolved.sweep import SweepPoint
from ...mechanism.registry import label
from ...system.errors import UsageError
from ...system.wording import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#6B6B6B")
DARK = ("#56B4E9", "#E69F00", "#2FBF94", "#E39CC5", "#8FB8FF", "#F0E442", "#B5B5B5")
INK = -1  # what belongs to no agent
INK_COLOUR = "#333333"
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
ALL_QUERIES = -1


@dataclass(frozen=True)
class Series:
    """One line: its name, the figure of the summary it shows, its colour."""

    name: str
    column: str
    colour: int


@dataclass(frozen=True)
class Panel:
    """One set of axes: an aggregation rule of a run."""

    key: str
    title: str


@dataclass(frozen=True)
class Figure:
    """What is drawn, in words and numbers. `chapter` collects figures that share a heading, told apart by `tab`.

    `across` is the title of the horizontal axis of a path (`path_figures.py`), '' where that is the sweep.
    """

    id: str
    chapter: str
    question: str
    tab: str
    unit: str
    percent: bool
    from_zero: bool
    series: tuple[Series, ...]
    panels: tuple[Panel, ...]
    rows: tuple[dict[str, Any], ...]
    across: str = ""


@dataclass(frozen=True)
class Horizontal:
    """The horizontal axis of every figure: a relative weight, or the number of the sweep point."""

    title: str
    is_weight: bool
    labels: tuple[str, ...] = ()

    def of(self, row: Any) -> float | int:
        return float(row["relative_weight"]) if self.is_weight else int(row["point"])


@dataclass(frozen=True)
class _Kind:
    """A figure before it is looked up in the summaries."""

    id: str
    chapter: str
    question: str
    tab: str
    unit: str
    series: tuple[Series, ...]
    percent: bool = False
    from_zero: bool = True


def horizontal_of(runs: Sequence[Run]) -> Horizontal:
    """The relative weight where it tells the points of every run apart, otherwise the points by number."""
    swept = {run.experiment.agents[run.experiment.swept_agent].name for run in runs}
    title = f"relative weight of {swept.pop()}" if len(swept) == 1 else "relative weight of the swept agent"
    for run in runs:
        weights = [point.relative_weight for point in run.experiment.points]
        if None in weights or len(set(weights)) < len(weights) or _has_other_weights(run.experiment):
            longest = max((run.experiment.points for run in runs), key=len)
            by_number = any(run.experiment.points_of_queries for run in runs)
            labels = tuple(_label(point, by_number) for point in longest)
            bidders = " : ".join(agent.name for agent in runs[0].experiment.agents)
            return Horizontal(f"bids ({bidders})" if len(runs) == 1 else "bids", False, labels)
    return Horizontal(f"{title} (share of the bids)", True)


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
    """The queries of all runs, each once."""
    return list(dict.fromkeys(query for run in runs for query in run.experiment.queries))


def figures_of(runs: Sequence[Run]) -> list[Figure]:
    """Every figure for which the runs have numbers that differ from empty."""
    axis, queries = horizontal_of(runs), numbered(queries_of(runs))
    figures = []
    for kind, rules in (part for every in _kinds(runs) for part in _in_one_measure(every, runs)):
        rows = [row for k, run in enumerate(runs) for row in _rows(kind, k, run, axis, queries)]
        rows = [row for row in rows if row["panel"].partition("/")[2] in rules]
        used = {row["panel"] for row in rows}
        panels = tuple(panel for k, run in enumerate(runs) for panel in _panels(k, run, len(runs)) if panel.key in used)
        drawn = {row["series"] for row in rows}
        series = tuple(s for s in kind.series if s.name in drawn)
        if rows:
            words = (kind.id, kind.chapter, kind.question, kind.tab, kind.unit)
            figures.append(Figure(*words, kind.percent, kind.from_zero, series, panels, tuple(rows)))
    return figures


def _in_one_measure(kind: _Kind, runs: Sequence[Run]) -> Iterator[tuple[_Kind, list[str]]]:
    """The kind with the rules that share its axis: all, or a tab for each measure (`comparable.py`)."""
    groups = groups_of(kind.series[0].column, [rule for run in runs for rule in run.experiment.auction.rules])
    for rules in groups:
        of_rules = f"{kind.tab}, {', '.join(label(rule) for rule in dict.fromkeys(rules))}"
        yield kind if len(groups) == 1 else replace(kind, id=f"{kind.id}.{rules[0]}", tab=of_rules), rules


def ids_named(ids: Sequence[str], only: Sequence[str]) -> set[str]:
    """Which of these are meant; a name also stands for all that begin with it and a dot. Without names all."""
    wanted = set()
    for name in only:
        found = {name} if name in ids else {one for one in ids if one.startswith(f"{name}.")}
        if not found:
            there = f"the figures here are {', '.join(ids)}"
            raise UsageError(f"there is no figure {name!r}{did_you_mean(name, ids)}\n{there}")
        wanted |= found
    return wanted if only else set(ids)


def _panels(k: int, run: Run, n_runs: int) -> list[Panel]:
    prefix = f"{run.experiment.name} · " if n_runs > 1 else ""
    return [Panel(f"{k}/{rule}", prefix + label(rule)) for rule in run.experiment.auction.rules]


def _rows(kind: _Kind, k: int, run: Run, axis: Horizontal, queries: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    for frame in (run.summary, run.pooled):
        for series in kind.series:
            if series.column in frame.columns:
                yield from _series_rows(frame, series, k, axis, queries)


def _series_rows(
    frame: pd.DataFrame, series: Series, k: int, axis: Horizontal, queries: Mapping[str, int]
) -> Iterator[dict[str, Any]]:
    for row in frame.to_dict("records"):
        mean = float(row[series.column])
        if math.isfinite(mean):
            yield {
                "query": queries[row["query"]] if "query" in row else ALL_QUERIES,
                "panel": f"{k}/{row['aggregation']}",
                "x": axis.of(row),
                "series": series.name,
                "mean": mean,
                "low": _finite(row[f"{series.column}.low"]),
                "high": _finite(row[f"{series.column}.high"]),
                "n": int(row["cells"]),
            }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _kinds(runs: Sequence[Run]) -> Iterator[_Kind]:
    """Every figure there could be, in the order of the page."""
    columns = {column: None for run in runs for column in run.summary.columns}
    colours = agent_colours(runs)
    agents = dict.fromkeys((agent.name, agent.id) for run in runs for agent in run.experiment.agents)

    def by_agent(figure: str) -> tuple[Series, ...]:
        return tuple(Series(name, f"{figure}.{agent}", colours[name]) for name, agent in agents)

    yield from _mentions(by_agent("mention_rate"))
    yield from _payments(runs, by_agent, _middles(columns, "payment.", [agent for _, agent in agents]))
    yield from _welfare(runs)
    yield from _candidates()
    chapter = ("How far each agent is from the text", "Distance between what an agent would say and what is said.")
    divergences = (
        ("tv", "total variation", ""),
        ("kl", "forward KL", ", nats"),
        ("reverse_kl", "reverse KL", ", nats"),
    )
    alphabets = dict.fromkeys(run.experiment.auction.alphabet for run in runs)
    symbols = " or ".join(dict.fromkeys(run.experiment.auction.symbol for run in runs))
    for name, words, unit in divergences:
        yield _Kind(name, *chapter, words, f"{words}, mean per {symbols}{unit}", by_agent(name))
    whole = "reverse KL, whole text"
    yield _Kind("reverse_kl_sum", *chapter, whole, "reverse KL, sum over a text, nats", by_agent("reverse_kl_sum"))
    chapter = ("Whose model explains the text", "Posterior weight of each agent’s model, given the bids and the text.")
    yield _Kind("posterior", *chapter, "", "posterior weight", by_agent("posterior"), True)
    chapter = (
        "How likely the text is to each agent",
        "Log-probability of the whole text under each agent’s own model.",
    )
    yield _Kind("log_prob", *chapter, "log-probability", "log-probability, nats", by_agent("log_prob"), False, False)
    beyond = "log-probability beyond the reference’s, nats"
    yield _Kind("log_ratio", *chapter, "beyond the reference", beyond, by_agent("log_ratio"))
    chapter = ("How likely the text is to the reference", "Log-probability under a model that never bids.")
    unit = f"log-probability, mean per {symbols}, nats"
    yield _Kind("quality", *chapter, "", unit, (Series("quality", "quality", INK),), False, False)
    drawn = " or ".join(alphabets)
    question = f"{drawn.capitalize()} drawn for a text."
    length = (Series(drawn, "tokens", INK),)
    yield _Kind("tokens", "How long the texts are", question, "", drawn, length, False, False)


def _welfare(runs: Sequence[Run]) -> Iterator[_Kind]:
    """Welfare, and as a share of the optimum where a rule falls short of it."""
    chapter = "How good the compromise is"
    question = (
        "Welfare of a text: the sum of bid times how much each agent likes it, by the rule’s own measure. 0 is best."
    )
    if any(run.experiment.auction.others for run in runs):
        question = "Welfare of a text, by each mechanism’s own measure, or by one for all: bids times log-probability."
    unit = "welfare per text, bids × nats"
    yield _Kind("welfare", chapter, question, "welfare", unit, (Series("welfare", "welfare", INK),), False, False)
    common = "common welfare per text, bids × nats"
    series = (Series("common welfare", "common_welfare", INK),)
    yield _Kind("common_welfare", chapter, question, "in one measure", common, series, False, False)
    shares = [share for run in runs for share in run.summary.get("welfare_share", ())]
    if any(share < 1 - 1e-9 for share in shares):
        unit = "share of the optimal welfare"
        question = "How near the rule comes to the best aggregate for the bids: 100 % is the optimum."
        series = (Series("welfare", "welfare_share", INK),)
        yield _Kind("welfare_share", chapter, question, "share of the optimum", unit, series, True, False)


def _candidates() -> Iterator[_Kind]:
    """How many candidates count, of mechanisms that choose among them."""
    question = "Effective sample size: how many candidates of equal chance the choice is worth. Below 5 it is rough."
    yield _Kind("ess", "How many candidates count", question, "", "candidates", (Series("candidates", "ess", INK),))


def _mentions(agents: tuple[Series, ...]) -> Iterator[_Kind]:
    all_of_them = "both in one text" if len(agents) == 2 else "all in one text"
    together = (Series(all_of_them, "co_mention_rate", INK),) if len(agents) > 1 else ()
    blends = (Series("a blend of two names", "blend_rate", 3),)
    question = "Share of the texts that name each agent."
    yield _Kind("mention_rate", "Who is mentioned", question, "", "share of texts", agents + together + blends, True)


def _payments(
    runs: Sequence[Run], by_agent: Callable[[str], tuple[Series, ...]], rules: Sequence[str]
) -> Iterator[_Kind]:
    chapter = ("What they pay", "Mean payment of each agent for a text.")
    for rule in rules:
        yield _Kind(
            f"payment.{rule}",
            *chapter,
            label(rule),
            "payment per text, in units of the bids",
            by_agent(f"payment.{rule}"),
        )
    revenues = [Series(label(rule), f"revenue.{rule}", k + 2) for k, rule in enumerate(rules)]
    named = {rule for run in runs for rule in payments_of(run.experiment)}
    main = tuple(series for series, rule in zip(revenues, rules, strict=True) if rule in named)
    chapter = ("What the seller earns", "Mean revenue for a text, by payment rule.")
    unit = "revenue per text, in units of the bids"
    if len(main) > 1:
        yield _Kind("revenue", *chapter, "all rules", unit, main)
    for rule, series in zip(rules, revenues, strict=True):
        yield _Kind(f"revenue.{rule}", *chapter, label(rule), unit, (series,))
    ratio = f"revenue_per_{BYTES}_bytes"
    per_bytes = tuple(replace(series, column=series.column.replace("revenue", ratio, 1)) for series in main)
    unit = f"revenue per {BYTES:,} bytes, in units of the bids"
    if main:
        yield _Kind(ratio, *chapter, f"per {BYTES:,} bytes", unit, per_bytes)


def _middles(columns: dict[str, None], prefix: str, agents: Sequence[str]) -> list[str]:
    """What stands between a prefix and an agent's id, each once: the names of rules may contain dots."""
    found: dict[str, None] = {}
    for column in columns:
        for agent in agents:
            if column.startswith(prefix) and column.endswith(f".{agent}"):
                found[column[len(prefix) : -len(agent) - 1]] = None
    return list(found)


def colour(index: int) -> str:
    """The colour of the k-th agent or rule on white."""
    return INK_COLOUR if index == INK else COLOURS[index % len(COLOURS)]


def css_variable(index: int) -> str:
    """The same as the page names it."""
    return "var(--ink)" if index == INK else f"var(--c{index % len(COLOURS)})"


def shape(index: int) -> str:
    """The mark of the k-th series."""
    return "circle" if index == INK else SHAPES[index % len(SHAPES)]
