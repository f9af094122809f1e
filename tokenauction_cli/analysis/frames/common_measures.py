"""What texts of every mechanism are measured by alike, whatever it charges for and maximises itself.

    common_welfare   sum_i b_i (l_i - l_0), without a reference sum_i b_i l_i; whoever bids 0 does not count
    revenue_share    revenue / (units x sum of the bids of those that are charged); units are what is bid for: draws in
                     the token auction, the segments on offer in a segment auction, 1 where bids are for a whole text
    repetition       share of the word 4-grams of a text that occurred before in it; none where it has under 4 words

`revenue` is the mechanism's charged payment; in the token auction `auction.charge`, else the first payment rule that
fits. The columns exist where an experiment has another mechanism than the token auction.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ...experiment.experiment import Experiment
from ...system.arrays import Array

if TYPE_CHECKING:
    import pandas as pd


WORDS = 4  # of what is repeated


def common_measures(experiment: Experiment, cells: pd.DataFrame) -> dict[str, Array]:
    """The columns by name, (n,) each."""
    return {
        "common_welfare": _common_welfare(experiment, cells),
        "revenue_share": _revenue_share(experiment, cells),
        "repetition": np.array([repetition(text) for text in cells["text"]], dtype=float),
    }


def _common_welfare(experiment: Experiment, cells: pd.DataFrame) -> Array:
    measure = "log_prob" if experiment.reference is None else "log_ratio"
    total = np.zeros(len(cells))
    for agent in experiment.agents:
        bids, liked = cells[f"bid.{agent.id}"].to_numpy(dtype=float), numbers(cells, f"{measure}.{agent.id}")
        total += bids * np.where(bids > 0, liked, 0.0)
    return total


def _revenue_share(experiment: Experiment, cells: pd.DataFrame) -> Array:
    charged = [f"bid.{agent.id}" for agent in experiment.agents if not agent.reference]
    bids = cells[charged].to_numpy(dtype=float).sum(axis=1)
    share = np.full(len(cells), np.nan)
    for rule in dict.fromkeys(cells["aggregation"]):
        here = (cells["aggregation"] == rule).to_numpy()
        offered = (bids * _units(experiment, rule, cells))[here]
        revenue = numbers(cells, f"revenue.{charged_payment(experiment, cells, rule)}")[here]
        share[here] = np.divide(revenue, offered, out=np.full(len(offered), np.nan), where=offered > 0)
    return share


def _units(experiment: Experiment, rule: str, cells: pd.DataFrame) -> Array:
    choice = experiment.auction.others.get(rule)
    if choice is None:
        return cells["tokens"].to_numpy(dtype=float)
    return np.full(len(cells), float(choice.settings.get("segments", 1)))


def charged_payment(experiment: Experiment, cells: pd.DataFrame, rule: str) -> str:
    """The column, after `revenue.`, of what is charged under a rule or mechanism; '' where nothing is."""
    auction = experiment.auction
    if rule in experiment.auction.others:
        return rule
    named = [auction.charge] if auction.charge else auction.payments
    of_rule = cells[cells["aggregation"] == rule]
    there = (one for one in named if f"revenue.{one}" in of_rule and of_rule[f"revenue.{one}"].notna().any())
    return next(there, "")


def repetition(text: str) -> float:
    """The share of the 4-grams of words that occurred before in the text."""
    words = text.lower().split()
    grams = list(zip(*(words[k:] for k in range(WORDS)), strict=False))
    return 1 - len(set(grams)) / len(grams) if grams else math.nan


def numbers(cells: pd.DataFrame, column: str) -> Array:
    """A column, NaN where there is none."""
    if column not in cells:
        return np.full(len(cells), np.nan)
    return np.asarray(cells[column].astype("Float64").to_numpy(dtype=float, na_value=np.nan))
