"""How llama.cpp was compiled: the flags, and whether what is installed still is that build.

Two things differ from what pip does by itself: a compiler launcher makes AMX work where the processor has it
(`compile_llama.sh`), and llama.cpp's RPC backend is compiled. `CMAKE_ARGS` of the user come behind and win; they are
remembered, so that a build for a GPU stays one. A build by other flags, or by other hands, is not used again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

PACKAGE = "llama-cpp-python"
COMMAND = "python -m tokenauction_cli.lm.build_llama"
LAUNCHER = Path(__file__).parents[1] / "compile_llama.sh"
WITHOUT_AMX = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
_RECORD = "tokauction-build.json"


@dataclass(frozen=True)
class Build:
    """How llama.cpp was, or is to be, compiled."""

    version: str
    cmake_args: str  # the user's
    extra_flags: str = ""  # of every file
    launcher: str = ""  # digest of the launcher

    @classmethod
    def wanted(cls, version: str, before: Build | None, environment: Mapping[str, str] = os.environ) -> Build:
        """What the user asks for now, or else asked for before."""
        asked = environment.get("CMAKE_ARGS", before.cmake_args if before else "").strip()
        extra = before.extra_flags if before and before.launcher == _launcher_digest() else ""
        return cls(version, asked, extra, _launcher_digest())

    @property
    def arguments(self) -> str:
        """CMAKE_ARGS: ours, then the user's."""
        launcher = f"sh;{LAUNCHER}"
        ours = [f"-DCMAKE_{language}_COMPILER_LAUNCHER={launcher}" for language in ("C", "CXX")]
        return " ".join([*map(shlex.quote, [*ours, "-DGGML_RPC=ON"]), self.cmake_args]).strip()

    @property
    def has_amx_switched_off(self) -> bool:
        return WITHOUT_AMX in self.extra_flags


def installed() -> Build | None:
    """The build that is installed, if this module made it."""
    try:
        record = json.loads(_record().read_text("utf-8"))
        is_ours = record.pop("libraries") == _digests()
        return Build(**record) if is_ours else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, PackageNotFoundError):
        return None


def remember(build: Build) -> None:
    """What is installed now was made by it."""
    _record().write_text(json.dumps({**asdict(build), "libraries": _digests()}, indent=1), "utf-8")


def _libraries() -> Path:
    return Path(str(distribution(PACKAGE).locate_file("llama_cpp/lib")))


def _record() -> Path:
    return _libraries() / _RECORD


def _digests() -> dict[str, str]:
    """Of what is installed: a later `pip install` by hand leaves other ones, or no record."""
    files = (path for path in sorted(_libraries().iterdir()) if path.name != _RECORD)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _launcher_digest() -> str:
    return hashlib.sha256(LAUNCHER.read_bytes()).hexdigest()[:12]
