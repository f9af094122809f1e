"""Any JSON value at any place of data, for tests that nothing breaks what reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        yield (*path, step)
        yield from places(inner, (*path, step))


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([-1, 0, 2**31, 2**63, 10**400, 1e308, -1e308, 5e-324, float("nan"), float("inf"), 0.1, 1.0])
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["inf", "-inf", "\ud800", "", "failed", "end", "a" * 300, "\x1b[2J", "linear", "/dev/zero", ".."])
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner))
DELETED = "deleted"
CHANGES = VALUES | st.just(DELETED)
