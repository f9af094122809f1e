"""`tokauction schema`: the JSON Schema of experiment files."""

from __future__ import annotations

import typer


def schema() -> None:
    """Print the JSON Schema of the experiment file."""
    import json

    from ..experiment.format.schema import json_schema

    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
