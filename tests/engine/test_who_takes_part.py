"""Who takes part: reserves, budgets, lone bidders and texts that are not sold, against a calculation of its own."""

from __future__ import annotations

import random
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from conftest import Command, Reader
from scipy.integrate import quad
from test_exact_audit import audited
from test_token_loop import write

import tokenauction_cli as tokauction
from tokenauction_cli.experiment.experiment import Experiment
from tokenauction_cli.experiment.resolved.text_audit import TextAudit, Utility
from tokenauction_cli.runs.run_folder import Record

TOKENS = "xyz"
PAYMENTS = ("pay_your_bid", "second_price", "myerson_tv", "pay_bid_times_influence")
Game = dict[str, Any]


def random_game(seed: int) -> Game:
    """Three agents, the third of which may be a reference agent, with one distribution each."""
    draw = random.Random(seed)
    masses = [[draw.uniform(0.05, 1) for _ in TOKENS] for _ in range(3)]
    return {
        "p": [[mass / sum(row) for mass in row] for row in masses],
        "bids": [round(draw.choice((0.1, 0.4, 1.0)) * draw.uniform(0.5, 2), 3) for _ in range(3)],
        "budgets": [draw.choice((None, 0.7, 1.5)) for _ in range(2)] + [None],
        "reserve": draw.choice((0.0, 0.3, 0.8, 1.5)),
        "reference": draw.random() < 0.3,
        "rule": draw.choice(("linear", "random_dictator")),
    }


def text_of(game: Game) -> str:
    """Its file."""
    agents = []
    for i, name in enumerate("ABC"):
        row = ", ".join(f"{token}: {p!r}" for token, p in zip(TOKENS, game["p"][i], strict=True))
        budget = f", budget: {game['budgets'][i]}" if game["budgets"][i] else ""
        reference = ", reference: true" if i == 2 and game["reference"] else ""
        agents.append(f"  - {{name: {name}, bid: {game['bids'][i]}, distribution: {{{row}}}{budget}{reference}}}")
    charge = ", charge: pay_your_bid" if any(game["budgets"]) else ""
    return "\n".join(
        ["name: g", "agents:", *agents,
         f"auction: {{aggregation: {game['rule']}, payments: [{', '.join(PAYMENTS)}], max_tokens: 4, "
         f"reserve: {game['reserve']}{charge}}}", "sweep: {seeds: 2}"]
    )  # fmt: skip


def counting(game: Game, left: list[float]) -> list[float]:
    """The bids that count."""
    return [
        0.0 if spent <= 0 or (bid < game["reserve"] and not (game["reference"] and i == 2)) else bid
        for i, (bid, spent) in enumerate(zip(game["bids"], left, strict=True))
    ]


def mixture(game: Game, shares: list[float]) -> list[float]:
    total = sum(shares)
    return [sum(share * row[t] for share, row in zip(shares, game["p"], strict=True)) / total for t in range(3)]


def expected_payments(game: Game, bids: list[float], i: int) -> dict[str, float]:
    """What agent i pays for a draw in the mean, by integrals over its bid."""
    b, r, p = bids[i], game["reserve"], game["p"][i]
    if b == 0 or (game["reference"] and i == 2):
        return dict.fromkeys(("pay_your_bid", "second_price_expected", "myerson_tv", "pay_bid_times_influence"), 0.0)
    others = [0.0 if j == i else bid for j, bid in enumerate(bids)]
    configured = [0.0 if j == i else bid for j, bid in enumerate(game["bids"])]
    rivals = sum(others)
    o, q = mixture(game, others if rivals else configured), mixture(game, bids)
    far = sum(abs(x - y) for x, y in zip(p, o, strict=True)) / 2
    moved = sum(abs(x - y) for x, y in zip(o, q, strict=True)) / 2
    price = r
    if rivals:  # the agent begins to win a unit of D at z with the density S / (S + z)^2, at the reserve at least
        price = quad(lambda z: max(z, r) * rivals / (rivals + z) ** 2, 0, b, points=[min(r, b)], limit=200)[0]
    per_unit = 1.0 if not rivals or game["rule"] == "random_dictator" else far
    tv = price if not rivals else far * price
    return {
        "pay_your_bid": b,
        "second_price_expected": per_unit * price,
        "myerson_tv": tv,
        "pay_bid_times_influence": b * moved,
    }


