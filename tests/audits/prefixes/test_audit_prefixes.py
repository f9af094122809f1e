"""Where an audit of tables looks: at every distribution that a text can meet, and at nothing else."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from conftest import Reader

from tokenauction_cli.audits.prefixes.audit import audit
from tokenauction_cli.audits.prefixes.prefixes import Looked, look
from tokenauction_cli.engine.models.prepare import prepare
from tokenauction_cli.engine.rules import Rules
from tokenauction_cli.experiment.experiment import Experiment
from tokenauction_cli.lm.base import Request
from tokenauction_cli.system.errors import CellError, UsageError

Tables = dict[str, dict[str, float]]

ROWS = ({"a": 1}, {"b": 1}, {"a": 0.5, "b": 0.5}, {"a": 0.25, "b": 0.5, "<end>": 0.25}, {"a": 0.75, "<end>": 0.25})


def file_of(*tables: Tables, **auction: object) -> str:
    agents = "".join(
        f"  - {{name: {name}, distributions: {table}}}\n" for name, table in zip("PQRS", tables, strict=False)
    )
    settings = ", ".join(f"{key}: {value}" for key, value in auction.items())
    return f"name: tables\nagents:\n{agents}auction: {{aggregation: linear, payments: second_price, {settings}}}\n"


def looked_at(experiment: Experiment) -> Looked:
    bidders = prepare(experiment)
    with bidders.loaded(1) as model:
        return look(experiment, Rules.of(experiment), bidders, model, {}, 20)


def met_by_brute_force(experiment: Experiment) -> tuple[set[bytes], set[str]]:
    """The distributions after every text that can arise, and the prefixes without any; no `stop` is looked at."""
    bidders = prepare(experiment)
    (prompt_set,) = bidders.prompt_sets.values()
    found, without = set(), set()
    with bidders.loaded(1) as model:
        tokens = range(model.vocabulary.size)
        ended = model.vocabulary.ends
        arising = {()}
        for length in range(experiment.auction.max_draws):
            for text in product(tokens, repeat=length):
                if text not in arising or ended & set(text):
                    continue
                (answer,) = model.evaluate([Request(0, prompt_set.prompts, text)])
                if isinstance(answer, CellError):
                    without.add(" ".join(map(model.vocabulary.name, text)))
                    continue
                p = np.exp(np.array(answer))
                found.add(np.round(p, 12).tobytes())
                arising |= {(*text, token) for token in np.flatnonzero(p.any(axis=0)).tolist()}
    return found, without


def test_tables_that_part_later_than_at_the_first_token(read: Reader) -> None:
    """After "", "a" and "b" both say the same; after "a b" and after "b a" Ann does not."""
    ann = {"*": {"a": 0.5, "b": 0.5}, "a b": {"a": 1}, "b a": {"b": 1}}
    found = looked_at(read(file_of(ann, {"*": {"a": 0.3, "b": 0.7}}, max_tokens=3)))
    assert found.exact
    assert [len(prefix.tokens) for prefix in found.prefixes] == [0, 2, 2]
    assert [profile.p[0].tolist() for profile in found.profiles] == [[0.5, 0.5, 0], [1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize("seed", range(12))
def test_every_distribution_that_a_text_can_meet_and_no_other(read: Reader, seed: int) -> None:
    rng = np.random.default_rng(seed)

    def row() -> dict[str, float]:
        return ROWS[rng.integers(len(ROWS))]

    texts = [" ".join(text) for n in range(4) for text in product("ab", repeat=n)]
    named = [dict.fromkeys(rng.choice(texts, 4).tolist()) for _ in range(2)]
    tables = [{text: row() for text in ("*", *names)} for names in named]
    if seed % 3 == 0:
        del tables[0]["*"]
        tables[0][""] = row()
    experiment = read(file_of(*tables, max_tokens=4))
    met, without = met_by_brute_force(experiment)
    found = looked_at(experiment)
    assert found.exact
    assert {np.round(profile.p, 12).tobytes() for profile in found.profiles} == met
    assert len(found.profiles) == len(met)
    assert bool(found.left_out) == bool(without)


def test_long_texts_are_no_obstacle(read: Reader) -> None:
    """Four tokens and up to a hundred draws: 4^100 texts, two distributions."""
    flat = {"*": dict.fromkeys("abcd", 0.25)}
    found = looked_at(read(file_of(flat | {"a a": {"b": 1}}, flat, max_tokens=100)))
    assert found.exact
    assert len(found.profiles) == 2


def test_a_stop_string_ends_what_can_arise(read: Reader) -> None:
    table = {"*": {"a": 0.5, "b": 0.5}, "b": {"a": 1}, "a": {"b": 1}}
    found = looked_at(read(file_of(table, {"*": {"a": 1}}, max_tokens=5, stop="[b]")))
    assert [prefix.tokens for prefix in found.prefixes] == [(), (0,)]


def test_too_many_named_prefixes_leave_a_sample(read: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenauction_cli.audits.prefixes.prefixes.MOST_TABLE_PREFIXES", 2)
    table = {"*": {"a": 0.5, "b": 0.5}, "a": {"a": 1}, "b": {"b": 1}}
    assert not looked_at(read(file_of(table, {"*": {"a": 1}}, max_tokens=3))).exact


def test_where_no_prefix_is_left_the_file_is_named(read: Reader) -> None:
    experiment = read(file_of({"a": {"a": 1}}, {"*": {"a": 1}}, max_tokens=2))
    with pytest.raises(UsageError, match="no text of the run has a prefix to audit: some agent has no distribution"):
        audit(experiment, {}, None, 20, (), lambda _: None)


def test_what_is_left_out_is_counted(read: Reader) -> None:
    experiment = read(file_of({"": {"a": 0.5, "b": 0.5}, "b": {"a": 1}}, {"*": {"a": 1}}, max_tokens=4))
    found = looked_at(experiment)
    assert [prefix.tokens for prefix in found.prefixes] == [(), (1,)]
    assert [prefix.tokens for prefix in found.left_out] == [(0,)]  # it stands for every text that no table names
