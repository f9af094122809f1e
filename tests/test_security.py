"""What a stranger wrote (files, models, folders) reaches no terminal control, markup, path, shell, log or module."""

from __future__ import annotations

import importlib
import json
import os
import pty
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from conftest import PACKAGE_ROOT, Command
from tiny_gguf import bigram_model, of_byte

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"
SECRET = "hf_ThisIsNotForYourEyes"
MARKUP = "[/bold][link=x]<img src=x onerror=alert(1)>:smile:"
HOSTILE = {
    "name": "hostile",
    "queries": ["q1 " + MARKUP],
    "agents": [
        {"name": "A " + MARKUP, "id": "a", "distribution": {ESCAPES + "x": 0.5, "[/red]=cmd|' /C calc'!A0": 0.5}},
        {"name": "B </script><script>alert(1)</script>", "id": "b", "distribution": {ESCAPES + "x": 1}},
    ],
    "auction": {"max_tokens": 3, "aggregation": ["linear", "log_linear"]},
    "sweep": {"relative_weight": [0, 0.5, 1], "seeds": 3},
}
TOY = "name: toy\nagents: [{name: A, distribution: {x: 1}}]\n"


def is_clean(text: str) -> bool:
    """Nothing in it moves a cursor, colours, rings or turns writing around."""
    return all(character.isprintable() or character == "\n" for character in text)


@pytest.fixture
def hostile(tmp_path: Path) -> str:
    (tmp_path / "h.yaml").write_text(json.dumps(HOSTILE), "utf-8")
    return "h.yaml"


# The terminal


def test_every_command_prints_only_what_can_be_read(hostile: str, tmp_path: Path, in_process: Command) -> None:
    commands = [("check", hostile), ("run", hostile), ("run", hostile, "--format", "md")]
    for command in commands:
        done = in_process(*command)
        assert done.returncode == 0, done.stderr
        assert is_clean(done.stdout + done.stderr), command
        assert MARKUP.replace("[", "\\[")[:4] in done.stdout or "[/bold]" in done.stdout or command[0] == "check"
    (folder,) = (tmp_path / "results").iterdir()
    for command in (("show", str(folder)), ("show", str(folder), "--by", "seed"), ("verify", str(folder))):
        done = in_process(*command)
        assert done.returncode == 0, done.stderr
        assert is_clean(done.stdout + done.stderr), command
    assert is_clean((folder / "log.txt").read_text("utf-8"))
    assert is_clean((folder / "table.md").read_text("utf-8"))


def test_audits_print_only_what_can_be_read(hostile: str, in_process: Command) -> None:
    done = in_process("audit", hostile, "-q")
    assert done.returncode == 0, done.stderr
    assert is_clean(done.stdout + done.stderr)


def test_failed_cells_and_errors(tmp_path: Path, in_process: Command) -> None:
    rows = {"": {ESCAPES: 1}}
    (tmp_path / "f.yaml").write_text(json.dumps({"name": "f", "agents": [{"name": "A", "distributions": rows}]}))
    done = in_process("run", "f.yaml")
    assert done.returncode == 3
    assert is_clean(done.stdout + done.stderr)
    for arguments in (["run", f"{ESCAPES}.yaml"], ["check", "f.yaml", "-S", f"{ESCAPES}=1"], ["show", ESCAPES],
                      ["models", "path", f"{ESCAPES}.gguf"], ["run", "f.yaml", "--trust", ESCAPES]):  # fmt: skip
        done = in_process(*arguments)
        assert done.returncode == 2
        assert is_clean(done.stderr), arguments


def test_a_terminal_sees_no_escapes_of_a_file(
    hostile: str, tmp_path: Path, command_line: list[str], environment: dict[str, str]
) -> None:
    """On a real terminal, where there are colours: none of them is the file's."""
    main, terminal = pty.openpty()
    with os.fdopen(main, "rb", buffering=0) as screen:
        process = subprocess.Popen(
            [*command_line, "run", hostile],
            cwd=tmp_path,
            env={**environment, "TERM": "xterm"},
            stdout=terminal,
            stderr=terminal,
        )
        os.close(terminal)
        seen = b""
        while True:
            try:
                part = screen.read(65536)
            except OSError:  # how Linux says that nobody writes any more
                break
            if not part:
                break
            seen += part
        assert process.wait() == 0
    for sequence in (b"\x1b]0;", b"\x1b[2J\x9b", "\x9b".encode(), "\u202e".encode(), b"\x07"):
        assert sequence not in seen
    assert b"\\x1b]0;owned" in seen


