"""The command line: exit codes, stdout and stderr apart, and that no input ends in a crash or a traceback."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from conftest import Command
from tiny_gguf import bigram_model, write_gguf

from tokenauction_cli import __version__
from tokenauction_cli.cli import app
from tokenauction_cli.cli.json_keys import CHECK

TABLES = """
name: tables
agents:
  - {name: Alpha, distribution: {x: 0.5, y: 0.5}}
  - {name: Beta, distribution: {y: 1}}
auction: {aggregation: [linear, log_linear], max_tokens: 5}
sweep: {agent: Alpha, relative_weight: [0, 0.5, 1], seeds: 2}
"""
DISJOINT = (
    "name: no\nagents: [{name: A, distribution: {x: 1}}, {name: B, distribution: {y: 1}}]\nauction: {aggregation: %s}\n"
)


class Done(NamedTuple):
    """How a command ended, and what it said where."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def tokauction_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """Runs a command in `tmp_path` within this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "120")
    before = signal.getsignal(signal.SIGTERM)

    def run(*arguments: str) -> Done:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["tokauction", *arguments])
        with pytest.raises(SystemExit) as stop:
            app.main()
        code: Any = stop.value.code
        return Done(code, *capsys.readouterr())

    yield run
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def tables(tmp_path: Path) -> str:
    """The name of an experiment file of table agents."""
    (tmp_path / "tables.yaml").write_text(TABLES)
    return "tables.yaml"


def assert_refused(done: Done, *words: str) -> None:
    """Exit code 2, the reason on stderr, nothing on stdout, no traceback."""
    assert (done.code, done.out) == (2, ""), done
    assert "Traceback" not in done.err
    assert "unexpected error" not in done.err
    for word in words:
        assert word in done.err


# Without a command


def test_version(tokauction_here: Run) -> None:
    assert tokauction_here("--version") == (0, f"tokauction {__version__}\n", "")


@pytest.mark.parametrize(
    "command", [[], ["run"], ["check"], ["show"], ["init"], ["schema"], ["models"], ["models", "pull"]]
)
def test_help(tokauction_here: Run, command: list[str]) -> None:
    done = tokauction_here(*command, "--help")
    assert (done.code, done.err) == (0, "")
    assert "Usage:" in done.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fly"], ["No such command 'fly'"]),
        (["run"], ["Missing argument 'EXP|RUN'"]),
        (["show"], ["Missing argument 'RUN...'"]),
        (["run", "x.yaml", "--nonsense"], ["No such option"]),
        (["run", "tables.yaml", "-n", "0"], ["-n"]),
        (["run", "tables.yaml", "-n", "many"], ["-n", "integer"]),
        (["run", "tables.yaml", "--format", "pdf"], ["--format", "pdf"]),
        (["show", "x", "--by", "colour"], ["--by", "colour"]),
        (["run", "none.yaml"], ["none.yaml", "there is no such file"]),
        (["check", "."], ["the experiment file cannot be read"]),
        (["run", "a\x00b.yaml"], ["null byte"]),
        (["run", "tables.yaml", "-S", "auction.max_tokens=none"], ["-S auction.max_tokens=none", "whole number"]),
        (["run", "tables.yaml", "-S", "nonsense"], ["nonsense"]),
        (["show", "."], ["this is not a run folder"]),
        (["models", "path", "no-such-alias"], ["no-such-alias"]),
        (["models", "verify", "none.gguf"], ["none.gguf", "there is no such file"]),
    ],
)
@pytest.mark.usefixtures("tables")
def test_wrong_usage(tokauction_here: Run, arguments: list[str], words: list[str]) -> None:
    assert_refused(tokauction_here(*arguments), *words)


def test_no_command_prints_the_help(tokauction_here: Run) -> None:
    done = tokauction_here()
    assert done.code == 2
    assert "Usage:" in done.out + done.err


