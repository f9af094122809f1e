"""Where there is no `fcntl`, as on Windows, the command says what to do; the mechanism alone still works there."""

from __future__ import annotations

import subprocess
import sys

WITHOUT = "import sys; sys.modules['fcntl'] = None; "


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", WITHOUT + code], capture_output=True, text=True, check=False)


def test_a_command_says_where_tokauction_runs() -> None:
    found = python("sys.argv = ['tokauction', 'list']; from tokenauction_cli.cli.app import main; main()")
    assert found.returncode == 2
    assert found.stderr.startswith("tokauction runs on Linux and macOS")
    assert "WSL" in found.stderr


def test_the_mechanism_needs_no_lock() -> None:
    found = python("from tokenauction_cli.mechanism.aggregation.rules import Linear; print(Linear())")
    assert found.returncode == 0, found.stderr