def check(game: Game, record: Record) -> None:
    """The record against the text's own tokens: who pays what until when, and why the text ends where it does."""
    left = [budget or float("inf") for budget in game["budgets"]]
    paid: dict[str, list[float]] = {}
    charged = [i for i in range(3) if not (game["reference"] and i == 2)]
    bids, why = counting(game, left), "unsold"
    for position in range(record["tokens"]):
        assert any(bids), "a draw that nobody's bid counts for"
        for i in range(3):
            for name, amount in expected_payments(game, bids, i).items():
                is_charged = name == "pay_your_bid" and any(game["budgets"])
                paid.setdefault(name, [0.0] * 3)[i] += min(amount, left[i]) if is_charged else amount
                if is_charged:
                    left[i] -= min(amount, left[i])
        bids = counting(game, left)
        is_spent = any(game["budgets"]) and min(left) <= 0 and not any(bids[i] for i in charged)
        why = "length" if position == 3 else "budget" if is_spent else "goes on"
        assert (why == "goes on") == (position < record["tokens"] - 1)
    assert record["end_reason"] == why
    assert (why == "unsold") == (not any(counting(game, [1.0] * 3)))
    for name, amounts in paid.items():
        for i, agent in enumerate("abc"):
            assert record[f"payment.{name}.{agent}"] == pytest.approx(amounts[i], abs=1e-8), (name, agent)


def test_random_games_with_reserves_and_budgets(read: Reader) -> None:
    ends = set()
    for seed in range(60):
        game = random_game(seed)
        for record in write(read(text_of(game))).records.values():
            check(game, record)
            ends.add(record["end_reason"])
    assert ends == {"unsold", "budget", "length"}


UNSOLD = """
name: unsold
agents: [{name: Ann, distribution: {a: .9, b: .1}}, {name: Bob, distribution: {a: .1, b: .9}}]
auction: {aggregation: [linear, log_linear], payments: [pay_your_bid, myerson_tv], max_tokens: 2, reserve: 2}
sweep: {bids: [{Ann: 1}, {Ann: 3}], seeds: 2}
"""


@pytest.mark.parametrize("alphabet", ["", "auction.alphabet=bytes", "auction.trace=top_k"])
def test_an_unsold_text_is_an_outcome(tmp_path: Path, in_process: Command, alphabet: str) -> None:
    (tmp_path / "e.yaml").write_text(UNSOLD, "utf-8")
    settings = ["-S", alphabet] if alphabet else []
    settings += ["-S", "auction.max_bytes=2", "-S", "auction.max_tokens=null"] if "bytes" in alphabet else []
    done = in_process("run", str(tmp_path / "e.yaml"), "-q", "-o", str(tmp_path / "r"), *settings)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "r").iterdir()
    run = tokauction.load_run(folder)
    out = run.cells[run.cells["point"] == 0]
    assert list(out["end_reason"]) == ["unsold"] * 4
    for column in ("sold", "tokens", "mentions.ann", "payment.myerson_tv.bob", "revenue.pay_your_bid", "welfare"):
        assert set(out[column]) == {0}, column
    assert out[["tv.ann", "kl.bob", "welfare_share"]].isna().all(axis=None)
    assert set(run.cells.loc[run.cells["point"] == 1, "sold"]) == {1}
    assert list(run.summary["sold"]) == list(run.summary["cells"] / 2 * [0, 1, 0, 1])
    (row,) = run.summary[(run.summary["point"] == 1) & (run.summary["aggregation"] == "linear")].to_dict("records")
    assert (row["revenue.myerson_tv"], row["tokens"]) == (4, 2)  # alone: the reserve, for each of two draws
    assert "[unsold]" in in_process("show", str(folder)).stdout
    dear = in_process("run", str(tmp_path / "e.yaml"), "-q", "-o", str(tmp_path / "r2"), *settings, "-S",
                      "auction.reserve=5")  # fmt: skip
    assert dear.returncode == 0, dear.stderr
    compared = in_process("compare", str(folder), str(next((tmp_path / "r2").iterdir())))
    assert compared.returncode == 0, compared.stderr
    report = in_process("report", str(folder), "--figures", "none")
    assert report.returncode == 0, report.stderr


def test_a_budget_ends_a_text_that_a_reserve_leaves_to_nobody(read: Reader) -> None:
    """Ann has spent hers with the first token, and Bob's bid never counted."""
    text = (
        "name: t\nagents: [{name: Ann, distribution: {a: 1}, bid: 1, budget: 1}, "
        "{name: Bob, distribution: {b: 1}, bid: .1}]\n"
        "auction: {payments: [pay_your_bid], charge: pay_your_bid, max_tokens: 4, reserve: .5}\n"
    )
    record = write(read(text)).only
    assert (record["text"], record["end_reason"], record["payment.pay_your_bid.ann"]) == ("a", "budget", 1)


