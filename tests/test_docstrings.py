"""Every public function and class of the documented core has an example that runs."""

from __future__ import annotations

import doctest
import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import tokenauction_cli

ROOT = Path(tokenauction_cli.__file__).parent
ROOMS = ("statistics", *(f"mechanism/{room}" for room in ("aggregation", "payments", "sampling", "alternatives")))
FILES = ("distributions", "divergences", "measures", "normalised", "outcome", "registry", "terms", "testing", "welfare")
PATHS = sorted(
    [
        *(path for room in ROOMS for path in (ROOT / room).glob("[!_]*.py")),
        *(ROOT / "mechanism" / f"{name}.py" for name in FILES),
        *(ROOT / "lm" / f"{name}.py" for name in ("base", "backend")),
        ROOT / "api.py",
        ROOT / "system" / "errors.py",
    ]
)
MODULES = [".".join(path.relative_to(ROOT.parent).with_suffix("").parts) for path in PATHS]
IN_PART = ("tokenauction_cli.api", "tokenauction_cli.system.errors")
"""Examples are of what notebooks call, and of the root of the tree."""


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # runs are written into ./results
    failed, n_examples = doctest.testmod(import_module(name))
    assert n_examples
    assert not failed


def public(module: Any) -> list[str]:
    return [
        name
        for name, found in vars(module).items()
        if not name.startswith("_") and getattr(found, "__module__", "") == module.__name__ and callable(found)
    ]


@pytest.mark.parametrize("name", [name for name in MODULES if name not in IN_PART])
def test_what_is_public_has_an_example(name: str) -> None:
    module = import_module(name)
    without = [each for each in public(module) if ">>>" not in (inspect.getdoc(getattr(module, each)) or "")]
    assert without == []
