"""The small model that comes with the extra `demo`, and what a child process finds out about a model here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...system.errors import ModelError

if TYPE_CHECKING:
    from ...lm.probing.probe import Probed
    from ...model_files.models import LocalModel

DEMO_MODEL = "smollm2-135m-instruct"
_N_SEQUENCES = 32


def probed(path: Path) -> Probed:
    """What a child process finds out about a model here. Raises ModelError where it cannot be evaluated."""
    from ...lm.llama.hardware import CELL_BLOCK, choose_hardware
    from ...lm.probing.probe import Shape, find
    from ...system.processors import usable_processors

    hardware = choose_hardware("auto", "auto", usable_processors())
    return find(path, hardware, Shape(_N_SEQUENCES, CELL_BLOCK))


def demo_model() -> LocalModel | None:
    """The small model, where it is on this machine."""
    from ...model_files.models import locate, parse_reference

    try:
        return locate(parse_reference(DEMO_MODEL, Path()), offline=True)
    except ModelError:
        return None
