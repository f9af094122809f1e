"""How llama.cpp is compiled: the stores that AMX needs, whose flags count, and what happens where it crashes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tokenauction_cli.lm import build_llama
from tokenauction_cli.lm.llama import llama_build
from tokenauction_cli.lm.llama.hardware import Hardware
from tokenauction_cli.lm.llama.llama_build import LAUNCHER, WITHOUT_AMX, Build
from tokenauction_cli.lm.probing import probe
from tokenauction_cli.lm.probing.probe import Crash

TILES = """
#include <immintrin.h>
#include <cstdint>
struct tiles { uint8_t palette = 0, start = 0, reserved[14] = {0}; uint16_t colsb[16] = {0}; uint8_t rows[16] = {0}; };
void configure() {
    alignas(64) tiles t = {};
    t.palette = 1;
    for (int i = 0; i < 8; i++) { t.rows[i] = i < 2 ? 8 : 16; t.colsb[i] = i < 2 || i > 3 ? 64 : 32; }
    _tile_loadconfig(&t);
}
"""
FLAGS = ("-O3", "-march=sapphirerapids", "-S", "-o", "-")


def compiled(compiler: str, source: Path, *, launcher: bool) -> str:
    command = [*(["sh", str(LAUNCHER)] if launcher else []), compiler, *FLAGS, str(source)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def bytes_stored(assembly: str) -> int:
    """How many bytes are written to the stack before the tile configuration is loaded."""
    widths = {"movb": 1, "movw": 2, "movl": 4, "movq": 8, "xmm": 16, "ymm": 32, "zmm": 64}
    stores = re.findall(r"^\s+v?(mov\w+)\s+([^\n]*),\s*-?\d*\(%r[sb]p\)", assembly.split("ldtilecfg")[0], re.MULTILINE)
    return sum(next(w for name, w in widths.items() if name in f"{kind} {source}") for kind, source in stores)


@pytest.fixture(params=["g++", "clang++"])
def compiler(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    name: str = request.param
    (tmp_path / "a.cpp").write_text("#include <immintrin.h>\nvoid f(void *p) { _tile_loadconfig(p); }\n")
    known = shutil.which(name) is not None and (
        subprocess.run([name, *FLAGS, str(tmp_path / "a.cpp")], capture_output=True, check=False).returncode == 0
    )
    if not known:
        pytest.skip(f"there is no {name} that knows AMX")
    return name


def test_the_stores_of_a_tile_configuration_are_kept(tmp_path: Path, compiler: str) -> None:
    """64 bytes of zeros, 1 of the palette, 16 of colsb and 8 of rows, before `ldtilecfg`."""
    source = tmp_path / "ggml-cpu" / "amx" / "mmq.cpp"
    source.parent.mkdir(parents=True)
    source.write_text(TILES)
    kept = bytes_stored(compiled(compiler, source, launcher=True))
    assert kept >= 64
    lost = bytes_stored(compiled(compiler, source, launcher=False))
    if compiler == "g++" and lost < kept:
        assert kept >= 64 + 1 + 16 + 8, "this GCC takes them for dead"


def test_other_files_are_compiled_as_ever(tmp_path: Path, compiler: str) -> None:
    source = tmp_path / "mmq.cpp"
    source.write_text(TILES)
    assert compiled(compiler, source, launcher=True) == compiled(compiler, source, launcher=False)


def test_flags_for_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_EXTRA_FLAGS", "-mno-amx-tile -mno-amx-int8")
    done = subprocess.run(
        ["sh", str(LAUNCHER), "echo", "-c", "a b.cpp"], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout == "-c a b.cpp -mno-amx-tile -mno-amx-int8\n"


# Whose flags count


BEFORE = Build("1.0", "-DGGML_CUDA=on", "", llama_build._launcher_digest())


@pytest.mark.parametrize(
    ("before", "environment", "expected"),
    [
        (None, {}, ""),
        (None, {"CMAKE_ARGS": "-DA=1 -DB=2"}, "-DA=1 -DB=2"),
        (BEFORE, {}, "-DGGML_CUDA=on"),  # make test after CMAKE_ARGS=... make install
        (BEFORE, {"CMAKE_ARGS": ""}, ""),
        (BEFORE, {"CMAKE_ARGS": "-DGGML_VULKAN=on"}, "-DGGML_VULKAN=on"),
    ],
)
def test_the_users_flags(before: Build | None, environment: dict[str, str], expected: str) -> None:
    wanted = Build.wanted("1.0", before, environment)
    assert wanted.cmake_args == expected
    assert wanted.arguments.endswith(f"-DGGML_RPC=ON {expected}".strip()), "the last of equal flags wins"
    assert (wanted == before) is (before is not None and expected == before.cmake_args)


def test_a_build_without_amx_stays_one_until_the_launcher_changes() -> None:
    before = Build("1.0", "", WITHOUT_AMX, llama_build._launcher_digest())
    assert Build.wanted("1.0", before, {}) == before
    assert Build.wanted("1.0", Build("1.0", "", WITHOUT_AMX, "another"), {}).extra_flags == ""


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of libraries that pip pretends to fill."""
    library = tmp_path / "lib"
    library.mkdir()
    (library / "libllama.so").write_bytes(b"by other hands")
    monkeypatch.setattr(llama_build, "_libraries", lambda: library)
    return library


