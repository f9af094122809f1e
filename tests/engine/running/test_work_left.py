"""How much of a run is done: small trees that one can count, and what an estimate must never say."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from conftest import Reader
from hypothesis import given
from hypothesis import strategies as st

from tokenauction_cli.engine.loop.auctioneer import Auctioneer
from tokenauction_cli.engine.loop.token_loop import PromptSet, TokenLoop
from tokenauction_cli.engine.models.prepare import prepare
from tokenauction_cli.engine.plan import Cell, Plan
from tokenauction_cli.engine.rules import Rules
from tokenauction_cli.engine.run import plan_for
from tokenauction_cli.engine.running.work_left import WorkLeft
from tokenauction_cli.experiment.resolved.mechanism_choice import TokenAuction


def work(n_cells: int, most_tokens: int, n_prompt_tokens: int = 0) -> WorkLeft:
    """One query, whose prompt is so long."""
    prompts = (SimpleNamespace(tokens=range(n_prompt_tokens)),)
    cells = tuple(Cell("", TokenAuction("linear"), 0, None, (1.0,), seed) for seed in range(n_cells))
    return WorkLeft(Plan((cells,), 4, whole_waves=False), {"": PromptSet(prompts, (0,))}, most_tokens)


def test_one_text_may_end_anywhere() -> None:
    """Of 4 tokens at most, half is left on average: 1 + 3/4 (1 + 2/3 (1 + 1/2)) = 5/2."""
    alone = work(1, 4)
    assert alone.left() == pytest.approx(2.5)
    alone.heard(0, [1], [1])
    assert alone.left() == pytest.approx(2.0)
    alone.heard(1, [1], [])
    assert (alone.left(), alone.share) == (0, 1)


def test_a_prompt_counts_as_its_tokens() -> None:
    one = work(1, 1, n_prompt_tokens=50)
    assert one.left() == pytest.approx(50)
    one.heard(0, [1], [])
    assert (one.left(), one.share) == (0, 1)


def test_what_groups_did_is_what_is_expected() -> None:
    """Of two cells that part at once and end with their third token, the others' cost is known after the first."""
    pairs = work(2, 100)
    pairs.heard(0, [2], [1, 1])
    for position in (1, 2):
        pairs.heard(position, [1], [1] if position == 1 else [])
    assert pairs.left() == pytest.approx(2)
    assert pairs.share == pytest.approx(3 / 5)


@given(st.integers(1, 5000), st.integers(1, 300))
def test_an_estimate_lies_between_sharing_all_and_nothing(n_cells: int, most_tokens: int) -> None:
    assert 1 <= work(n_cells, most_tokens).left() <= 2**0.5 * n_cells * most_tokens  # the next power of two counts


TREE = """
name: t
agents:
  - {name: A, distribution: {x: 0.6, y: 0.3, <end>: 0.1}}
  - {name: B, distribution: {x: 0.2, y: 0.6, <end>: 0.2}}
auction: {max_tokens: 20, sampling: inverse_cdf}
sweep: {relative_weight: [0, 0.5, 1], seeds: 100}
"""


def test_it_is_about_right_from_early_on(read: Reader) -> None:
    """Within a factor of two of the truth once a fifth is done."""
    experiment = read(TREE)
    bidders = prepare(experiment)
    plan = plan_for(experiment, bidders)
    work = WorkLeft(plan, bidders.prompt_sets, 20)
    said: list[tuple[int, float]] = []
    with bidders.loaded(4) as model:
        loop = TokenLoop(
            model, Auctioneer(experiment, Rules.of(experiment), model.vocabulary), bidders.prompt_sets, work.heard
        )
        for wave in plan.waves:
            for _ in loop.run(wave, 4):
                said.append((loop.n_evaluations, work.left()))
    total = said[-1][0]
    late = [(total - done, left) for done, left in said if total / 5 < done < 0.95 * total]
    assert len(late) > 20
    assert all(truth / 2 < 2 * left < truth * 2 for truth, left in late)  # two agents: two evaluations for a group
    assert said[-1][1] == 0
