"""What an audit of whole texts found, as three tidy frames, as tables and in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any

from ...audits.texts.text_audit_rows import TextAuditRows, bids_left_out, few_seeds, rough
from ...experiment.experiment import Experiment
from ...experiment.resolved.text_audit import HONEST
from ...mechanism.registry import label
from ...mechanism.whole_texts.finding import BY_SEEDS, Deviation, Equilibrium, Step
from ...statistics.intervals import Estimate
from ...system.wording import counted, sentence
from ..frames.mechanism_names import keys_of
from .tables import Table, grouped, shown

if TYPE_CHECKING:
    import pandas as pd

_RENAMED = {
    "low": "gain.low",
    "high": "gain.high",
    "regret_high": "regret.high",
    **{
        f"{figure}_{place}": f"{figure}.{place}"
        for figure in ("welfare", "revenue")
        for place in ("truth", "equilibrium", "best")
    },
    "relative_weight_best": "relative_weight.best",
}
_PER_AGENT = {"bids": "bid", "values": "value"}
WORTH = {
    "mention": "a mention",
    "count": "every mention",
    "log_ratio": "a nat of log-likelihood beyond the reference",
    "reverse_kl": "a nat of reverse KL less",
    "tv": "a unit of total variation less",
    "judge": "the judge's yes",
}


def text_audit_frames(experiment: Experiment, found: TextAuditRows) -> dict[str, pd.DataFrame]:
    """By file: a row per deviation, per equilibrium, and per reply. `aggregation` names mechanisms too."""
    return {
        "text_audit.csv": _frame(experiment, Deviation, found.deviations),
        "text_equilibrium.csv": _frame(experiment, Equilibrium, found.equilibria),
        "text_dynamics.csv": _frame(experiment, Step, found.steps),
    }


def _frame(experiment: Experiment, kind: type[Any], rows: Sequence[Any]) -> pd.DataFrame:
    """A dataclass as a row, what it has by agent as a column for each; without rows the columns alone."""
    import pandas as pd

    ids = [agent.id for agent in experiment.agents]
    nothing = {field.name: ("",) * len(ids) for field in fields(kind)}
    columns = [name for name, _ in _cells(ids, nothing)]
    return pd.DataFrame([dict(_cells(ids, asdict(row))) for row in rows], columns=columns)


def _cells(ids: Sequence[str], row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if name in _PER_AGENT:
            yield from ((f"{_PER_AGENT[name]}.{agent}", one) for agent, one in zip(ids, value, strict=True))
        else:
            yield _RENAMED.get(name, name), value


def text_audit_tables(experiment: Experiment, found: TextAuditRows) -> list[Table]:
    """What the best deviations gain, a table per aggregation rule, and where best responses lead."""
    deviations = grouped(found.deviations, lambda row: row.aggregation)
    equilibria = grouped(found.equilibria, lambda row: row.aggregation)
    tables = [_deviations(experiment, *of_rule) for of_rule in deviations.items()]
    return [*tables, *(_equilibria(experiment, *of_rule) for of_rule in equilibria.items())]


def _deviations(experiment: Experiment, rule: str, rows: Sequence[Deviation]) -> Table:
    names, groups = {agent.id: agent.name for agent in experiment.agents}, groups_of(rows)
    table = Table(
        f"{label(rule)}: what the best bid or report for a whole text gains over truth",
        ("agent", "utility", "value", "at truth", "best", "gain", _regret_head(rows)),
        tuple(_best_row(names, group) for group in groups),
        n_heads=2,
        name="text_regret",
        keys=keys_of(experiment, rule),
        notes=tuple(cautions(experiment, rows)),
    )
    return _with_payments(table, [group[0] for group in groups])


def _regret_head(rows: Sequence[Deviation | Equilibrium]) -> str:
    """Estimates are bounded on the grid; of enumerated texts a best bid is searched for, and gains at least so much."""
    return "regret at most" if any(row.method == BY_SEEDS for row in rows) else "regret at least"


def _with_payments(table: Table, rows: Sequence[Deviation | Equilibrium]) -> Table:
    """The table of one rule with its payments in front: without that of a mechanism, which has the mechanism's name."""
    if all(row.payment == row.aggregation for row in rows):
        return table
    told = tuple((label(row.payment), *cells) for row, cells in zip(rows, table.rows, strict=True))
    return replace(table, columns=("payment", *table.columns), rows=told, n_heads=table.n_heads + 1)


