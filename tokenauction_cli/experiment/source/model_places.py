"""Where an experiment file names a model, for errors that show only when the model is looked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ...system.errors import ExperimentError
from ...system.regular_files import opened
from .located_yaml import KeyPath
from .source import Source


def place_of_model(file: Path, source: bytes, reference: str) -> str:
    """`file:line:column` of the first value that is this reference; '' where an override or another file names it."""
    try:
        with opened(file) as there:
            if there.read(len(source) + 1) != source:  # the text of a run folder, or of a dict
                return ""
        written = Source(source, str(file))
    except (OSError, ExperimentError):
        return ""
    for path in _places(written):
        if written.get(*path) == reference:
            place = written.place(path)
            return f"{place.file}:{place.line}:{place.column}"
    return ""


def _places(written: Source) -> Iterator[KeyPath]:
    """Where a model may be named: in `models`, by the agents, by the reference and by judges."""
    models, agents, value = (written.get(*path) for path in (("models",), ("agents",), ("audit", "texts", "value")))
    yield from (("models", alias) for alias in (models if isinstance(models, dict) else ()))
    yield from (("agents", i, "model") for i, _ in enumerate(agents if isinstance(agents, list) else ()))
    yield ("reference", "model")
    for label in value if isinstance(value, dict) else ():
        yield ("audit", "texts", "value", label, "judge", "model")
