"""Samples of rows: how many of each part, from how many, and which."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenauction_cli.experiment.rows.sample import LogRow, SampleError, sampled, shared


def rows(parts: list[str]) -> list[LogRow]:
    return [LogRow(k, {"query": str(k), "part": part}) for k, part in enumerate(parts, 2)]


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=40), st.integers(1, 40), st.integers(0, 5))
def test_laws(parts: list[str], n: int, seed: int) -> None:
    """n rows, each once, in the order of the file; each part within one row of its proportion; one seed, one sample."""
    log = rows(parts)
    if n > len(parts):
        with pytest.raises(SampleError, match="as many as the sample has"):
            sampled(log, n, seed, "part")
        return
    found = sampled(iter(log), n, seed, "part")
    assert [row.line for row in found] == sorted({row.line for row in found})
    counts = Counter(row.cells["part"] for row in found)
    assert counts.total() == n
    assert all(abs(counts[part] - n * count / len(parts)) < 1 for part, count in Counter(parts).items())
    assert found == sampled(log, n, seed, "part")
    assert len(sampled(log, n, seed, None)) == n


def test_every_row_is_as_likely() -> None:
    """Of 4 rows 2 are drawn: in 400 samples each row is there 200 times, give or take 4 standard deviations."""
    counts = Counter(row.line for seed in range(400) for row in sampled(rows(list("aabb")), 2, seed, None))
    assert all(abs(counts[line] - 200) < 40 for line in range(2, 6))


def test_parts_by_largest_remainder() -> None:
    assert shared(10, Counter(a=5, b=3, c=1)) == {"a": 6, "b": 3, "c": 1}


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenauction_cli.experiment.rows.sample.MAX_ROWS", 2)
    monkeypatch.setattr("tokenauction_cli.experiment.rows.sample.MAX_PARTS", 2)
    with pytest.raises(SampleError, match="more than 2 rows; draw some of them, as in sample: 1000"):
        sampled(rows(list("abc")), None, 0, None)
    with pytest.raises(SampleError, match="the column 'part' has more than 2 values"):
        sampled(rows(list("abc")), 1, 0, "part")
