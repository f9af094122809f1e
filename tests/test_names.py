"""One name, one class: a reader who meets a name knows which class it is."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "tokenauction_cli"


def test_no_two_classes_have_one_name() -> None:
    trees = (ast.parse(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py"))
    classes = Counter(node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    assert len(classes) > 400
    assert [name for name, n in classes.items() if n > 1] == []
