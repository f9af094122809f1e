"""Where an experiment file names a model, for errors that show only when the model is looked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..system.errors import ExperimentError
from .located_yaml import KeyPath, load_yaml


def place_of_model(file: Path, source: bytes, reference: str) -> str:
    """`file:line:column` of the first value that is this reference; '' where an override or another file names it."""
    try:
        if file.read_bytes() != source:  # the text of a run folder, or of a dict
            return ""
        located = load_yaml(source, str(file))
    except (OSError, ExperimentError):
        return ""
    for path, named in _models(located.value):
        if named == reference:
            line, column = located.place(path)
            return f"{file}:{line}:{column}"
    return ""


def _models(data: Any) -> Iterator[tuple[KeyPath, Any]]:
    """The values that may name a model: of `models`, and of the agents."""
    models, agents = data.get("models"), data.get("agents")
    if isinstance(models, dict):
        yield from ((("models", alias), named) for alias, named in models.items())
    if isinstance(agents, list):
        yield from (
            (("agents", i, "model"), agent.get("model")) for i, agent in enumerate(agents) if isinstance(agent, dict)
        )