def test_a_model_file_that_talks_to_the_terminal(tmp_path: Path, in_process: Command) -> None:
    """Its name, its template, its tokens and its errors."""
    a = of_byte(ord("a"))
    facts = {"general.name": ESCAPES, "tokenizer.chat_template": "{{ raise_exception('" + ESCAPES + "') }}"}
    bigram_model(tmp_path / "m.gguf", {a: {of_byte(0x1B): 9.0}}, metadata=facts)
    (tmp_path / "e.yaml").write_text(
        "name: e\nagents: [{name: A, model: m.gguf, prompt: a}]\nauction: {max_tokens: 3}\n"
    )
    for command in (("check", "e.yaml"), ("run", "e.yaml")):
        done = in_process(*command)
        assert done.returncode == 0, done.stderr
        assert is_clean(done.stdout + done.stderr)
    (tmp_path / "c.yaml").write_text("name: c\nagents: [{name: A, model: m.gguf, chat: {user: a}}]\n")
    bigram_model(tmp_path / "m.gguf", metadata={**facts, "general.architecture": ESCAPES})
    done = in_process("run", "c.yaml")
    assert done.returncode == 2
    assert is_clean(done.stderr)


# HTML


def test_a_report_of_hostile_names_and_texts(hostile: str, tmp_path: Path, in_process: Command) -> None:
    assert in_process("run", hostile, "-q").returncode == 0
    (folder,) = (tmp_path / "results").iterdir()
    done = in_process("report", str(folder), "--figures", "none")
    assert done.returncode == 0, done.stderr
    page = (folder / "report.html").read_text("utf-8")
    assert "<img src=x" not in page
    assert "<script>alert(1)" not in page
    assert "\x1b" not in page
    assert "Content-Security-Policy" in page


# Code of others


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "more than 5 seconds"),
        ("{% set n = namespace(x='aaaa') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}", "it takes"),
        ("{{ 'a' * 9999999999 }}", "memory"),
        ("{{ 'a'.ljust(9999999999) }}", "memory"),
        ("{{ 'a' * 2000000 }}", "more than 1,000,000 characters"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
        ("{{ raise_exception('x' * 5000) }}", "x" * 999),
        ("{{ raise_exception('one\ntwo\u2028three') }}", "one\\ntwo\\x2028three"),
        ("{% include '/etc/passwd' %}", "/etc/passwd"),
    ],
)  # fmt: skip
def test_the_chat_template_of_a_model_has_bounds(
    tmp_path: Path, in_process: Command, monkeypatch: pytest.MonkeyPatch, template: str, reason: str
) -> None:
    from tokenauction_cli.lm.prompts import chat_template

    if "5 seconds" in reason:
        monkeypatch.setattr(chat_template, "SECONDS", 0.5)
        reason = "it takes more than"
    bigram_model(tmp_path / "m.gguf", metadata={"tokenizer.chat_template": template})
    (tmp_path / "e.yaml").write_text("name: e\nagents: [{name: A, model: m.gguf, chat: {user: a}}]\n")
    done = in_process("check", "e.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "the chat template of m.gguf refuses these messages: " in done.stderr
    assert reason in done.stderr
    assert len(done.stderr) < 2_000


PIRATE = "from pathlib import Path\nPath('owned').touch()\n"


def test_a_rule_of_ones_own_needs_trust(tmp_path: Path, in_process: Command) -> None:
    rule = "from tokenauction_cli.mechanism.aggregation.rules import Linear\nclass Mine(Linear):\n    pass\n"
    (tmp_path / "my_rules.py").write_text(PIRATE + rule)
    (tmp_path / "e.yaml").write_text(TOY + "auction: {aggregation: 'my_rules:Mine'}\n")
    for command in ("check", "run", "audit"):
        done = in_process(command, "e.yaml")
        assert done.returncode == 2
        assert "e.yaml:3:24: the rule 'my_rules:Mine' is code of your own; it runs only with" in done.stderr
        assert done.stderr.rstrip().endswith("'trust: [my_rules]' or --trust my_rules")
        assert in_process(command, "e.yaml", "--trust", "other").returncode == 2
    assert not (tmp_path / "owned").exists()
    assert in_process("check", "e.yaml", "--trust", "my_rules").returncode == 0
    assert in_process("run", "e.yaml", "--trust", "my_rules", "-q").returncode == 0
    assert (tmp_path / "owned").exists()


@pytest.mark.parametrize("module", ["a b", "../x", "os;", "", "-x", "x.py/"])
def test_trust_is_the_name_of_a_module(tmp_path: Path, in_process: Command, module: str) -> None:
    (tmp_path / "e.yaml").write_text(TOY)
    done = in_process("check", "e.yaml", f"--trust={module}")
    assert done.returncode == 2
    assert f"--trust {module}: " in done.stderr


AS_INSTALLED = "import sys; sys.path.pop(0); from tokenauction_cli.cli.app import main; main()"  # as the script starts
COMMANDS = """
check experiments/e.yaml
run experiments/e.yaml
run experiments/e.yaml --fresh --workers 2
audit experiments/e.yaml
audit RUN
show RUN
list
run experiments/e.yaml -S seed=1
compare results
report RUN --figures none
verify RUN
models list
schema
init new
check m.yaml
run m.yaml
"""


@pytest.fixture
def traps(tmp_path: Path) -> Path:
    """A folder in which a module of every name that this program or Python's library imports leaves a mark when run."""
    installed = {name for name in packages_distributions() if not name.startswith(("tokenauction_cli", "_"))}
    names = {*sys.stdlib_module_names, *installed, "sitecustomize", "usercustomize", "my_rules"}
    (tmp_path / "experiments").mkdir()
    for folder in (tmp_path, tmp_path / "experiments"):
        for name in names:
            (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'owned')!r}, 'a').write({name!r})\n")
    (tmp_path / "experiments" / "e.yaml").write_text(TOY + "auction: {payments: [pay_your_bid, myerson_tv]}\n")
    bigram_model(tmp_path / "m.gguf")
    (tmp_path / "m.yaml").write_text("name: m\nagents: [{name: A, model: m.gguf, chat: {user: a}}]\n")
    return tmp_path


