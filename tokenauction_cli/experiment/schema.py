"""The JSON Schema of experiment files: what an editor needs to complete and explain keys (`tokauction schema`)."""

from __future__ import annotations

from typing import Any

from ..mechanism import registry
from .file_format import CUSTOM_RULE, ExperimentFile


def json_schema() -> dict[str, Any]:
    """The schema, draft 2020-12, with the rules that are known by name."""
    schema = ExperimentFile.model_json_schema(by_alias=True)
    for key in ("id", "mentions"):  # their defaults are made from the name
        del schema["$defs"]["Agent"]["properties"][key]["default"]
    auction = schema["$defs"]["Auction"]["properties"]
    auction["aggregation"] |= _one_or_list(_rule("aggregation"), at_least=1)
    auction["payments"] |= _one_or_list(_rule("payment"), at_least=0)
    auction["sampling"] |= {"anyOf": [_rule("sampling"), {"type": "null"}]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "tokauction experiment"}


def _rule(kind: registry.Kind) -> dict[str, Any]:
    return {"anyOf": [{"enum": list(registry.names(kind))}, {"type": "string", "pattern": CUSTOM_RULE}]}


def _one_or_list(rule: dict[str, Any], at_least: int) -> dict[str, Any]:
    return {"anyOf": [rule, {"type": "array", "items": rule, "minItems": at_least}]}
