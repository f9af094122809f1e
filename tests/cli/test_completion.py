"""Shell completion, as bash asks for it: the script that a user installs, then words completed by its function."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ASK = """
eval "$(tokauction --show-completion)"
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_tokauction_completion tokauction
echo "${COMPREPLY[@]}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["re"], "report"),
        (["models", "p"], "pull path"),
        (["run", "e.yaml", "--fr"], "--fresh"),
        (["run", "e.yaml", "--format", "j"], "json jsonl"),
        (["verify", "run", "--format", ""], "table json"),
        (["show", "resul"], ""),  # files are bash's own business
    ],
)
def test_bash_completes(tmp_path: Path, environment: dict[str, str], words: list[str], completed: str) -> None:
    script = tmp_path / "tokauction"
    script.write_text(f"#!{sys.executable}\nfrom tokenauction_cli.cli.app import main\nmain()\n")
    script.chmod(0o755)
    bash = shutil.which("bash")
    asked = {**environment, "PATH": f"{tmp_path}{os.pathsep}{environment['PATH']}"}
    done = subprocess.run(
        [str(bash), "-c", ASK, "bash", "tokauction", *words], env=asked, capture_output=True, text=True, check=True
    )
    assert (done.stdout.strip(), done.stderr) == (completed, "")
