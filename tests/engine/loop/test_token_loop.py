"""The token loop on tables and on a model that counts: texts, sharing, slots, ends, failures, budgets."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from conftest import Reader
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokenauction_cli.engine.loop import auctioneer
from tokenauction_cli.engine.loop.auctioneer import Auctioneer
from tokenauction_cli.engine.loop.text_state import NextDraw, TextState
from tokenauction_cli.engine.loop.token_loop import (
    Back,
    Drawn,
    Failed,
    PromptSet,
    Record,
    TokenLoop,
    _share_work,
    continued,
)
from tokenauction_cli.engine.models.prepare import prepare
from tokenauction_cli.engine.plan import Cell, cells_of
from tokenauction_cli.engine.rules import Rules
from tokenauction_cli.experiment.experiment import Experiment
from tokenauction_cli.lm.base import Logits, Request
from tokenauction_cli.lm.table import TableModel, TablePrompt, TableVocabulary
from tokenauction_cli.mechanism.native import compiled
from tokenauction_cli.mechanism.outcome import Outcome
from tokenauction_cli.system.errors import CellError


class CountingModel:
    """A table model that keeps what it was asked, and whether the loop kept to the protocol."""

    def __init__(self, vocabulary: TableVocabulary, n_slots: int) -> None:
        self.vocabulary = vocabulary
        self.asked: list[tuple[str, tuple[int, ...]]] = []
        self.batches: list[int] = []
        self.n_forgotten = 0
        self._table = TableModel(vocabulary)
        self._n_lanes = n_slots

    def evaluate(self, requests: Sequence[Request]) -> list[list[Logits] | CellError]:
        slots = [request.slot for request in requests]
        assert sorted(slots) == list(range(len(requests))), "slots are distinct and next to each other"
        assert 0 < len(requests) <= self._n_lanes
        self.batches.append(len(requests))
        for request in requests:
            asked = (prompt for k, prompt in enumerate(request.prompts) if k not in request.left_out)
            self.asked += [(prompt.agent, request.text) for prompt in asked]
        return self._table.evaluate(requests)

    def forget(self) -> None:
        self.n_forgotten += 1


class Written(NamedTuple):
    """What became of some cells."""

    records: dict[str, Record]
    loop: TokenLoop
    model: CountingModel

    @property
    def texts(self) -> list[str]:
        return [record["text"] for record in self.records.values()]

    @property
    def only(self) -> Record:
        (record,) = self.records.values()
        return record


def write(experiment: Experiment, n_slots: int = 8, cells: Sequence[Cell] | None = None) -> Written:
    """Run the loop over an experiment's cells (or these) with so many slots."""
    bidders = prepare(experiment)
    with bidders.loaded(n_slots) as table:
        vocabulary: Any = table.vocabulary
        model = CountingModel(vocabulary, n_slots)
        loop = TokenLoop(model, Auctioneer(experiment, Rules.of(experiment), vocabulary), bidders.prompt_sets)
        wanted = cells_of(experiment) if cells is None else cells
        found = [record for records in loop.run(wanted, n_slots) for record in records]
    assert Counter(record["cell"] for record in found) == Counter(cell.id for cell in wanted), "every cell once"
    return Written({record["cell"]: record for record in found}, loop, model)


def texts_before_draws(record: Record) -> set[tuple[int, ...]]:
    """The texts after which a cell drew a token."""
    return {tuple(record["token_ids"][:k]) for k in range(record["tokens"])}


# Two agents who disagree about every token, so that texts part often, and end at different lengths.
BABBLE = """
name: babble
agents:
  - {name: A, distribution: {x: 0.5, y: 0.3, <end>: 0.2}}
  - {name: B, distribution: {x: 0.2, y: 0.5, z: 0.2, <end>: 0.1}, bid: 2}
auction: {aggregation: [linear, log_linear], max_tokens: 6}
sweep: {agent: A, relative_weight: [0, 0.25, 0.5, 1], seeds: 6}
"""


@pytest.fixture
def babble(read: Reader) -> Experiment:
    """48 cells."""
    return read(BABBLE)


# Sharing


