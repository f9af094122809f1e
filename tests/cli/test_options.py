"""One meaning per option: old spellings with a note, groups and examples in every help."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from typer.main import get_command

from tokenauction_cli.cli import app, command
from tokenauction_cli.cli.spellings import current


def spelled(name: str, *arguments: str) -> tuple[list[str], list[str]]:
    """The arguments with today's options, and the old ones that were noted."""
    notes: list[str] = []
    return current(name, arguments, notes.append), [note.split()[0] for note in notes]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("report", "r --output x.html", "r --page x.html"),
        ("report", "r -o x.html", "r --page x.html"),
        ("report", "r -ox.html", "r --page x.html"),
        ("report", "r --only=tv --figures pdf,svg", "r --figures tv --figure-format pdf,svg"),
        ("compare", "a b --figures tv", "a b --columns tv"),
        ("verify", "r --cells 0", "r --sample 0"),
        ("run", "e.yaml --output here", "e.yaml --results here"),
    ],
)
def test_old_spellings_mean_what_they_meant(name: str, old: str, new: str) -> None:
    got, noted = spelled(name, *old.split())
    assert (got, bool(noted)) == (new.split(), True)
    assert spelled(name, *new.split()) == (new.split(), [])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("report", "r -o ."),  # a folder: where the runs are
        ("report", "r --figures all,none"),
        ("report", "r -- --only tv"),  # behind -- stands no option
        ("show", "r --columns tv --figures"),
        ("report", "r --only"),
    ],
)
def test_what_has_today_s_meaning_is_left_alone(name: str, words: str) -> None:
    got, _ = spelled(name, *words.split())
    assert got == words.replace("r --only", "r --figures").split() if words.endswith("--only") else words.split()


def test_an_old_spelling_works_with_a_note(in_process: Command, tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text("name: e\nagents: [{name: A, distribution: {x: 1}}]\nauction: {max_tokens: 1}\n")
    done = in_process("run", "e.yaml", "-q", "--output", "here")
    assert done.returncode == 0
    assert done.stderr == "--output is now --results: the old spelling goes with the next version\n"
    assert list(tmp_path.glob("here/*/cells.csv"))
    done = in_process("report", "e.yaml", "-o", "here", "--figures", "none", "--page", "x/y.html")
    assert (done.returncode, done.stdout) == (0, "x/y.html\n")


def commands() -> Iterator[tuple[str, Any]]:
    """What is typed after `tokauction`, and the command."""
    every: Any = get_command(app.app)
    for name, one in every.commands.items():
        yield from [] if one.hidden else [(name, one)]
        yield from ((f"{name} {below}", two) for below, two in getattr(one, "commands", {}).items())


@pytest.mark.parametrize("name", ["", *dict(commands())])
def test_every_help_ends_with_examples_that_can_be_typed(in_process: Command, name: str) -> None:
    done = in_process(*name.split(), "-h")
    assert done.returncode == 0
    assert "Documentation: " in done.stdout
    known = dict(commands())
    for line in command.EXAMPLES[name]:
        assert line in done.stdout
        program, *words = line.partition(" > ")[0].split()
        assert program == "tokauction"
        called = next(one for one in (" ".join(words[:2]), words[0]) if one in known)
        known[called].make_context(called, words[len(called.split()) :])


def test_commands_stand_in_groups(in_process: Command) -> None:
    said = in_process("-h").stdout
    assert [panel for panel in ("Start", "Read", "Incentives", "Trust") if f"─ {panel} ─" in said] == list(app.PANELS)


def test_an_option_has_one_meaning() -> None:
    """Of one name the value is of one kind, and -o is the folder of runs."""
    kinds: dict[str, set[str]] = {}
    for _, one in commands():
        for option in one.params:
            for name in option.opts if option.param_type_name == "option" else ():
                kinds.setdefault(name, set()).add(json.dumps([option.opts, option.is_flag]))
    ambiguous = {name for name, found in kinds.items() if len(found) > 1}
    assert not ambiguous
    assert kinds["-o"] == {json.dumps([["-o", "--results"], False])}
