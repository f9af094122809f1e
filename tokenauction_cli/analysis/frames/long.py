"""A run's cells in long form, for plots and regressions: columns per agent and payment rule become rows.

`cells.csv` has a column `payment.<rule>.<agent>`; here `agent`, `payment_rule` and `payment` are columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...experiment.experiment import Experiment

if TYPE_CHECKING:
    import pandas as pd

_PAYMENT, _REVENUE = "payment.", "revenue."
_ONE_LIST = ("switch", "dictator", "bytes", "contested", "candidates")


def long_frame(experiment: Experiment, cells: pd.DataFrame) -> pd.DataFrame:
    """One row per cell, agent and payment rule, in the order of the experiment.

    What the agent's columns hold keeps its name (`bid`, `weight`, `mentions`, `log_prob`, `tv`, ...). What holds for
    the whole text is repeated: the log-probability of the text under the aggregate is `text_log_prob`. Without
    payment rules there is one row per cell and agent, and `payment_rule` is empty.
    """
    import pandas as pd

    ids = [agent.id for agent in experiment.agents]
    rules = payment_rules(cells, ids[0])
    of_agent = {i: [c for c in cells.columns if c.endswith(f".{i}") and not c.startswith(_PAYMENT)] for i in ids}
    per_agent = {column for columns in of_agent.values() for column in columns}
    of_text = [c for c in cells.columns if c not in per_agent and not c.startswith((_PAYMENT, _REVENUE))]
    text = cells[of_text].rename(columns={"log_prob": "text_log_prob"})
    parts = []
    for number, agent in enumerate(ids):
        own = cells[of_agent[agent]].rename(columns={c: c.removesuffix(f".{agent}") for c in of_agent[agent]})
        for k, rule in enumerate(rules or [None]):
            part = pd.concat([text, own], axis=1)
            part.insert(0, "agent", agent)
            part["payment_rule"] = rule
            part["payment"] = float("nan") if rule is None else cells[f"{_PAYMENT}{rule}.{agent}"]
            part["revenue"] = cells[f"{_REVENUE}{rule}"] if f"{_REVENUE}{rule}" in cells else float("nan")
            parts.append(part.assign(_order=range(len(part)), _agent=number, _rule=k))
    order = ["_order", "_agent", "_rule"]
    long = pd.concat(parts).sort_values(order, kind="stable").drop(columns=order).reset_index(drop=True)
    return long[["cell", "agent", "payment_rule", *(c for c in long if c not in ("cell", "agent", "payment_rule"))]]


def payment_rules(cells: pd.DataFrame, agent: str) -> list[str]:
    """What stands between `payment.` and an agent's id; a rule may have several columns."""
    end = f".{agent}"
    columns = (c for c in cells.columns if c.startswith(_PAYMENT) and c.endswith(end))
    return [column.removeprefix(_PAYMENT).removesuffix(end) for column in columns]


def trace_frame(experiment: Experiment, trace: Mapping[str, Any]) -> pd.DataFrame:
    """A trace with one row per entry: `piece`, `log_q`, and per agent `log_p.A`, `posterior.A`, `payment.R.A`.

    `switch`, `dictator`, `candidates`, and of words `bytes` and `contested` (`words.py`), are columns where the trace
    has them.
    """
    import pandas as pd

    ids = [agent.id for agent in experiment.agents]
    columns: dict[str, Any] = {"piece": trace["pieces"], "log_q": trace["log_q"]}
    lists = {"log_p": trace["log_p"], "posterior": trace["posterior"]}
    lists |= {f"{_PAYMENT}{rule}": amounts for rule, amounts in trace["payments"].items()}
    for name, rows in lists.items():
        columns |= {f"{name}.{agent}": row for agent, row in zip(ids, rows, strict=False)}
    columns |= {name: trace[name] for name in _ONE_LIST if name in trace}
    frame = pd.DataFrame(columns)
    frame.index.name = "position"
    return frame