@pytest.mark.parametrize("commands", [COMMANDS, pytest.param("doctor", marks=pytest.mark.slow)], ids=["all", "doctor"])
def test_a_file_beside_an_experiment_is_no_module(traps: Path, commands: str) -> None:
    """No command imports one, whatever its name, nor does a process that it starts."""
    pytest.importorskip("distributed")
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE_ROOT), "HF_HUB_OFFLINE": "1"}
    for command in commands.strip().splitlines():
        words = [str(next((traps / "results").glob("toy-*"))) if word == "RUN" else word for word in command.split()]
        done = subprocess.run(
            [sys.executable, "-c", AS_INSTALLED, *words], cwd=traps, env=environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert not (traps / "owned").exists(), (command, (traps / "owned").read_text())
        assert done.returncode == 0, (command, done.stderr)


def test_a_run_of_a_stranger_brings_no_code(tmp_path: Path, in_process: Command) -> None:
    """What its experiment trusts is trusted again by whom verifies it, or not at all."""
    rule = "from tokenauction_cli.mechanism.aggregation.rules import Linear\nclass Mine(Linear):\n    pass\n"
    (tmp_path / "their_rules.py").write_text(rule)
    (tmp_path / "e.yaml").write_text(TOY + "auction: {aggregation: 'their_rules:Mine'}\ntrust: [their_rules]\n")
    importlib.invalidate_caches()
    assert in_process("run", "e.yaml", "-q").returncode == 0
    (tmp_path / "their_rules.py").write_text(PIRATE + rule)
    sys.modules.pop("their_rules")
    importlib.invalidate_caches()
    (folder,) = (tmp_path / "results").iterdir()
    done = in_process("verify", str(folder))
    assert done.returncode == 0
    assert "note    texts: not computed again: they need --trust their_rules" in done.stdout
    assert not (tmp_path / "owned").exists()
    assert ": the same bytes" in in_process("verify", str(folder), "--trust", "their_rules").stdout
    assert (tmp_path / "owned").exists()


@pytest.mark.parametrize("command", ["verify", "audit"])
def test_no_path_of_a_manifest_is_searched_for_modules(
    tmp_path: Path, in_process: Command, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Who trusts a module means the one in the working directory, not the one where a stranger's run says."""
    rule = "from tokenauction_cli.mechanism.aggregation.rules import Linear\nclass Mine(Linear):\n    pass\n"
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "the_rules.py").write_text(rule)
    (tmp_path / "theirs" / "e.yaml").write_text(TOY + "auction: {aggregation: 'the_rules:Mine'}\ntrust: [the_rules]\n")
    importlib.invalidate_caches()
    assert in_process("run", "theirs/e.yaml", "-q").returncode == 0
    (folder,) = (tmp_path / "results").iterdir()
    (tmp_path / "theirs" / "the_rules.py").write_text(PIRATE + rule)
    sys.modules.pop("the_rules")
    importlib.invalidate_caches()
    assert in_process("audit", str(folder)).returncode == 2, "it is not trusted"
    done = in_process(command, str(folder), "--trust", "the_rules")
    assert done.returncode == 2
    assert "the_rules" in done.stderr
    assert not (tmp_path / "owned").exists()
    (tmp_path / "the_rules.py").write_text(rule)
    importlib.invalidate_caches()
    assert in_process(command, str(folder), "--trust", "the_rules").returncode == 0


def test_a_run_of_a_later_version_is_not_read(tmp_path: Path, in_process: Command) -> None:
    (tmp_path / "e.yaml").write_text(TOY)
    assert in_process("run", "e.yaml", "-q").returncode == 0
    (manifest,) = (tmp_path / "results").glob("*/manifest.json")
    manifest.write_text(manifest.read_text("utf-8").replace('"format": 1', '"format": 2'), "utf-8")
    for command in ("show", "verify", "report"):
        done = in_process(command, str(manifest.parent))
        assert done.returncode != 0
        assert "a later version of tokauction has written this run" in done.stderr


# Paths


def test_nothing_of_an_experiment_names_a_file(hostile: str, tmp_path: Path, in_process: Command) -> None:
    """But its name, which is [A-Za-z0-9._-]+ without a leading dot."""
    assert in_process("run", hostile, "-q").returncode == 0
    (folder,) = (tmp_path / "results").iterdir()
    assert folder.name.startswith("hostile-")
    names = [path.name for path in folder.rglob("*")]
    assert all(name.replace(".", "").replace("-", "").replace("_", "").isalnum() for name in names), names
    assert {path.name for path in tmp_path.iterdir()} == {"h.yaml", "results"}


# Secrets


def test_tokens_are_written_nowhere(tmp_path: Path, in_process: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = "a-token-without-a-prefix"
    monkeypatch.setenv("HF_TOKEN", SECRET)
    monkeypatch.setenv("HUGGING_FACE_HUB_TOKEN", plain)
    monkeypatch.setenv("HF_ENDPOINT", "https://user:password@example.org")
    bigram_model(tmp_path / "m.gguf", metadata={"general.architecture": f"{SECRET} {plain}"})
    (tmp_path / "e.yaml").write_text("name: e\nagents: [{name: A, model: m.gguf, prompt: a}]\n")
    said = in_process("run", "e.yaml")
    assert said.returncode == 2
    bigram_model(tmp_path / "m.gguf")
    said = in_process("run", "e.yaml")
    assert said.returncode == 0
    doctor = in_process("doctor")
    assert "set (not shown)" in doctor.stdout
    texts = [said.stdout, said.stderr, doctor.stdout, doctor.stderr]
    texts += [path.read_text("utf-8", "replace") for path in (tmp_path / "results").rglob("*") if path.is_file()]
    for secret in (SECRET, plain, "password"):
        assert not any(secret in text for text in texts), secret


def test_the_log_blots_tokens_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import logging

    from tokenauction_cli.runs.run_folder import RunFolder
    from tokenauction_cli.runs.run_log import logging_to

    monkeypatch.setenv("HF_TOKEN", "correct horse")
    with pytest.raises(ValueError), logging_to(RunFolder(tmp_path)):  # noqa: PT012
        logging.getLogger("tokauction.llama").warning("a model says \x1b[2J hf_abcdef")
        raise ValueError("Bearer correct horse")
    log = (tmp_path / "log.txt").read_text()
    assert "WARNING a model says \\x1b[2J ***" in log
    assert "the run ends with an error" in log
    assert "ValueError: Bearer ***" in log
    assert "Traceback" in log
    assert "correct horse" not in log
