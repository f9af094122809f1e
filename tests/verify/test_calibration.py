"""What the knobs of a covering cost and lose, where there is no text to judge them by."""

from __future__ import annotations

from pathlib import Path

from conftest import Command

DISJOINT = """
name: disjoint
agents: [{name: A, distribution: {a: 1}}, {name: B, distribution: {b: 1}}]
auction: {alphabet: bytes, max_bytes: 2, aggregation: [log_linear]}
"""


def test_a_covering_is_not_judged_where_every_text_failed(tmp_path: Path, in_process: Command) -> None:
    (tmp_path / "e.yaml").write_text(DISJOINT)
    done = in_process("check", "e.yaml", "--covering")
    assert done.returncode == 2
    assert "e.yaml: a covering is judged along texts, and none was written; the first: " in done.stderr
