"""The compiled passes: built with what compiler there is, and done without where there is none."""

from __future__ import annotations

import ctypes
import shutil
from pathlib import Path

import pytest

import tokenauction_cli.mechanism.native
from tokenauction_cli.mechanism.native import compiled as passes
from tokenauction_cli.mechanism.native.build_passes import compiled
from tokenauction_cli.mechanism.native.sources import HEADERS, LIBRARY, SOURCES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The sources, where a library may be built."""
    home = Path(tokenauction_cli.mechanism.native.__file__).parent
    for name in (*SOURCES, *HEADERS):
        shutil.copy(home / name, tmp_path)
    return tmp_path


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no compiler")
@pytest.mark.parametrize("refused", ["nothing", "clones"])
def test_it_is_built(folder: Path, refused: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a compiler cannot make one function for several processors, one is made for any."""
    compiler = folder / "my-cc"
    test = 'case "$*" in *NO_CLONES*) ;; *) exit 1;; esac\n' if refused == "clones" else ""
    compiler.write_text(f'#!/bin/sh\n{test}exec cc "$@"\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    before = {path.name for path in folder.iterdir()}
    assert compiled(folder)
    assert {path.name for path in folder.iterdir()} == before | {LIBRARY}
    assert ctypes.CDLL(str(folder / LIBRARY)).pass_prefix


@pytest.mark.parametrize("compiler", ["/nowhere/cc", "false"])
def test_without_a_compiler_nothing_is_left_behind(
    folder: Path, compiler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", compiler)
    before = sorted(folder.iterdir())
    assert not compiled(folder)
    assert sorted(folder.iterdir()) == before


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no compiler")
def test_a_library_of_other_sources_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after an update of the sources alone: its passes would take other arguments."""
    with (folder / "passes.h").open("a") as header:
        header.write("\n")
    assert compiled(folder)
    monkeypatch.setattr(passes, "LIBRARY", folder / LIBRARY)
    passes.library.cache_clear()
    try:
        assert passes.library() is None
    finally:
        passes.library.cache_clear()
