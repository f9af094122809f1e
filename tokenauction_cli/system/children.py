"""Child processes that import nothing from the working directory, where a stranger's json.py may lie.

Python puts the working directory in front of its path for `-m` and `-c`. A child of ours is started with `-m` from the
folder of this package. Children that multiprocessing spawns are started with `-c`, and take the path of this process
only when they have imported a dozen modules: they get `-I`, which leaves the working directory out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import util
from pathlib import Path
from typing import Any

PACKAGE_ROOT = Path(__file__).parents[2]
"""The working directory of a child that `command_of` starts."""


def command_of(module: str, *arguments: str) -> list[str]:
    """What runs a module of this package as a program, started in PACKAGE_ROOT."""
    return [sys.executable, "-m", module, *arguments]


@contextmanager
def isolated_spawns() -> Iterator[None]:
    """What multiprocessing spawns meanwhile, its resource tracker too, starts without the working directory."""
    spawning: Any = util  # PYTHONSAFEPATH would do it from Python 3.11 on
    flags = spawning._args_from_interpreter_flags
    spawning._args_from_interpreter_flags = lambda: ["-I", *flags()]
    try:
        yield
    finally:
        spawning._args_from_interpreter_flags = flags
