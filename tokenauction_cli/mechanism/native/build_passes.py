"""Compiles the passes beside it when the package is built or installed; without a compiler NumPy does the same.

A shared library for `ctypes` needs a C compiler and no headers of Python.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("tokenauction_cli", "mechanism", "native")
_facts = runpy.run_path(str(Path(__file__).with_name("sources.py")))  # nothing is installed yet
# no reassociation: exponentials and logarithms rest on the order of their roundings
FLAGS = ("-O3", "-fno-trapping-math", "-fno-math-errno", "-fPIC", "-shared", "-pthread")
COMPILERS = ("cc", "gcc", "clang")


class PassesHook(BuildHookInterface[Any]):
    """Puts the library beside its sources and into the wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        if not compiled(Path(self.root, FOLDER)):
            print("The passes were not compiled: auctions are computed by NumPy, several times slower", file=sys.stderr)
            return
        build_data["artifacts"].append((FOLDER / _facts["LIBRARY"]).as_posix())
        build_data["pure_python"] = False
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"py3-none-{platform}"


def compiled(folder: Path) -> bool:
    """Whether some compiler made the library: for the widest registers found at load time, or else for any."""
    library = folder / _facts["LIBRARY"]
    library.unlink(missing_ok=True)
    named = os.environ.get("CC")
    compilers = [named] if named else [found for name in COMPILERS if (found := shutil.which(name))]
    unfinished = folder / f"{library.name}.{os.getpid()}"
    origin = f'-DSOURCES="{_facts["digest"](folder)}"'
    for compiler in compilers:
        for extra in ((), ("-DNO_CLONES",)):
            command = [*compiler.split(), *FLAGS, origin, *extra, *(str(folder / name) for name in _facts["SOURCES"])]
            try:
                subprocess.run([*command, "-o", str(unfinished), "-lm"], check=True, capture_output=True)
                ctypes.CDLL(str(unfinished))  # clang 14 makes clones without what chooses among them
            except (OSError, subprocess.CalledProcessError):
                unfinished.unlink(missing_ok=True)
                continue
            unfinished.replace(library)
            return True
    return False