def test_a_lone_bidder_pays_bid_times_influence_where_that_is_defined(read: Reader) -> None:
    """Ann alone at weight 1: linear and log-linear pools of Bob and Cid, who share no token, so one has none."""
    text = (
        "name: t\nagents: [{name: Ann, distribution: {a: .5, b: .5}, bid: 2}, {name: Bob, distribution: {a: 1}}, "
        "{name: Cid, distribution: {b: 1}}]\n"
        "auction: {aggregation: [linear, log_linear], payments: [pay_bid_times_influence, pay_your_bid], "
        "max_tokens: 1, trace: chosen}\n"
        "sweep: {agent: Ann, relative_weight: [1]}\n"
    )
    linear, log_linear = write(read(text)).records.values()
    assert linear["payment.pay_bid_times_influence.ann"] == 0  # Bob and Cid together say what she does
    assert (log_linear["end_reason"], log_linear["payment.pay_bid_times_influence.ann"]) == ("length", None)
    assert (log_linear["revenue.pay_bid_times_influence"], log_linear["paid_share.ann"]) == (None, None)
    assert log_linear["payment.pay_your_bid.ann"] == 4
    two = text.replace("{a: .5, b: .5}", "{a: .3, b: .7}").replace(", {name: Cid, distribution: {b: 1}}", "")
    for record in write(read(two, "sweep.total_bid=2")).records.values():
        assert record["payment.pay_bid_times_influence.ann"] == pytest.approx(1.4)  # 2 TV(p, o) = 2 x .7


# Audits


def mentioning(read: Reader, reserve: float, bob: float, payment: str, n: int) -> Experiment:
    return read(
        f"name: g\nagents: [{{name: Ann, bid: 2, mentions: [a], distribution: {{a: .9, b: .1}}}}, "
        f"{{name: Bob, bid: {bob}, mentions: [b], distribution: {{a: .2, b: .8}}}}]\n"
        f"auction: {{payments: [{payment}], max_tokens: {n}, reserve: {reserve}}}\n"
    )


def utility(payment: str, bid: float, bob: float, reserve: float, n: int) -> float:
    """Ann's: 2 for a mention of a in a text of n draws, less what she pays in the mean; nothing where none is sold."""
    ann, bob = bid * (bid >= reserve), bob * (bob >= reserve)
    if not ann + bob:
        return 0.0
    a = (ann * 0.9 + bob * 0.2) / (ann + bob)
    says = sum((a ** text.count("a")) * ((1 - a) ** text.count("b")) for text in product("ab", repeat=n) if "a" in text)
    if payment == "pay_your_bid":
        return 2 * says - n * ann
    price = 0.0 if not ann else reserve
    if ann and bob:
        price = 0.7 * quad(lambda z: max(z, reserve) * bob / (bob + z) ** 2, 0, ann, points=[min(reserve, ann)])[0]
    return 2 * says - n * price


@pytest.mark.parametrize("payment", ["second_price", "pay_your_bid"])
@pytest.mark.parametrize(("reserve", "bob", "n"), [(0.5, 0.1, 1), (0.5, 0.1, 3), (0.5, 0.8, 2), (3.0, 0.1, 1)])
def test_the_exact_audit_with_a_reserve(read: Reader, payment: str, reserve: float, bob: float, n: int) -> None:
    """Every bid's utility, and a best one that no bid of a fine grid beats; a bid that sells nothing brings nothing."""
    experiment = mentioning(read, reserve, bob, payment, n)
    rows = audited(experiment, TextAudit({0: (Utility("mention", 2.0),)}, None, (), 200, (2.0, bob))).deviations
    for row in rows:
        if row.bid is not None:
            assert row.mean_utility == pytest.approx(utility(payment, row.bid, bob, reserve, n), abs=1e-9)
    (best,) = (row for row in rows if row.best == "constant")
    fine = max(utility(payment, k / 100, bob, reserve, n) for k in range(500))
    assert best.mean_utility >= fine - 1e-9


def test_the_best_weight_is_found_where_a_bid_begins_to_count(read: Reader) -> None:
    """Ann wants an a, worth 9, Bob a b, worth 1. Bob counts up to the weight 1 - 1.234 / 10, and .9 would be best."""
    text = (
        "name: g\nagents: [{name: Ann, mentions: [a], distribution: {a: 1}, bid: 9}, "
        "{name: Bob, mentions: [b], distribution: {b: 1}}]\n"
        "auction: {payments: [pay_your_bid], max_tokens: 2, reserve: 1.234}\n"
    )
    audit = TextAudit({0: (Utility("mention", 9.0),), 1: (Utility("mention", 1.0),)}, None, (), 200, (9.0, 1.0))
    (found,) = audited(read(text), audit).equilibria
    w = 1 - 0.1234
    assert found.relative_weight_best == pytest.approx(w, abs=1e-9)
    assert found.welfare_best == pytest.approx(9 * (1 - (1 - w) ** 2) + 1 - w**2, abs=1e-9)