@pytest.mark.parametrize("n_slots", [1, 2, 3, 7, 1000])
def test_every_prefix_is_evaluated_once_per_prompt(babble: Experiment, n_slots: int) -> None:
    written = write(babble, n_slots)
    prefixes = set().union(*map(texts_before_draws, written.records.values()))
    assert Counter(written.model.asked) == Counter((agent, text) for agent in "AB" for text in prefixes)
    assert written.loop.n_evaluations == 2 * len(prefixes - {()})
    assert written.loop.n_tokens == sum(record["tokens"] for record in written.records.values())
    assert 12 < len(prefixes) < written.loop.n_tokens  # the cells do share, and do part


def test_agents_with_one_prompt_share_its_evaluations(babble: Experiment) -> None:
    """Whether two agents say the same to the model is for the prompt_set to say."""
    vocabulary = TableVocabulary([agent.distributions or {} for agent in babble.agents])
    prompt = TablePrompt("A", babble.agents[0].distributions or {})
    model = CountingModel(vocabulary, 8)
    loop = TokenLoop(model, Auctioneer(babble, Rules.of(babble), vocabulary), {"": PromptSet((prompt,), (0, 0))})
    records = [record for records in loop.run(cells_of(babble), 8) for record in records]
    assert all(record["tv.a"] == record["tv.b"] == 0 for record in records if record["aggregation"] == "linear")
    assert loop.n_evaluations == len(set().union(*map(texts_before_draws, records)) - {()})


@pytest.mark.parametrize("n_slots", [3, 4, 7, 1000])
@pytest.mark.parametrize("sampling", ["greedy", "inverse_cdf"])
def test_queries_with_some_equal_prompts_share_those(read: Reader, sampling: str, n_slots: int) -> None:
    """Agent A says the same to every query, B to the first two only, and a fourth query shares nothing."""
    experiment = read(BABBLE + "queries: [q, r, s, t]\n", f"auction.sampling={sampling}")
    vocabulary = TableVocabulary([agent.distributions or {} for agent in experiment.agents])
    a, b = (agent.distributions or {} for agent in experiment.agents)
    same, other = TablePrompt("A", a), TablePrompt("B", b)
    prompt_sets = {"q": (same, other), "r": (same, other), "s": (TablePrompt("B of s", b), same)}
    prompt_sets["t"] = (TablePrompt("A of t", a), TablePrompt("B of t", b))
    turned = {"s": (1, 0)}
    given = {query: PromptSet(prompts, turned.get(query, (0, 1))) for query, prompts in prompt_sets.items()}
    given["r"] = given["q"]
    model = CountingModel(vocabulary, n_slots)
    loop = TokenLoop(model, Auctioneer(experiment, Rules.of(experiment), vocabulary), given)
    records = {r["cell"]: r for done in loop.run(cells_of(experiment), n_slots) for r in done}
    assert records == write(experiment).records
    pairs = {
        (prompt.agent, text)
        for record in records.values()
        for text in texts_before_draws(record)
        for prompt in prompt_sets[record["query"]]
    }
    assert Counter(model.asked) == Counter(pairs)
    assert loop.n_evaluations == sum(bool(text) for _, text in pairs)


def test_batches_are_full_while_there_is_work(babble: Experiment) -> None:
    batches = write(babble, 3).model.batches
    assert batches[0] == 1  # every text begins with the same prompts
    first_full = batches.index(3)
    first_idle = next(k for k in range(first_full, len(batches)) if batches[k] < 3)
    assert 3 * (first_idle - first_full) > sum(batches) / 2


def test_queries_do_not_mix(read: Reader) -> None:
    """The same cells under two queries: other random numbers, and each cell keeps its query."""
    both = read(BABBLE + "queries: [q, r]\n")
    written = write(both, 5)
    for query in ("q", "r"):
        alone = write(both, 5, [cell for cell in cells_of(both) if cell.query == query])
        assert alone.records == {cell: r for cell, r in written.records.items() if r["query"] == query}
    texts = {query: [r["text"] for r in written.records.values() if r["query"] == query] for query in ("q", "r")}
    assert texts["q"] != texts["r"]