def groups_of(rows: Sequence[Deviation]) -> list[list[Deviation]]:
    """The deviations of each payment, agent and utility."""
    return list(grouped(rows, lambda row: (row.aggregation, row.payment, row.agent, row.utility)).values())


def _best_row(names: dict[str, str], group: Sequence[Deviation]) -> tuple[Any, ...]:
    best, truth = best_of(group), truth_of(group)
    gain = Estimate(best.gain, best.low, best.high) if best.method == BY_SEEDS else best.gain
    return (
        names[best.agent],
        best.utility,
        best.value,
        truth.mean_utility,
        deviation_in_words(best),
        gain,
        regret_at_most(group),
    )


def best_of(group: Sequence[Deviation]) -> Deviation:
    """Of the deviations that were tried."""
    return next(row for row in group if row.best == "tried")


def truth_of(group: Sequence[Deviation]) -> Deviation:
    return next(row for row in group if row.report == HONEST and row.bid == row.value)


def regret_at_most(group: Sequence[Deviation]) -> float:
    """No deviation of the grid gains more, exactly or with 97.5 %."""
    return max(0.0, *(row.high for row in group if row.bid is not None))


def deviation_in_words(row: Deviation) -> str:
    if row.bid is None:
        return "a bid for every prefix"
    bid = f"bid {shown(row.bid)}"
    if row.report != HONEST:
        return f"{bid}, {row.report}"
    return "truth" if row.bid == row.value else bid


def cautions(experiment: Experiment, rows: Sequence[Deviation]) -> Iterator[str]:
    """What a reader of these numbers must know."""
    if any(row.method == BY_SEEDS for row in rows):
        yield "Bounds hold for all deviations of a row together, with 95 %: regret is at most this on this grid."
        yield from (sentence(words) for words in (*few_seeds(experiment), *rough(experiment)))
    if not experiment.audits_texts:
        yield "The file has no audit.texts, so each agent values a mention at its own bid."
    yield from (sentence(words) for words in bids_left_out(experiment))


def _equilibria(experiment: Experiment, rule: str, rows: Sequence[Equilibrium]) -> Table:
    bids = [f"{agent.name} bids" for agent in experiment.agents]
    welfare = "welfare at truth", "welfare there", "best welfare"
    table = Table(
        f"{label(rule)}: where best replies lead",
        ("utility", "ends as", *bids, _regret_head(rows), *welfare, "revenue at truth", "revenue there"),
        tuple(
            (
                row.utility,
                row.outcome,
                *row.bids,
                row.regret_high,
                row.welfare_truth,
                row.welfare_equilibrium,
                row.welfare_best,
                row.revenue_truth,
                row.revenue_equilibrium,
            )
            for row in rows
        ),
        n_heads=2,
        name="text_equilibrium",
        keys=keys_of(experiment, rule),
    )
    return _with_payments(table, rows)


def text_audit_paragraphs(experiment: Experiment, found: TextAuditRows) -> list[str]:
    """`text_audit.txt`: for each rule and payment a line per finding, and at the end what they do not say."""
    by_rule: dict[tuple[str, str], list[str]] = {}
    for group in groups_of(found.deviations):
        key = group[0].aggregation, group[0].payment
        by_rule.setdefault(key, []).append(_of_group(experiment, group))
    for row in found.equilibria:
        by_rule.setdefault((row.aggregation, row.payment), []).append(_of_equilibrium(experiment, row))
    said = ["\n".join([f"{rules_label(*rules)}:", *lines]) for rules, lines in by_rule.items()]
    return [*said, " ".join([*cautions(experiment, found.deviations), _LIMITS])]


def text_verdict(experiment: Experiment, found: TextAuditRows) -> list[str]:
    """The same in a few lines: what the best deviation of any agent gains for each rule and payment."""
    groups = grouped(found.deviations, lambda row: (row.aggregation, row.payment))
    said = [f"{rules_label(*rules)}: {_most_gained(experiment, groups_of(rows))}" for rules, rows in groups.items()]
    how = "a sample of texts" if any(row.method == BY_SEEDS for row in found.deviations) else "all texts"
    head = f"What the best other bid or report for a whole text gains over truth ({how}):"
    return [head, *said, *cautions(experiment, found.deviations)]


