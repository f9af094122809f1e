"""Records as a run writes them, for tests that need no run."""

from __future__ import annotations


def a_record(cell: str, **columns: object) -> dict[str, object]:
    """Of a text that is written."""
    head = {"cell": cell, "query": "", "aggregation": "linear", "point": 0, "relative_weight": 0.5, "seed": 0}
    text = {"sampling": "stable", "text": "x", "tokens": 1, "end_reason": "length", "bid.a": 1.0, "token_ids": [5]}
    return head | text | columns


def a_trace(*pieces: str) -> dict[str, object]:
    """Of one agent."""
    row = [-0.5] * len(pieces)
    return {"pieces": list(pieces), "log_p": [row], "log_q": row, "posterior": [row], "payments": {"vcg": [row]}}