@pytest.fixture
def large() -> list[list[Logits]]:
    """Rows that take a thread some time, a pair for each prefix."""
    chance = np.random.default_rng(0)
    return [list(chance.normal(0, 3, (2, 300_000)).astype(np.float32)) for _ in range(8)]


def house_of(experiment: Experiment) -> Auctioneer:
    vocabulary = TableVocabulary([agent.distributions or {} for agent in experiment.agents])
    return Auctioneer(experiment, Rules.of(experiment), vocabulary)


def test_nothing_is_worked_out_any_more_when_a_step_fails(read: Reader, large: list[list[Logits]]) -> None:
    """Whatever ends it: what threads read is let go afterwards."""
    auctioneer = house_of(read(BABBLE, "auction.max_tokens=1", "runtime.threads=2"))
    cells = cells_of(auctioneer.experiment)

    def texts() -> Iterator[tuple[list[Logits], list[Any]]]:
        for logits in large[:3]:
            yield logits, [auctioneer.begin(cells[0])]
        raise KeyboardInterrupt

    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            list(auctioneer.auction(texts()))
        assert auctioneer.prefetch._pool is None


def test_closing_mid_way_waits_for_the_threads(
    read: Reader, large: list[list[Logits]], monkeypatch: pytest.MonkeyPatch
) -> None:
    auctioneer = house_of(read(BABBLE, "runtime.threads=4"))
    cells = cells_of(auctioneer.experiment)
    running: set[int] = set()
    work_out = compiled.CompiledProfile._work_out

    def noted(profile: compiled.CompiledProfile) -> None:
        running.add(id(profile))
        work_out(profile)
        running.discard(id(profile))

    monkeypatch.setattr(compiled.CompiledProfile, "_work_out", noted)
    tokens = auctioneer.auction((logits, [auctioneer.begin(cell) for cell in cells[:2]]) for logits in large)
    next(tokens)
    tokens.close()
    assert not running
    assert len(list(auctioneer.auction((logits, [auctioneer.begin(cells[0])]) for logits in large))) == len(large)
    auctioneer.close()


@pytest.mark.parametrize("rule", ["linear", "log_linear"])
def test_threads_do_not_matter(read: Reader, large: list[list[Logits]], rule: str) -> None:
    """A prefix whose logits are not numbers fails alone, whoever works it out."""
    large[3][1][7] = np.nan
    records = []
    for n in (1, 2, 4):
        auctioneer = house_of(read(BABBLE, "auction.payments=[vcg]", f"runtime.threads={n}"))
        cells = [cell for cell in cells_of(auctioneer.experiment) if cell.mechanism.name == rule]
        texts = [(logits, [auctioneer.begin(cell) for cell in cells[:6]]) for logits in large]
        drawn = list(auctioneer.auction(texts))
        assert drawn[3] == [Failed()] * len(cells[:6])
        states = [state for _, states in texts for state in states]
        records.append([(drawn, [(s._log_prob, s._measured.tolist(), s.end_reason) for s in states])])
        auctioneer.close()
    assert records[0] == records[1] == records[2]


@pytest.mark.parametrize(("drawn", "after"), [(0, (5, 6, 7, 0)), (Back(0), ()), (Back(1), (5,)), (Failed(), (5, 6, 7))])
def test_a_token_a_way_back_and_a_failure_are_three_things(drawn: Drawn, after: tuple[int, ...]) -> None:
    assert continued((5, 6, 7), drawn) == after


def test_what_an_auctioneer_writes_is_of_the_kind_that_it_is_given(babble: Experiment) -> None:
    class Unsold(TextState):
        def draw(self, next_draw: NextDraw) -> Drawn:
            raise CellError(f"{self.cell.id} has no text")

    vocabulary = TableVocabulary([agent.distributions or {} for agent in babble.agents])
    auctioneer = Auctioneer(babble, Rules.of(babble), vocabulary, begin_text=Unsold)
    states = [auctioneer.begin(cell) for cell in cells_of(babble)[:2]]
    logits = [np.zeros(vocabulary.size, np.float32)] * 2
    assert list(auctioneer.auction([(logits, states)])) == [[Failed(), Failed()]]
    assert [state.record()["error"] for state in states] == [f"{state.cell.id} has no text" for state in states]
    auctioneer.close()


