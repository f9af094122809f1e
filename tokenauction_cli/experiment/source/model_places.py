"""Where an experiment file names a model or an adapter, for errors that show only when the model is looked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
    """Where a model or an adapter may be named: in `models`, by the agents, by the reference and by judges."""
    models, agents, value = (written.get(*path) for path in (("models",), ("agents",), ("audit", "texts", "value")))
    yield from (("models", alias) for alias in (models if isinstance(models, dict) else ()))
    voices: list[KeyPath] = [("agents", i) for i, _ in enumerate(agents if isinstance(agents, list) else ())]
    judges: list[KeyPath] = [
        ("audit", "texts", "value", label, "judge") for label in (value if isinstance(value, dict) else ())
    ]
    named = written.get("judges")
    judges += [("judges", name) for name in (named if isinstance(named, dict) else ())]
    for voice in (*voices, ("reference",), *judges):
        yield (*voice, "model")
        yield from (path for path, _ in adapter_places(written, voice))


def adapter_places(written: Source, voice: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    """Where the files of the adapters of an agent, of the reference or of a judge stand, and what stands there."""
    given = written.get(*voice, "adapter")
    several = [((k,), one) for k, one in enumerate(given)] if isinstance(given, list) else [((), given)]
    for where, one in several:
        path = (*voice, "adapter", *where, *(("file",) if isinstance(one, dict) else ()))
        yield path, written.get(*path)
