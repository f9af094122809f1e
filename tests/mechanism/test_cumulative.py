"""The inverse of a cumulative distribution in blocks against one pass of cumulative sums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenauction_cli.mechanism.cumulative import BLOCK, block_sums, quantile


def in_one_pass(p: np.ndarray, u: float) -> int:
    sums = np.cumsum(p)
    return int(np.searchsorted(sums, u * sums[-1], side="right"))


@given(st.integers(1, 3 * BLOCK), st.integers(0, 2**32 - 1), st.floats(0, 1, exclude_max=True))
def test_blocks_find_the_token_of_one_pass_up_to_rounding(n_tokens: int, seed: int, u: float) -> None:
    rng = np.random.default_rng(seed)
    p = rng.random(n_tokens) * (rng.random(n_tokens) < 0.3)
    p[rng.integers(n_tokens)] = 0.5
    token = quantile(p, block_sums(p), u)
    assert p[token] > 0
    sums = np.cumsum(p)
    assert sums[token] >= u * sums[-1] - 1e-12
    assert sums[token] - p[token] <= u * sums[-1] + 1e-12


@pytest.mark.parametrize("u", [0.0, 0.25, 0.5, 0.75, 0.999])
def test_dyadic_numbers_leave_no_rounding(u: float) -> None:
    p = np.zeros(1000)
    p[[3, 255, 256, 999]] = 0.25
    assert quantile(p, block_sums(p), u) == in_one_pass(p, u)


def test_a_slice_is_enough() -> None:
    p = np.random.default_rng(0).random(1000)
    asked: list[slice] = []

    def part(tokens: slice) -> np.ndarray:
        asked.append(tokens)
        return p[tokens]

    assert quantile(part, block_sums(p), 0.4) == in_one_pass(p, 0.4)
    assert len(asked) == 1


def test_nothing_to_draw_from_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        quantile(np.zeros(4), np.zeros(1), 0.5)
