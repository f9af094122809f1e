"""An experiment whose folder has a name that is not UTF-8: it runs, and everything reads its run again."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tokenauction_cli.runs.manifest_schema import kept_path, path_of

TABLES = "name: odd\nagents: [{name: A, distribution: {x: 1}}, {name: B, distribution: {y: 1}}]\nsweep: {seeds: 2}\n"


@pytest.mark.parametrize(
    "path", [b"/a/b.yaml", b"/\xff/b.yaml", "/Zürich 100%/b".encode(), b"/%FF/b", b"/\xff%41\xc3\xbc"]
)
def test_a_path_comes_back(path: bytes) -> None:
    given = Path(os.fsdecode(path))
    kept = kept_path(given)
    assert json.loads(json.dumps(kept).encode()) == kept
    assert kept.encode(), "it is text"
    assert path_of(kept) == given


def test_every_command_under_such_a_path(tmp_path: Path, command_line: list[str], environment: dict[str, str]) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system has only names in UTF-8")
    (folder / "e.yaml").write_text(TABLES)
    experiment = str(folder / "e.yaml")
    results = str(folder / "results")
    for command in (
        ["run", experiment, "-o", results],
        ["run", experiment, "-o", results],
        ["show", experiment, "-o", results],
        ["list", results],
        ["verify", experiment, "-o", results],
        ["report", experiment, "--results", results, "--figures", "none"],
    ):
        done = subprocess.run(
            [*command_line, *command], cwd=tmp_path, env=environment, capture_output=True, check=False
        )
        assert done.returncode == 0, (command, done.stderr.decode("utf-8", "replace"))
