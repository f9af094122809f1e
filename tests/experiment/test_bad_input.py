"""Broken experiment files through the real command: exit code 2 with a place, soon, in little memory, nothing written.

One process reads many files, one after the other, as `tokauction check` does.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import test_experiment
import test_located_yaml

SECONDS = 10  # of processor time: one or two where nothing else runs, minutes where work grows with a square
MEGABYTES = 500
FILES_PER_PROCESS = 40
PLACE = re.compile(r"[^:\n]+\.yaml:[1-9]\d*:[1-9]\d*: \S")

DRIVER = """
import contextlib, io, json, sys, time
import tokenauction_cli.cli.app as cli
from tokenauction_cli.system.memory import peak_memory
command, names = sys.argv[1].split(), sys.argv[2:]
for name in names:
    sys.argv = ["tokauction", *command, name]
    out, errors, begun = io.StringIO(), io.StringIO(), time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
    seconds = time.process_time() - begun
    memory = peak_memory() >> 20
    row = {"code": code, "out": out.getvalue(), "errors": errors.getvalue(), "seconds": seconds, "memory": memory}
    print(json.dumps(row))
"""
TWO = test_experiment.TWO
ONE_AGENT = b"agents: [{name: A, distribution: {x: 1}}]\n"
AWKWARD_NAMES = ["O'Hare", "7/11", "東京", "👩‍✈️", "[/bold] :smile:", "<b>&amp;", "${HOME}; rm -rf /"]


def prompt(template: str) -> bytes:
    return f"name: e\nagents:\n  - name: A\n    model: a.gguf\n    prompt: {json.dumps(template)}\n".encode()


def agents(names: list[str]) -> bytes:
    rows = [
        f"  - {{name: {json.dumps(name, ensure_ascii=False)}, id: a{k}, distribution: {{x: 1}}}}\n"
        for k, name in enumerate(names)
    ]
    return f"name: e\nagents:\n{''.join(rows)}".encode()


WITHOUT_A_PLACE: dict[str, bytes] = {"too large": b"#" * 1_000_001}
BINARY: dict[str, bytes] = {
    "utf-16": TWO.encode("utf-16"),
    "latin-1": b"name: e\nagents: [{name: Caf\xe9, distribution: {x: 1}}]\n",
    "a zip archive": b"PK\x03\x04" + bytes(range(256)) * 40,
    "zeros": bytes(10_000),
    "an escape": b"name: \x1b]0;title\x07\n",
    "a long line": b"name: " + b"a" * 900_000,
    "a long key": b"name: e\nagents: [{name: A, " + b"k" * 900_000 + b": 1}]\n",
    "many keys": b"name: e\n" + b"".join(b"k%d: 1\n" % k for k in range(40_000)),
    "many agents": b"name: e\nagents: [" + b"{name: A}," * 10_000 + b"]\n",
    "many mistakes": b"name: e\nagents: [" + b"5," * 40_000 + b"]\n",
    "deep": b"name: " + b"[" * 900_000,
    "deep mappings": b"name: " + b"{a: " * 200_000,
    "laughs": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (97 + k, 97 + k, b",".join([b"*%c" % (96 + k)] * 9)) for k in range(1, 12)),
    "a billion cells": (TWO + "sweep: {seeds: 1000000000}\n").encode(),
    "a grid of trillions": (
        TWO + f"sweep: {{grid: {{alpha: {list(range(1, 2000))}, beta: {list(range(1, 2000))}}}}}\n"
    ).encode(),
    "a template that runs long": prompt("{% for a in range(9999) %}" * 3 + "{{ a }}" + "{% endfor %}" * 3),
    "a template that grows": prompt(
        "{% set x = 'aaaaaaaaaaaaaaaa' %}{% for i in range(9999) %}" + "{{ x }}" * 7 + "{% endfor %}"
    ),
    "a template that looks around": prompt("{{ ''.__class__.__mro__[1].__subclasses__() }}"),
    "a template that includes": prompt("{% include '/etc/passwd' %}"),
    "a python object": b"name: !!python/object/apply:os.system ['touch owned']\n" + ONE_AGENT,
    "a name that climbs": b"name: ../../e\n" + ONE_AGENT,
    "an absolute name": b"name: /tmp/e\n" + ONE_AGENT,
    "an id that climbs": b"name: e\nagents: [{name: A, id: ../x, distribution: {x: 1}}]\n",
    "an agent over two lines": b'name: e\nagents: [{name: "A\\r\\nB", distribution: {x: 1}}]\n',
    "a direction mark": 'name: e\nagents: [{name: "A\u202eB", distribution: {x: 1}}]\n'.encode(),
}


class Answer(NamedTuple):
    """What the command did with one file."""

    code: int
    out: str
    errors: str
    seconds: float
    memory: int


def ask(folder: Path, files: Mapping[str, bytes], environment: dict[str, str], command: str) -> dict[str, Answer]:
    """The answers to all files, which are the only thing in the folder before and after."""
    paths = {name: folder / f"{k}.yaml" for k, name in enumerate(files)}
    for name, content in files.items():
        paths[name].write_bytes(content)
    answers: dict[str, Answer] = {}
    names = list(files)
    for k in range(0, len(names), FILES_PER_PROCESS):
        some = names[k : k + FILES_PER_PROCESS]
        arguments = [command, *(paths[name].name for name in some)]
        done = subprocess.run(
            [sys.executable, "-c", DRIVER, *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=SECONDS * len(some),
        )
        rows = map(json.loads, done.stdout.splitlines())
        answers |= {name: Answer(**row) for name, row in zip(some, rows, strict=True)}
    assert {path.name for path in folder.iterdir()} == {path.name for path in paths.values()}, "nothing is written"
    return answers


def corpus() -> Iterator[tuple[str, bytes]]:
    for k, (text, *_) in enumerate(test_experiment.BROKEN):
        yield f"experiment {k}", text.encode("utf-8")
    for k, (data, _, words) in enumerate(test_located_yaml.BROKEN):
        if "1,000,001 bytes" not in words:
            yield f"yaml {k}", data
    yield from BINARY.items()


def test_broken_files(tmp_path: Path, environment: dict[str, str]) -> None:
    files = dict(corpus())
    assert len(files) >= 150
    answers = ask(tmp_path, files | WITHOUT_A_PLACE, environment, "check")
    for name, answer in answers.items():
        assert (answer.code, answer.out) == (2, ""), (name, answer)
        assert name in WITHOUT_A_PLACE or PLACE.match(answer.errors), (name, answer.errors[:300])
        assert "Traceback" not in answer.errors, (name, answer.errors[:3000])
        assert "unexpected error" not in answer.errors, (name, answer.errors[:300])
        assert "\x1b" not in answer.errors
        assert len(answer.errors) < 300_000, name
        assert answer.seconds < SECONDS, (name, answer.seconds)
        assert answer.memory < MEGABYTES, (name, answer.memory)


def test_run_writes_nothing_either(tmp_path: Path, environment: dict[str, str]) -> None:
    for name, answer in ask(tmp_path, BINARY, environment, "run -o results").items():
        assert (answer.code, answer.out) == (2, ""), (name, answer.errors[:300])


def test_what_must_work(tmp_path: Path, environment: dict[str, str]) -> None:
    files: dict[str, bytes] = {
        "a byte order mark": b"\xef\xbb\xbf" + TWO.encode(),
        "crlf": TWO.replace("\n", "\r\n").encode(),
        "both": b"\xef\xbb\xbf" + TWO.replace("\n", "\r\n").encode(),
        "names": agents(AWKWARD_NAMES),
    }
    for name, answer in ask(tmp_path, files, environment, "check").items():
        assert (answer.code, answer.errors) == (0, ""), (name, answer)


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_whole_process(tmp_path: Path, command_line: list[str], environment: dict[str, str], command: str) -> None:
    """Start to end, Python's own start included."""
    (tmp_path / "e.yaml").write_bytes(BINARY["laughs"])
    process = subprocess.Popen(
        [*command_line, command, "e.yaml"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    assert process.stdout is not None
    with process.stdout, process.stderr:
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 2
    assert errors.startswith(b"e.yaml:")
    assert usage.ru_utime + usage.ru_stime < SECONDS
    assert [path.name for path in tmp_path.iterdir()] == ["e.yaml"]


def test_a_name_for_every_entry_of_a_place(tmp_path: Path) -> None:
    """The last resort: whatever a message quotes is one line, and short."""
    from tokenauction_cli.experiment.experiment import load_experiment
    from tokenauction_cli.system.errors import ExperimentError

    def messages(text: bytes) -> list[Any]:
        (tmp_path / "e.yaml").write_bytes(text)
        with pytest.raises(ExperimentError) as caught:
            load_experiment(tmp_path / "e.yaml")
        return [problem.message for problem in caught.value.problems]

    for text in BINARY.values():
        for message in messages(text):
            assert message.isprintable()
            assert len(message) < 1_000
