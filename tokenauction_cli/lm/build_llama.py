"""Builds llama-cpp-python for the processor it stands on: `python -m tokenauction_cli.lm.build_llama`.

It compiles as `llama_build` says, where what is installed was not compiled so. `--try MODEL` has a child process
evaluate with a GGUF file; where that crashes, llama.cpp is built without AMX. Building needs nothing but Python, so
that it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import distribution
from pathlib import Path

from .llama.llama_build import COMMAND, PACKAGE, WITHOUT_AMX, Build, installed, remember

ROWS = (1, 2, 16, 33, 63)  # evaluated after a build: AMX is used from two rows on


def install(build: Build) -> None:
    """Compile and install; raises CalledProcessError where pip fails, which says why itself."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
    anew = ["--force-reinstall", "--no-deps", "--no-cache-dir", "--no-binary", PACKAGE]
    flags = {"CMAKE_ARGS": build.arguments, "LLAMA_EXTRA_FLAGS": build.extra_flags}
    subprocess.run([*pip, *anew, f"{PACKAGE}=={build.version}"], env={**os.environ, **flags}, check=True)
    remember(build)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description="Build llama.cpp for this processor.")
    parser.add_argument("--requirements", type=Path, help="pins the version; default: the version that is installed")
    parser.add_argument("--try", dest="model", type=Path, help="evaluate this model; build without AMX if that crashes")
    options = parser.parse_args(arguments)
    before = installed()
    try:
        if options.model is not None:
            _try(options.model, before)
            return 0
        build = Build.wanted(_version(options.requirements), before)
        if build != before:
            _say(f"Compiling llama.cpp{f' with {build.cmake_args}' if build.cmake_args else ''}: some minutes, once.")
            install(build)
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


def _try(model: Path, build: Build | None) -> None:
    """Evaluate as runs do, with all threads; where that crashes with AMX, build without it."""
    from ..system.processors import usable_processors
    from .llama.hardware import choose_hardware
    from .probing.probe import crash_of

    crash = crash_of(model, choose_hardware("cpu", "auto", usable_processors()), ROWS)
    if crash is None:
        return
    if build is None or build.has_amx_switched_off or not crash.has_amx:
        _say(f"llama.cpp crashes on this processor: {crash.how}. `tokauction doctor` says what is done about it.")
        return
    _say(f"llama.cpp crashes with AMX on this processor ({crash.how}): compiling it again without AMX, half as fast.")
    install(replace(build, extra_flags=WITHOUT_AMX))


def _version(requirements: Path | None) -> str:
    if requirements is None:
        return distribution(PACKAGE).version
    pinned = (line.split() for line in requirements.read_text("utf-8").splitlines())
    return next(words[0].split("==")[1] for words in pinned if words and words[0].startswith(f"{PACKAGE}=="))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
