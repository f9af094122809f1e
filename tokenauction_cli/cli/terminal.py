"""The console of tables: as wide as the terminal, and 120 columns where there is none and COLUMNS says nothing."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

WIDTH_WITHOUT_TERMINAL = 120


def console() -> Console:
    """Writes to stdout as it is now."""
    from rich.console import Console

    knows_width = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()
    return Console(width=None if knows_width else WIDTH_WITHOUT_TERMINAL)