def _most_gained(experiment: Experiment, groups: Sequence[Sequence[Deviation]]) -> str:
    """Of the agents and utilities the one with the largest gain that is sure."""
    group = max(groups, key=lambda rows: (best_of(rows).low, best_of(rows).gain))
    best, at_most = best_of(group), max(map(regret_at_most, groups))
    name = next(agent.name for agent in experiment.agents if agent.id == best.agent)
    is_exact = best.method != BY_SEEDS
    if best.low <= 0 or shown(best.gain) == "0":
        return (
            "no other bid or report gains." if is_exact else f"none is known to gain; at most {shown(at_most)} (95 %)."
        )
    sure = "" if is_exact else f", at least {shown(best.low)} and at most {shown(at_most)} (95 %)"
    return f"{name} gains {shown(best.gain)} by {deviation_in_words(best)}{sure} (utility {best.utility})."


def rules_label(rule: str, payment: str) -> str:
    """A rule and a payment; a mechanism has one payment, of its own name."""
    return label(rule) if payment == rule else f"{label(rule)}, {label(payment)}"


_LIMITS = (
    "This is about these agents, prompts, bids and reports, and about bids that stay the same for a whole text unless "
    "a line says otherwise; it is no proof that nothing else gains. A value is of a whole text and a bid of the token "
    "auction is per token: truth bids the one number as the other."
)


def _of_group(experiment: Experiment, group: Sequence[Deviation]) -> str:
    name = next(agent.name for agent in experiment.agents if agent.id == group[0].agent)
    truth = truth_of(group)
    worth = f"{WORTH[truth.utility]} is worth {shown(truth.value)}"
    head = f"{name}, to whom {worth}, gets {shown(truth.mean_utility)} by truth."
    return f"{head} {_bounded(group) if truth.method == BY_SEEDS else _known(group)}"


def _known(group: Sequence[Deviation]) -> str:
    """What gains, where that is exact: the best of the grid, the best constant bid, the best bid for every prefix."""
    told = [best_of(group), *(row for row in group if row.best in ("constant", "every_prefix"))]
    gains = {deviation_in_words(row): f"gains {shown(row.gain)}" for row in told if row.gain > 0}
    return sentence("; ".join(map(" ".join, gains.items()))) if gains else "Nothing gains: truth is best."


def _bounded(group: Sequence[Deviation]) -> str:
    """The two-sided statement of all deviations together."""
    at_least, at_most, n = max(row.low for row in group), shown(regret_at_most(group)), len(group) - 1
    if not n:
        return "Nothing else was tried."
    if at_least > 0:
        best = deviation_in_words(best_of(group))
        return (
            f"Of {n} deviations {best} is best: one gains at least {shown(at_least)}, none more than {at_most} (95 %)."
        )
    return f"None of {n} deviations is known to gain: regret at most {at_most} (95 %) on this grid."


_ENDS = {
    "equilibrium": "end at",
    "cycle": "go round in a cycle, which comes by",
    "supremum": "end where a best bid is approached and never attained, at",
    "unfinished": "do not settle; they are by then at",
}


def _of_equilibrium(experiment: Experiment, row: Equilibrium) -> str:
    bids = ", ".join(f"{agent.name} {shown(bid)}" for agent, bid in zip(experiment.agents, row.bids, strict=True))
    rounds = counted(row.rounds, "round")
    anarchy = "" if row.price_of_anarchy is None else f" (price of anarchy {shown(row.price_of_anarchy)})"
    return (
        f"Best replies for {row.utility} {_ENDS[row.outcome]} {bids}, after {rounds}: {_regret_there(row)}. "
        f"Welfare is {shown(row.welfare_truth)} at truth, {shown(row.welfare_equilibrium)} there and "
        f"{shown(row.welfare_best)} at the best weight{anarchy}; revenue is {shown(row.revenue_truth)} at truth, "
        f"{shown(row.revenue_equilibrium)} there."
    )


def _regret_there(row: Equilibrium) -> str:
    sure = " of the grid (95 %)" if row.method == BY_SEEDS else " that was searched"
    if shown(row.regret_high) == "0":
        return f"nobody gains there by another bid{sure}"
    return f"nobody gains there more than {shown(row.regret_high)} by another bid{sure}"
