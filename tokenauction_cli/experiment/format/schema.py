"""The JSON Schema of experiment files: what an editor needs to complete and explain keys (`tokauction schema`)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from ...mechanism import registry
from ...system.errors import UsageError
from .auction import CUSTOM_RULE
from .file_format import ExperimentFile
from .queries import QueryFile

_SUFFIX = re.compile(r"(?<=\w)Section\b")  # of a class whose resolved form has the name
POWER_MEAN = r"^power_mean_[-+.0-9eE]+$"


def json_schema() -> dict[str, Any]:
    """The schema, draft 2020-12, with the rules that are known by name."""
    written = json.dumps(ExperimentFile.model_json_schema(by_alias=True))
    schema: dict[str, Any] = json.loads(_SUFFIX.sub("", written))
    for key in ("id", "mentions"):  # their defaults are made from the name
        del schema["$defs"]["Agent"]["properties"][key]["default"]
    queries = schema["properties"]["queries"]
    listed = {key: queries.pop(key) for key in ("type", "items", "minItems")}
    schema["$defs"]["At"]["additionalProperties"] = True  # any key of the file
    schema["$defs"]["QueryFile"] = QueryFile.model_json_schema()
    named = [{"type": "string", "minLength": 1}, {"$ref": "#/$defs/QueryFile"}]
    queries["anyOf"] = [*named, listed]  # a file of queries, or the queries
    auction = schema["$defs"]["Auction"]["properties"]
    auction["mechanism"] = _or_null(auction["mechanism"] | _one_or_list(_rule("mechanism"), at_least=1))
    auction["aggregation"] |= _one_or_list(_rule("aggregation"), at_least=1)
    auction["payments"] |= _one_or_list(_rule("payment"), at_least=0)
    auction["sampling"] = _or_null(auction["sampling"] | {"anyOf": [_rule("sampling")]})
    for section in ("Mosaic", "TextPool"):
        schema["$defs"][section]["properties"]["generator"] |= _rule("aggregation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "tokauction experiment"}


def _rule(kind: registry.Kind) -> dict[str, Any]:
    family = [{"type": "string", "pattern": POWER_MEAN}] if kind == "aggregation" else []
    return {"anyOf": [{"enum": list(registry.names(kind))}, *family, {"type": "string", "pattern": CUSTOM_RULE}]}


def _one_or_list(rule: dict[str, Any], at_least: int) -> dict[str, Any]:
    return {"anyOf": [rule, {"type": "array", "items": rule, "minItems": at_least}]}


def _or_null(field: dict[str, Any]) -> dict[str, Any]:
    return field | {"anyOf": [*field["anyOf"], {"type": "null"}]}


def write_starter(directory: Path) -> list[Path]:
    """Write `experiment.yaml` and `experiment.schema.json`; raises UsageError rather than replace a file."""
    starter = (files(__package__) / "starter.yaml").read_text("utf-8")
    schema = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    return write_new(directory, {"experiment.yaml": starter, "experiment.schema.json": schema})


def write_new(directory: Path, contents: Mapping[str, str]) -> list[Path]:
    """Write these files; raises UsageError rather than replace one."""
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