# A record is a matter of its cell alone


@pytest.mark.parametrize("n_slots", [1, 3, 1000])
def test_lanes_do_not_matter(babble: Experiment, n_slots: int) -> None:
    assert write(babble, n_slots).records == write(babble, 8).records


@pytest.mark.parametrize("shuffle", range(5))
def test_neither_order_nor_company_matters(babble: Experiment, shuffle: int) -> None:
    everything = write(babble).records
    cells = cells_of(babble)
    random.Random(shuffle).shuffle(cells)
    assert write(babble, 3, cells).records == everything
    some = cells[:7]
    assert write(babble, 2, some).records == {cell.id: everything[cell.id] for cell in some}


def test_a_cell_alone(babble: Experiment) -> None:
    everything = write(babble).records
    for cell in cells_of(babble):
        assert write(babble, 1, [cell]).records == {cell.id: everything[cell.id]}


@pytest.mark.parametrize("sampling", ["stable", "inverse_cdf", "gumbel"])
def test_cells_of_a_seed_share_their_random_numbers(read: Reader, sampling: str) -> None:
    """Agents of one mind: whatever the weight and the rule, a seed writes one text; seeds differ."""
    experiment = read(BABBLE.replace("x: 0.2, y: 0.5, z: 0.2, <end>: 0.1", "x: 0.5, y: 0.3, <end>: 0.2"))
    experiment = read(experiment.source.decode(), f"auction.sampling={sampling}")
    texts: dict[int, set[str]] = {}
    for record in write(experiment).records.values():
        texts.setdefault(record["seed"], set()).add(record["text"])
    assert all(len(found) == 1 for found in texts.values())
    assert len(set.union(*texts.values())) > 1


# How texts end


def table(text: str, **rows: str) -> str:
    """An experiment of one agent who says one thing after each text."""
    said = "\n".join(f"      {before!r}: {{{after!r}: 1}}" for before, after in rows.items())
    return f"name: t\nagents:\n  - name: A\n    distributions:\n{said}\n{text}"


def always(*tokens: str, separator: str = " ") -> dict[str, str]:
    """The rows of a table that says these tokens one after the other."""
    return {separator.join(tokens[:k]): token for k, token in enumerate(tokens)}


def test_the_end_token_ends_a_text_and_is_counted(read: Reader) -> None:
    record = write(read(table("", **always("a", "b", "<end>")))).only
    assert (record["text"], record["tokens"], record["end_reason"]) == ("a b", 3, "end")
    assert record["payment.pay_your_bid.a"] == 3  # the end token is auctioned and charged like any other


def test_a_text_may_be_empty(read: Reader) -> None:
    record = write(read(table("", **always("<end>")))).only
    assert (record["text"], record["tokens"], record["end_reason"]) == ("", 1, "end")


def test_max_tokens(read: Reader) -> None:
    record = write(read(table("auction: {max_tokens: 4}", **{"*": "a"}))).only
    assert (record["text"], record["tokens"], record["end_reason"]) == ("a a a a", 4, "length")


def test_the_end_goes_before_the_length(read: Reader) -> None:
    record = write(read(table("auction: {max_tokens: 2}", **always("a", "<end>")))).only
    assert record["end_reason"] == "end"


@pytest.mark.parametrize(
    ("stop", "tokens", "text", "n_tokens"),
    [
        ('["."]', ["one", ".", "two"], "one", 2),
        ('["."]', ["one", ". And"], "one", 2),  # what follows the stop string inside its token goes too
        ('["STOP"]', ["oneS", "TO", "P!"], "one", 3),  # spans three tokens
        ('["ab"]', ["a", "a", "b"], "a", 3),
        ('["aab"]', ["a", "a", "a", "b"], "a", 4),
        ('["é"]', ["caf", "é"], "caf", 2),
        ('["y", "xyz"]', ["wxyz"], "w", 1),  # the stop string that begins first
        ('["one"]', ["one"], "", 1),
    ],
)
def test_stop_strings_are_cut(read: Reader, stop: str, tokens: list[str], text: str, n_tokens: int) -> None:
    check_stop(read, stop, tokens, text, n_tokens, "")


