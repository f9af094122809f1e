"""`tokauction init`: a commented experiment file, and the schema with which editors complete and explain it."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from ..errors import UsageError
from .schema import json_schema


def write_starter(directory: Path) -> list[Path]:
    """Write `experiment.yaml` and `experiment.schema.json`; raises UsageError rather than replace a file."""
    contents = {
        "experiment.yaml": (files(__package__) / "starter.yaml").read_text("utf-8"),
        "experiment.schema.json": json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n",
    }
    paths = [directory / name for name in contents]
    for path in paths:
        if path.exists():
            raise UsageError(
                f"{path} exists and is not replaced; move it away, or choose another folder: tokauction init DIR"
            )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path in paths:
            path.write_text(contents[path.name], "utf-8")
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror}; choose another folder: tokauction init DIR") from error
    return paths
