"""Any value at any place of an experiment: it is read, or every mistake is told; nothing else happens.

`make soak` tries thousands.
"""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from typing import Any

import pytest
from any_value import CHANGES, DELETED, places
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokenauction_cli.analysis.expectations import figure_names
from tokenauction_cli.engine.plan import n_cells
from tokenauction_cli.engine.rules import Rules
from tokenauction_cli.experiment.from_mapping import experiment_from
from tokenauction_cli.experiment.reader import read_experiment
from tokenauction_cli.system.errors import UsageError

TABLE = {"": {"Alpha": 0.5, "b": 0.5}, "*": {"b": 0.7, "<end>": 0.3}}
BASE: dict[str, Any] = {
    "name": "base",
    "seed": 3,
    "queries": [{"query": "sun", "place": "x", "bid.Alpha": 2}, {"query": "sea", "place": "y"}],
    "agents": [
        {"name": "Alpha", "id": "alpha", "distributions": TABLE, "bid": 2, "mentions": ["Alpha"]},
        {"name": "Beta", "distribution": {"Beta": 0.5, "<end>": 0.5}, "temperature": 0.5},
    ],
    "reference": {"distribution": {"Alpha": 0.2, "b": 0.8}},
    "auction": {
        "mechanism": ["token_auction", "mosaic", "segment"],
        "mosaic": {"candidates": 3, "tau": 1, "score": "log_ratio"},
        "segment": {"unit": "token", "segments": 2, "relevance": {"alpha": 1}},
        "aggregation": ["linear", "log_linear"],
        "payments": ["second_price", "vcg"],
        "max_tokens": 3,
        "stop": ["x"],
        "trace": "top_k",
    },
    "sweep": {"agent": "alpha", "relative_weight": {"from": 0, "to": 1, "step": 0.5}, "seeds": [1, 2]},
    "runtime": {"device": "cpu", "threads": 1, "batch": 4},
    "expect": [{"text": {"contains": "Alpha"}, "at": {"relative_weight": 1}, "share": 0.5}],
    "audit": {"texts": {"value": {"alpha": {"mention": 2}}, "bids": [0, 1, 2]}},
    "blends": True,
    "trust": [],
}
MODELS: dict[str, Any] = {
    "name": "models",
    "models": {"small": "a.gguf"},
    "agents": [
        {"name": "A", "model": "small", "chat": {"system": "s", "user": "u {{ query }}"}},
        {"name": "B", "model": "hf:a/b:Q4", "prompt": "{% if query %}{{ query|upper }}{% endif %}", "bid": 0},
        {"name": "C", "model": "small", "messages": [{"role": "user", "content": "x"}], "reference": True},
    ],
    "queries": ["a", "b"],
    "auction": {"alphabet": "bytes", "max_bytes": 9, "covering": {"open": 0.1, "merge": 0.1}},
    "sweep": {"bids": [{"A": 1, "B": 2}], "seeds": 3},
}

MARKET: dict[str, Any] = {
    "name": "market",
    "queries": [{"query": "a", "value.Alpha": 2, "weight": "1", "time": "2026-05-01"}],
    "agents": [{"name": "Alpha", "distribution": {"a": 1}}, {"name": "Beta", "distribution": {"b": 1}}],
    "sweep": {"grid": {"Alpha": [0, 1], "Beta": [0, 2]}},
    "market": {
        "values": {"Alpha": {"mention": "value.Alpha"}, "Beta": {"judge": {"quality": 1}}},
        "policies": {"Alpha": {"fixed": 1}, "Beta": "pacing"},
        "budgets": {"Beta": {"per_day": 3}},
        "rounds": 5,
        "draw": "weight",
        "payments": ["pay_your_bid"],
        "reserves": [0, 1],
    },
}


def read(data: Any) -> None:
    """As a file, and as a dict."""
    with suppress(UsageError):
        read_experiment(json.dumps(data).encode(), "e.yaml", (), (), figure_names)
    with suppress(UsageError):
        experiment = experiment_from(data, (), (), figure_names)
        assert n_cells(experiment) >= 0
        Rules.of(experiment)


@pytest.mark.parametrize("n_examples", [150, pytest.param(20_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("base", [BASE, MODELS, MARKET], ids=["tables", "models", "market"])
def test_any_value_at_any_place(base: dict[str, Any], n_examples: int) -> None:
    @settings(max_examples=n_examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(path=st.sampled_from(list(places(base))), value=CHANGES)
    def holds(path: tuple[Any, ...], value: Any) -> None:
        data = copy.deepcopy(base)
        here: Any = data
        for step in path[:-1]:
            here = here[step]
        if value is DELETED:
            del here[path[-1]]
        else:
            here[path[-1]] = value
        read(data)

    holds()


@pytest.mark.parametrize("base", [BASE, MODELS, MARKET], ids=["tables", "models", "market"])
def test_the_bases_are_valid(base: dict[str, Any]) -> None:
    assert n_cells(experiment_from(base, (), (), figure_names)) > 0


def test_half_a_sign_is_no_key() -> None:
    data = {"name": "x", "agents": [{"name": "A", "distribution": {"\udc80": 1}}]}
    with pytest.raises(UsageError, match="a key must be text"):
        experiment_from(data)