def check_stop(read: Reader, stop: str, tokens: list[str], text: str, n_tokens: int, separator: str) -> None:
    auction = f"auction: {{max_tokens: 9, stop: {stop}, separator: '{separator}'}}"
    record = write(read(table(auction, **always(*tokens, separator=separator)))).only
    assert (record["text"], record["tokens"], record["end_reason"]) == (text, n_tokens, "stop")
    assert record["payment.pay_your_bid.a"] == n_tokens


@pytest.mark.parametrize(
    ("stop", "tokens", "text", "n_tokens"),
    [
        ('["no no"]', ["yes", "no", "no", "yes"], "yes ", 3),
        ('["b c d"]', [*"abbcd"], "a b ", 5),
        ('["a "]', ["xa", "b"], "x", 2),  # the next token brings the space
        ('[" "]', ["a", "b"], "a", 2),
        ('[" b"]', ["a", "a", "bc"], "a a", 3),
    ],
)
def test_tokens_of_tables_are_words_also_to_a_stop_string(
    read: Reader, stop: str, tokens: list[str], text: str, n_tokens: int
) -> None:
    check_stop(read, stop, tokens, text, n_tokens, " ")


@given(stop=st.text("ab ", min_size=1, max_size=5), tokens=st.lists(st.sampled_from(("a", "b", "ab")), min_size=1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_stop_string_is_found_with_the_token_that_completes_it(read: Reader, stop: str, tokens: list[str]) -> None:
    auction = f"auction: {{max_tokens: {len(tokens)}, stop: [{stop!r}]}}"
    record = write(read(table(auction, **always(*tokens)))).only
    completed = (k for k in range(1, len(tokens) + 1) if stop in " ".join(tokens[:k]))
    assert record["tokens"] == next(completed, len(tokens))
    assert record["text"] == " ".join(tokens).split(stop)[0]


def test_half_a_stop_string_is_text(read: Reader) -> None:
    rows = always("ST", "O", "<end>", separator="")
    record = write(read(table('auction: {stop: ["STOP"], separator: ""}', **rows))).only
    assert (record["text"], record["end_reason"]) == ("STO", "end")


# Failures


def test_a_text_without_a_distribution_fails_alone(read: Reader) -> None:
    """After "x" agent A has nothing to say; cells that say "y" first go on, as if nothing had happened."""
    rows = "{'': {x: 0.5, y: 0.5}, 'y': {y: 1}, 'y y': {<end>: 1}%s}"
    text = "name: t\nagents: [{name: A, distributions: %s}]\nsweep: {seeds: 20}\n"
    broken, whole = write(read(text % (rows % ""))), write(read(text % (rows % ", 'x': {<end>: 1}")))
    failed = {cell: r for cell, r in broken.records.items() if r["end_reason"] == "failed"}
    assert 0 < len(failed) < 20
    for record in failed.values():
        assert (record["text"], record["tokens"]) == ("x", 1)
        assert "agent 'A' has no distribution for the prefix 'x'" in record["error"]
    going = {cell: record for cell, record in broken.records.items() if cell not in failed}
    assert going == {cell: whole.records[cell] for cell in going}


def test_an_undefined_aggregate_fails_alone(read: Reader) -> None:
    """Nobody agrees on any token: log-linear is undefined in between, and only there."""
    written = write(
        read(
            "name: t\nagents: [{name: A, distribution: {x: 1}}, {name: B, distribution: {y: 1}}]\n"
            "auction: {aggregation: [linear, log_linear], max_tokens: 2}\n"
            "sweep: {agent: A, relative_weight: [0, 0.5, 1]}\n"
        )
    )
    reasons = {(r["aggregation"], r["relative_weight"]): r["end_reason"] for r in written.records.values()}
    assert reasons.pop(("log_linear", 0.5)) == "failed"
    assert set(reasons.values()) == {"length"}
    (failed,) = (r for r in written.records.values() if r["end_reason"] == "failed")
    assert failed["error"].startswith("token 1 of '': log-linear aggregation is undefined here")
    assert failed["token_ids"] == []


# Budgets


def test_a_budget_caps_the_last_payment_and_ends_the_bidding(read: Reader) -> None:
    """A pays 1, 1 and the half that is left, then bids nothing: the fourth token is B's alone."""
    written = write(
        read(
            "name: t\n"
            "agents: [{name: A, distribution: {x: 1}, bid: 1, budget: 2.5}, {name: B, distribution: {y: 1}, bid: 1}]\n"
            "auction: {charge: pay_your_bid, max_tokens: 12}\n"
            "sweep: {seeds: 20}\n"
        )
    )
    for record in written.records.values():
        assert record["payment.pay_your_bid.a"] == 2.5
        assert record["payment.pay_your_bid.b"] == 12
        assert record["text"].split()[3:] == ["y"] * 9
        assert (record["bid.a"], record["weight.a"]) == (1, 0.5)  # the bids of the cell, not what became of them
    assert len({text[:5] for text in written.texts}) > 1


def test_a_text_ends_when_everybody_has_spent(read: Reader) -> None:
    record = write(
        read(
            "name: t\nagents: [{name: A, distribution: {x: 1}, bid: 1, budget: 3}]\n"
            "auction: {charge: pay_your_bid, max_tokens: 12}\n"
        )
    ).only
    assert (record["text"], record["end_reason"], record["payment.pay_your_bid.a"]) == ("x x x", "budget", 3)


def test_without_budgets_nobody_has_spent(read: Reader) -> None:
    """Nobody but the reference agent bids: it writes the text alone, to its end."""
    written = write(
        read(
            "name: t\nagents: [{name: A, distribution: {x: 1}}, {name: B, distribution: {y: 1}, reference: true}]\n"
            "auction: {max_tokens: 3}\n"
            "sweep: {agent: A, bids: [{A: 0}]}\n"
        )
    )
    assert (written.only["text"], written.only["end_reason"]) == ("y y y", "length")


def test_a_distribution_is_auctioned_once_wherever_it_holds(read: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two queries, texts of three tokens, one distribution of each agent: two outcomes, one for each pair of bids."""
    experiment = read(
        "{name: t, queries: [q, r], agents: [{name: A, distribution: {x: 0.5, y: 0.5}}, "
        "{name: B, distribution: {x: 0.1, y: 0.9}}], auction: {max_tokens: 3}, "
        "sweep: {relative_weight: [0.2, 0.7], seeds: 5}}"
    )
    outcomes = []
    monkeypatch.setattr(auctioneer, "Outcome", lambda *given: outcomes.append(given) or Outcome(*given))
    apart = {cell.id: write(experiment, cells=[cell]).only for cell in cells_of(experiment)}
    outcomes.clear()
    assert write(experiment).records == apart
    assert len(outcomes) == 2


def test_what_is_kept_of_a_distribution_is_bounded(read: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = read(
        "{name: t, agents: [{name: A, distribution: {x: 0.5, y: 0.5}}, {name: B, distribution: {x: 0.1, y: 0.9}}], "
        "auction: {max_tokens: 3}, sweep: {relative_weight: [0.2, 0.7], seeds: 20}}"
    )
    whole = write(experiment).records
    monkeypatch.setattr(auctioneer, "MOST_KEPT", 3)
    assert write(experiment).records == whole


@given(st.lists(st.integers(0, 5), min_size=1, max_size=9))
def test_idle_slots_get_work_and_busy_ones_stand_first(sizes: list[int]) -> None:
    """As said: from the first gap on, the oldest bundle of the fullest slot, else the last busy slot moves there."""
    slots: list[Any] = [[(k, j) for j in range(n)] for k, n in enumerate(sizes)]
    wanted = [list(slot) for slot in slots]
    for k in range(len(wanted)):
        fullest = max(wanted, key=len)
        if not wanted[k] and len(fullest) > 1:
            wanted[k] = [fullest.pop(0)]
        elif not wanted[k]:
            last = max((j for j in range(k, len(wanted)) if wanted[j]), default=k)
            wanted[k], wanted[last] = wanted[last], wanted[k]
    assert _share_work(slots) == sum(map(bool, wanted))
    assert slots == wanted