Pip = list[dict[str, str]]


@pytest.fixture
def pip(library: Path, monkeypatch: pytest.MonkeyPatch) -> Pip:
    """Notes every call of pip: its words and the flags that it was given."""
    calls: Pip = []

    def run(command: list[str], env: dict[str, str], check: bool) -> None:
        (library / "libllama.so").write_bytes(f"build {len(calls)}".encode())
        flags = {name: env[name] for name in ("CMAKE_ARGS", "LLAMA_EXTRA_FLAGS")}
        calls.append({"words": " ".join(command), **flags})

    monkeypatch.setattr(build_llama.subprocess, "run", run)
    monkeypatch.delenv("CMAKE_ARGS", raising=False)
    return calls


@pytest.fixture
def make(tmp_path: Path) -> Callable[[], int]:
    (tmp_path / "requirements.lock").write_text("numpy==2.0\nllama-cpp-python==0.3.36\n    # via me\n")
    return lambda: build_llama.main(["--requirements", str(tmp_path / "requirements.lock")])


def test_it_is_built_once(library: Path, pip: Pip, make: Callable[[], int]) -> None:
    for _ in range(2):
        assert make() == 0
    (call,) = pip
    assert call["words"].endswith("llama-cpp-python==0.3.36")
    assert {"--no-cache-dir", "--force-reinstall", "--no-binary"} <= set(call["words"].split())
    (library / "libllama.so").write_bytes(b"by other hands again")
    assert make() == 0
    assert len(pip) == 2


def test_new_flags_are_a_new_build(pip: Pip, make: Callable[[], int], monkeypatch: pytest.MonkeyPatch) -> None:
    make()
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_CUDA=on")
    make()
    monkeypatch.delenv("CMAKE_ARGS")
    make()
    assert [call["CMAKE_ARGS"].endswith("-DGGML_CUDA=on") for call in pip] == [False, True]


@pytest.mark.parametrize("record", ["", "{}", "[]", '{"libraries": 3}', "\x00"])
def test_a_record_that_says_nothing(library: Path, pip: Pip, make: Callable[[], int], record: str) -> None:
    make()
    (library / llama_build._RECORD).write_text(record)
    assert llama_build.installed() is None
    make()
    assert len(pip) == 2
    assert json.loads((library / llama_build._RECORD).read_text("utf-8"))["version"] == "0.3.36"


# After the build


def crash(has_amx: bool) -> Crash:
    return Crash(Hardware(0, 2), "it crashed (SIGSEGV) at: 2 rows", has_amx)


def test_where_amx_crashes_it_is_built_again_without(
    pip: Pip, make: Callable[[], int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make()
    asked: list[tuple[int, ...]] = []

    def found(_path: Path, hardware: Hardware, sizes: tuple[int, ...]) -> Crash | None:
        asked.append(sizes)
        return crash(has_amx=True) if len(pip) == 1 else None

    monkeypatch.setattr(probe, "crash_of", found)
    capsys.readouterr()
    for _ in range(2):
        assert build_llama.main(["--try", "m.gguf"]) == 0
    assert [call["LLAMA_EXTRA_FLAGS"] for call in pip] == ["", WITHOUT_AMX]
    assert asked == [(1, 2, 16, 33, 63)] * 2
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "llama.cpp crashes with AMX on this processor (it crashed (SIGSEGV) at: 2 rows): compiling it again without "
        "AMX, half as fast."
    ]
    make()
    assert len(pip) == 2, "it stays without"


@pytest.mark.parametrize("has_amx", [True, False])
def test_what_no_build_helps_is_said(
    pip: Pip,
    make: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    has_amx: bool,
) -> None:
    """Runs switch off what crashes, one by one."""
    make()
    monkeypatch.setattr(probe, "crash_of", lambda *_: crash(has_amx))
    for _ in range(2):
        assert build_llama.main(["--try", "m.gguf"]) == 0
    assert len(pip) == 1 + has_amx
    assert "`tokauction doctor` says what is done about it" in capsys.readouterr().err