def test_every_mistake_of_a_file_at_once(tokauction_here: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(
        TABLES.replace("max_tokens: 5", "max_tokenz: 5").replace("[0, 0.5, 1]", "[0, 1.5]")
    )
    done = tokauction_here("run", "bad.yaml")
    assert_refused(done, "did you mean 'max_tokens'?")
    first, second = done.err.splitlines()
    assert first.startswith("bad.yaml:6:")
    assert second.startswith("bad.yaml:7:")
    assert "1.5" in second
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("content", [b"", b"\x00", b"\xff\xfe", b"- a\n- b", b"{", b"&a [*a]", b"a: " * 2000, b"%"])
def test_nonsense_files(tokauction_here: Run, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.yaml").write_bytes(content)
    for command in ("check", "run"):
        assert_refused(tokauction_here(command, "bad.yaml"), "bad.yaml")


# init, schema, check


def test_init(tokauction_here: Run, tmp_path: Path) -> None:
    done = tokauction_here("init", "new/place")
    assert done.code == 0
    assert done.out.splitlines() == ["new/place/experiment.yaml", "new/place/experiment.schema.json"]
    assert done.err == "Next: tokauction run new/place/experiment.yaml\n"
    modeline = (tmp_path / "new/place/experiment.yaml").read_text("utf-8").splitlines()[0]
    assert modeline == "# yaml-language-server: $schema=./experiment.schema.json"
    assert_refused(tokauction_here("init", "new/place"), "exists and is not replaced")


@pytest.mark.model
@pytest.mark.usefixtures("model_path")
def test_the_starter_is_a_valid_experiment(tokauction_here: Run) -> None:
    assert tokauction_here("init").code == 0
    assert tokauction_here("check", "experiment.yaml").code == 0


def test_init_where_nothing_can_be_written(tokauction_here: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert_refused(tokauction_here("init", "file/deep"), "choose another folder")


def test_schema(tokauction_here: Run) -> None:
    done = tokauction_here("schema")
    assert (done.code, done.err) == (0, "")
    schema = json.loads(done.out)
    assert schema["properties"]["agents"]["description"]
    assert schema["additionalProperties"] is False


def test_check_tables(tokauction_here: Run, tables: str, tmp_path: Path) -> None:
    done = tokauction_here("check", tables)
    assert (done.code, done.err) == (0, "")
    for fact in ("sweep points +3", "seeds +2", "texts +12", "tokens at most +60"):
        assert re.search(rf"^ {fact} *$", done.out, re.MULTILINE), fact
    assert not (tmp_path / "results").exists(), "checking writes nothing"


def test_check_says_what_a_model_costs(tokauction_here: Run, tmp_path: Path) -> None:
    model = bigram_model(tmp_path / "tiny.gguf")
    (tmp_path / "e.yaml").write_text(
        "name: e\nagents: [{name: A, model: tiny.gguf, prompt: abc}]\nauction: {max_tokens: 9}\nsweep: {seeds: 3}\n"
    )
    done = tokauction_here("check", "e.yaml")
    assert (done.code, done.err) == (0, "")
    for fact in (str(model), "llama", "2048", "KV cells of tiny.gguf", "768 (1 MiB)", "prompt tokens"):
        assert fact in done.out.replace("\n", ""), fact


def test_check_as_json_says_what_the_docs_say(tokauction_here: Run, tables: str) -> None:
    facts = json.loads(tokauction_here("check", tables, "--prompts", "--format", "json").out)
    assert set(facts) == set(CHECK)
    assert (facts["cells"], facts["tokens_at_most"], facts["seconds_at_most"], facts["prompts"]) == (12, 60, None, [])
    assert facts["audit_texts"] is None


def test_payments_that_are_left_out_are_named_with_the_reason(
    tokauction_here: Run, tables: str, tmp_path: Path
) -> None:
    paid = ["-S", "auction.payments=[pay_your_bid, second_price]"]
    why = "a random draw and a rule under which the token switches at one bid"
    facts = json.loads(tokauction_here("check", tables, *paid, "--format", "json").out)
    assert facts["payments_left_out"] == [{"payment": "second_price", "aggregation": ["log_linear"], "premise": why}]
    assert why in tokauction_here("check", tables, *paid).out
    said = tokauction_here("run", tables, *paid).err
    assert said.startswith(f"Left out: second_price for log_linear (it needs {why})\n12 texts\n")
    assert "Left out" not in tokauction_here("run", tables, *paid, "-q").err
    assert "Left out" not in tokauction_here("run", tables).err


CHAT = """
name: chat
queries: [one, two, three, four, "<|im_start|>five"]
agents:
  - {name: A, model: smollm2-135m-instruct, chat: {system: "Sell.", user: "Ad for {{ query }}"}}
  - {name: B, model: smollm2-135m-instruct, prompt: "{{ query }}, or"}
"""


@pytest.mark.model
@pytest.mark.usefixtures("model_path")
def test_check_prints_what_the_models_read(tokauction_here: Run, tmp_path: Path) -> None:
    """With the model's chat template, for the first queries; how many more there are is said."""
    (tmp_path / "chat.yaml").write_text(CHAT)
    done = tokauction_here("check", "chat.yaml", "--prompts")
    read = "<|im_start|>system\nSell.<|im_end|>\n<|im_start|>user\nAd for two<|im_end|>\n<|im_start|>assistant\n\n"
    assert f"--- a / two\n{read}--- b / two\ntwo, or\n" in done.out
    assert done.out.endswith("--- and so on for 2 more queries\n")
    assert "four" not in done.out


def test_check_says_how_long_it_takes_once_a_probe_has_timed_it(tokauction_here: Run, tmp_path: Path) -> None:
    bigram_model(tmp_path / "tiny.gguf")
    (tmp_path / "e.yaml").write_text(
        "name: e\nagents: [{name: A, model: tiny.gguf, prompt: abc}]\nauction: {max_tokens: 10}\nsweep: {seeds: 100}\n"
    )
    assert re.search(
        "time at most, to evaluate +not measured yet: `check --probe` does", tokauction_here("check", "e.yaml").out
    )
    probed = json.loads(tokauction_here("check", "e.yaml", "--probe", "--format", "json").out)
    (model,) = probed["models"]
    rate = model["rows_per_second"][str(32)]
    assert probed["seconds_at_most"] == pytest.approx(1000 / rate, rel=0.02)  # and the few rows of the prompt
    assert json.loads(tokauction_here("check", "e.yaml", "--format", "json").out) == probed
    assert re.search(r"time at most, to evaluate +0:\d\d:\d\d", tokauction_here("check", "e.yaml").out)


MISSING = "name: e\nmodels: {m: far/none.gguf}\nagents: [{name: A, model: %s, prompt: x}]\n"


@pytest.mark.parametrize(
    ("model", "options", "place"),
    [
        ("m", (), "e.yaml:2:13: "),
        ("none.gguf", (), "e.yaml:3:27: "),
        ("m", ("-S", "agents.A.model=none.gguf"), "/"),  # an override has no place in the file
    ],
)
def test_a_missing_model_has_its_place(
    tokauction_here: Run, tmp_path: Path, model: str, options: tuple[str, ...], place: str
) -> None:
    (tmp_path / "e.yaml").write_text(MISSING % model)
    for command in ("check", "run"):
        done = tokauction_here(command, "e.yaml", *options)
        assert_refused(done, "none.gguf: there is no such file")
        assert done.err.startswith(place)


# run, show


def test_run_continues_a_run_folder(tokauction_here: Run, tables: str, tmp_path: Path) -> None:
    whole = tokauction_here("run", tables, "-o", "whole", "--format", "csv").out
    assert tokauction_here("run", tables, "-n", "3", "-q").code == 0
    (folder,) = (tmp_path / "results").iterdir()
    (tmp_path / tables).unlink()
    done = tokauction_here("run", str(folder), "--format", "csv")
    assert (done.code, done.out) == (0, whole)
    assert done.err.splitlines()[0] == "12 texts, 3 already on disk"
    assert list((tmp_path / "results").iterdir()) == [folder]
    assert_refused(tokauction_here("run", str(folder), "-S", "seed=1"), "--set needs an experiment file")
    renamed = folder.rename(folder.with_name("other"))
    assert_refused(tokauction_here("run", str(renamed)), f"name it {folder.name} again")
    assert_refused(tokauction_here("run", "."), "this is not a run folder")


@pytest.mark.parametrize("how", ["table", "md", "csv", "json", "jsonl"])
def test_run_and_show(tokauction_here: Run, tables: str, tmp_path: Path, how: str) -> None:
    done = tokauction_here("run", tables, "--format", how)
    assert done.code == 0
    assert done.err.splitlines()[0] == "12 texts"
    (folder,) = (tmp_path / "results").iterdir()
    assert tokauction_here("show", str(folder.relative_to(tmp_path)), "--format", how) == (0, done.out, "")
    again = tokauction_here("run", tables, "--format", how)
    assert (again.code, again.out) == (0, done.out)
    texts = [
        row["text"] for row in csv.DictReader(io.StringIO((folder / "cells.csv").read_text())) if row["seed"] == "0"
    ]
    assert len(texts) == 6
    assert all(text in done.out for text in texts)


def test_formats_agree(tokauction_here: Run, tables: str) -> None:
    as_csv = list(csv.DictReader(io.StringIO(tokauction_here("run", tables, "--format", "csv").out)))
    as_json = json.loads(tokauction_here("run", tables, "--format", "json").out)
    as_jsonl = [json.loads(line) for line in tokauction_here("run", tables, "--format", "jsonl").out.splitlines()]
    assert as_json == as_jsonl
    assert [
        {key: f"{value:g}" if isinstance(value, float) else value for key, value in row.items()} for row in as_json
    ] == as_csv


def test_run_takes_overrides(tokauction_here: Run, tables: str) -> None:
    done = tokauction_here(
        "run", tables, "-S", "auction.max_tokens=1", "-S", "sweep.relative_weight=[0]", "--format", "csv"
    )
    assert done.out == "weight of Alpha,linear,log_linear\n0,y,y\n"


def test_show_by_seed(tokauction_here: Run, tables: str, tmp_path: Path) -> None:
    assert tokauction_here("run", tables).code == 0
    (folder,) = (tmp_path / "results").iterdir()
    by_seed = tokauction_here("show", str(folder), "--by", "seed", "--format", "csv")
    assert by_seed.out.splitlines()[0] == "title,weight of Alpha,seed 0,seed 1"
    first, second = (tokauction_here("show", str(folder), "--seed", seed, "--format", "csv").out for seed in "01")
    assert first != second
    assert_refused(tokauction_here("show", str(folder), "--seed", "2"), "there is no seed 2; this run has 0, 1")


def test_show_several_runs(tokauction_here: Run, tables: str, tmp_path: Path) -> None:
    for seed in "01":
        assert tokauction_here("run", tables, "-S", f"seed={seed}", "-q").code == 0
    folders = sorted(map(str, (tmp_path / "results").iterdir()))
    done = tokauction_here("show", *folders)
    assert done.code == 0
    assert [line for line in done.out.splitlines() if line in folders] == folders


@pytest.mark.parametrize("rules", ["log_linear", "[linear, log_linear]"])
def test_failed_cells(tokauction_here: Run, tmp_path: Path, rules: str) -> None:
    (tmp_path / "no.yaml").write_text(DISJOINT % rules)
    for _ in range(2):  # finished, and again
        done = tokauction_here("run", "no.yaml")
        assert done.code == 3
        assert "[failed: token 1 of ''" in done.out
        assert "texts failed, the first: token 1 of '': log-linear aggregation is undefined" in done.err
    (folder,) = (tmp_path / "results").iterdir()
    assert tokauction_here("show", str(folder)).code == 0


def test_an_unexpected_error_is_one_line(tokauction_here: Run, tables: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object, **__: object) -> None:
        raise RuntimeError("boom\x1b[31m")

    monkeypatch.setattr("tokenauction_cli.api.run_experiment", explode)
    done = tokauction_here("run", tables)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("unexpected error (RuntimeError): boom\\x1b[31m; run again with `tokauction --debug")
    assert len(done.err.splitlines()) == 1


# models


@pytest.mark.model
def test_models(tokauction_here: Run, model_path: Path) -> None:
    assert tokauction_here("models", "path", "smollm2-135m-instruct") == (0, f"{model_path}\n", "")
    verified = tokauction_here("models", "verify", "smollm2-135m-instruct")
    assert (verified.code, verified.err) == (0, "")
    assert verified.out.startswith("ok  ")
    assert verified.out.endswith(f"  {model_path}\n")
    listed = json.loads(tokauction_here("models", "list", "--format", "json").out)
    assert str(model_path) in [row["path"] for row in listed]
    lines = tokauction_here("models", "list").out.splitlines()
    assert max(map(len, lines)) <= 120  # COLUMNS
    assert any(line.removeprefix("…") and str(model_path).endswith(line.removeprefix("…")) for line in lines)


# Broken models

TINY = ["name: e", "agents: [{name: A, model: m.gguf, prompt: ab}]", "auction: {max_tokens: 4}", ""]


def broken_tiny(**options: Any) -> Callable[[Path], object]:
    return lambda path: bigram_model(path, **options)


def cut(n_bytes: int) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        path.write_bytes(bigram_model(path).read_bytes()[:n_bytes])

    return write


def these(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def an_embedding_model(path: Path) -> None:
    """A BERT of one layer, whole: llama.cpp loads it, but it writes nothing."""
    width, words = 64, ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "\u2581a", "\u2581b"]
    n = len(words)
    special = {"bos": 2, "eos": 3, "padding": 0, "unknown": 1, "cls": 2, "mask": 4}
    facts = {
        "general.architecture": "bert",
        "bert.context_length": 512,
        "bert.embedding_length": width,
        "bert.block_count": 1,
        "bert.feed_forward_length": 32,
        "bert.attention.head_count": 2,
        "bert.attention.layer_norm_epsilon": 1e-12,
        "bert.attention.causal": False,
        "bert.pooling_type": 1,
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.tokens": words,
        "tokenizer.ggml.scores": [0.0] * n,
        "tokenizer.ggml.token_type": [3] * 5 + [1] * (n - 5),
        "tokenizer.ggml.token_type_count": 2,
        **{f"tokenizer.ggml.{name}_token_id": token for name, token in special.items()},
    }
    zeros: Any = lambda *shape: np.zeros(shape, np.float32)  # noqa: E731
    norms = ["token_embd_norm", "blk.0.attn_output_norm", "blk.0.layer_output_norm"]
    square = [f"blk.0.attn_{name}" for name in ("q", "k", "v", "output")]
    tensors = {"token_embd.weight": zeros(n, width), "token_types.weight": zeros(2, width)}
    tensors |= {"position_embd.weight": zeros(512, width), "blk.0.ffn_up.bias": zeros(32)}
    tensors |= {f"{name}.weight": zeros(width, width) for name in square}
    tensors |= {f"{name}.weight": zeros(width) + 1 for name in norms}
    tensors |= {f"{name}.bias": zeros(width) for name in [*norms, *square, "blk.0.ffn_down"]}
    tensors |= {"blk.0.ffn_up.weight": zeros(32, width), "blk.0.ffn_down.weight": zeros(width, 32)}
    write_gguf(path, facts, tensors)


CANNOT = "llama.cpp cannot load this"
DAMAGED = "the header of the file is damaged"
BROKEN = {
    "empty": (these(b""), "the file is empty"),
    "cut within the magic": (cut(3), "not a GGUF file"),
    "cut within the header": (cut(20), "ends within its header"),
    "cut after the header": (cut(24), DAMAGED),
    "cut within the metadata": (cut(2_000), DAMAGED),
    "cut within the list of tensors": (cut(11_000), CANNOT),
    "cut within the tensors": (cut(900_000), "not within the file bounds"),
    "cut at the last byte": (cut(-1), "not within the file bounds"),
    "random": (these(random.Random(0).randbytes(5_000)), "not a GGUF file"),
    "random after the header": (these(b"GGUF\x03\x00\x00\x00" + random.Random(1).randbytes(5_000)), DAMAGED),
    "huge counts": (
        these(b"GGUF\x03\x00\x00\x00" + b"\xff" * 7 + b"\x3f" + b"\xff" * 7 + b"\x3f" + bytes(99)),
        DAMAGED,
    ),
    "zeros after the magic": (these(b"GGUF" + bytes(5_000)), "GGUF version 0 is not supported"),
    "wrong magic": (these(b"PK\x03\x04" + bytes(5_000)), "a ZIP archive"),
    "a web page": (these(b"<!DOCTYPE html><html>"), "is a web page"),
    "a Git LFS pointer": (these(b"version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
    "a folder": (lambda path: path.mkdir(), "this is a folder"),
    "no file": (lambda path: None, "there is no such file"),
    "vocabulary only": (broken_tiny(without=["tensors"]), "token_embd.weight' not found"),
    "no vocabulary": (broken_tiny(without=["tokenizer."]), "tokenizer.ggml.model"),
    "a vocabulary of none": (
        broken_tiny(
            without=["tokenizer.ggml.t"], metadata={"tokenizer.ggml.model": "no_vocab", "llama.vocab_size": 260}
        ),
        "this model has no vocabulary",
    ),
    "no layers": (broken_tiny(without=["llama.block_count"]), "llama.block_count"),
    "an unknown architecture": (broken_tiny(metadata={"general.architecture": "martian"}), "martian"),
    "an embedding model": (an_embedding_model, "does not write from left to right"),
    "a short context": (broken_tiny(metadata={"llama.context_length": 6}), "more than the 6 tokens of context"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_models(tokauction_here: Run, tmp_path: Path, name: str) -> None:
    """Exit code 2 and a reason that names the file; the interpreter and its neighbours stay alive."""
    write, reason = BROKEN[name]
    write(tmp_path / "m.gguf")
    (tmp_path / "e.yaml").write_text("\n".join(TINY))
    assert_refused(tokauction_here("run", "e.yaml", "-q"), "m.gguf", reason)


@pytest.mark.model
@pytest.mark.parametrize("share", [0.0005, 0.02, 0.5, 0.999])
def test_the_real_model_cut(tokauction_here: Run, tmp_path: Path, model_path: Path, share: float) -> None:
    whole = model_path.read_bytes()
    (tmp_path / "m.gguf").write_bytes(whole[: int(len(whole) * share)])
    (tmp_path / "e.yaml").write_text("\n".join(TINY))
    within_the_header = share < 0.02
    assert_refused(tokauction_here("run", "e.yaml"), "m.gguf", DAMAGED if within_the_header else CANNOT)


def test_a_broken_neighbour_is_named(tokauction_here: Run, tmp_path: Path) -> None:
    bigram_model(tmp_path / "good.gguf")
    bigram_model(tmp_path / "other.gguf", words=["cat"])
    agents = "[{name: A, model: good.gguf, prompt: a}, {name: B, model: other.gguf, prompt: a}]"
    (tmp_path / "e.yaml").write_text(f"name: e\nagents: {agents}\n")
    assert_refused(tokauction_here("check", "e.yaml"), "good.gguf (260 tokens)", "other.gguf (261 tokens)")


# In a process of its own


def test_a_users_files_are_no_modules(tmp_path: Path, environment: dict[str, str]) -> None:
    """A json.py in the working directory is the user's business: the console script does not run it."""
    bigram_model(tmp_path / "tiny.gguf")
    (tmp_path / "e.yaml").write_text("name: e\nagents: [{name: A, model: tiny.gguf, prompt: abc}]\n")
    (tmp_path / "json.py").write_text("raise SystemExit('shadowed')\n")
    script = tmp_path / "bin" / "tokauction"
    script.parent.mkdir()
    script.write_text("from tokenauction_cli.cli.app import main\nmain()\n")
    done = subprocess.run(
        [sys.executable, str(script), "check", "e.yaml"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "command", [["schema"], ["run", "tables.yaml", "-q", "--format", "csv"], ["check", "tables.yaml"]]
)
@pytest.mark.usefixtures("tables")
def test_a_reader_that_leaves(
    command_line: list[str], environment: dict[str, str], tmp_path: Path, command: list[str]
) -> None:
    """`tokauction ... | head -1` is no error: here nobody reads from the beginning."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*command_line, *command],
        cwd=tmp_path,
        env=environment,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_module_and_exit_codes(tokauction: Command, tmp_path: Path, tables: str) -> None:
    """`python -m tokenauction_cli` as a stranger runs it."""
    assert tokauction("--version").stdout == f"tokauction {__version__}\n"
    done = tokauction("run", tables, "--format", "csv")
    assert (done.returncode, done.stdout.count("\n")) == (0, 4)
    wrong = tokauction("fly")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "No such command 'fly'" in wrong.stderr
    (tmp_path / "no.yaml").write_text(DISJOINT % "log_linear")
    assert tokauction("run", "no.yaml").returncode == 3
