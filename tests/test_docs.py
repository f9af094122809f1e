"""The pages that docs/generate.py writes are those in docs/, and their examples are experiments."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Reader

from tokenauction_cli.experiment.format.schema import json_schema

DOCS = Path(__file__).parents[1] / "docs"
GENERATED = runpy.run_path(str(DOCS / "generate.py"))
EXAMPLES: dict[str, str] = GENERATED["EXAMPLES"]


@pytest.mark.parametrize("name", GENERATED["PAGES"])
def test_no_page_is_stale(name: str) -> None:
    made = GENERATED["PAGES"][name]()
    assert (DOCS / name).read_text("utf-8") == made, f"docs/{name} is stale: run `make docs`"


def test_main_writes_the_pages(tmp_path: Path) -> None:
    GENERATED["main"](tmp_path)
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.md")} == set(GENERATED["PAGES"])


@pytest.mark.parametrize("section", EXAMPLES)
def test_every_example_is_an_experiment(section: str, read: Reader) -> None:
    assert read(EXAMPLES[section]).points


def test_every_section_is_there_with_an_example() -> None:
    sections = [name for name, *_ in GENERATED["SECTIONS"]]
    assert set(sections) == {"", *json_schema()["$defs"]} == set(EXAMPLES)
    page = (DOCS / "reference" / "experiment.md").read_text("utf-8")
    assert len(re.findall("^```yaml$", page, re.MULTILINE)) == len(sections)


def test_every_key_stands_in_some_example() -> None:
    written = {key for text in EXAMPLES.values() for key in keys(yaml.safe_load(text))}
    schema = json_schema()
    known = {key for section in (schema, *schema["$defs"].values()) for key in section["properties"]}
    assert known - written == set()


def keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {*map(str, value), *(key for below in value.values() for key in keys(below))}
    return {key for below in value for key in keys(below)} if isinstance(value, list) else set()


def test_a_power_mean_of_any_exponent_is_in_the_schema() -> None:
    rule = json_schema()["$defs"]["Auction"]["properties"]["aggregation"]["anyOf"][0]
    patterns = [one["pattern"] for one in rule["anyOf"] if "pattern" in one]
    for name in ("power_mean_2", "power_mean_0.25", "power_mean_-1"):
        assert any(re.search(pattern, name) for pattern in patterns), name
    assert not any(re.search(pattern, "power_mean_") for pattern in patterns)
