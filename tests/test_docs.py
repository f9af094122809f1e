"""The pages that docs/generate.py writes are those in docs/, and their examples are experiments."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import experiments_of

from tokenauction_cli.experiment.format.schema import json_schema

DOCS = Path(__file__).parents[1] / "docs"
CHECK = runpy.run_path(str(DOCS / "check.py"))
GENERATED = runpy.run_path(str(DOCS / "generate.py"))
EXAMPLES: dict[str, str] = GENERATED["EXAMPLES"]


@pytest.mark.parametrize("name", GENERATED["PAGES"])
def test_no_page_is_stale(name: str) -> None:
    made = GENERATED["PAGES"][name]()
    assert (DOCS / name).read_text("utf-8") == made, f"docs/{name} is stale: run `make docs`"


def test_pages_keep_their_rules() -> None:
    assert list(CHECK["breaches"]()) == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("# A\n[b](b.md)\n", "2: there is no b.md"),
        ("# A\n[b](#b)\n", "2: this page has no section #b"),
        ("# A\n### B\n", "2: 'B' skips a level of headings"),
        ("## A\n", "1: a page has one title, and begins with it"),
        (f"# A\n{'x' * 161}\n", "2: 161 characters; at most 160"),
        (f"# A\n| {'x ' * 41} |\n", "2: a cell of 41 words; at most 40: make it a list"),
        ("# A\n`docs/b.md`\n", "2: name a page by a link"),
        ("# A\n```text\n[b](b.md)\n# B\n```\n[A](#a)\n", ""),
    ],
)
def test_what_breaks_a_rule(text: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(text, "utf-8")
    checks = [CHECK[name] for name in ("broken_links", "bad_headings", "bad_lines")]
    found = [f"{number}: {said}" for check in checks for number, said in check(tmp_path / "page.md")]
    assert found == ([what] if what else [])


def test_old_places_lead_to_pages() -> None:
    redirects = runpy.run_path(str(DOCS / "redirects.py"))["REDIRECTS"]
    assert len(redirects) == 18
    assert not [new for new in redirects.values() if not (DOCS / f"{new}.md").is_file()]


def test_what_programs_read_names_pages() -> None:
    named = re.findall(r"\(([\w/-]+)\.html\)", (DOCS / "llms.txt").read_text("utf-8"))
    assert len(named) > 20
    assert not [name for name in named if not (DOCS / f"{name}.md").is_file()]


def test_main_writes_the_pages(tmp_path: Path) -> None:
    GENERATED["main"](tmp_path)
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.md")} == set(GENERATED["PAGES"])


def test_the_page_of_commands_has_bounds_and_defaults() -> None:
    made = GENERATED["cli_page"]()
    assert "| `--weight` | `FLOAT`, at least 0, at most 1 | `0.5` |" in made
    assert "| `[DIR...]` | `results` | Folders of runs. |" in made


def test_no_module_is_longer_than_contributing_says() -> None:
    (most,) = re.findall(
        r"at most (\d+) lines without docstrings", (DOCS.parent / "CONTRIBUTING.md").read_text("utf-8")
    )
    modules = (DOCS.parent / "tokenauction_cli").rglob("*.py")
    assert not [path.name for path in modules if without_docstrings(path.read_text("utf-8")) > int(most)]


def without_docstrings(source: str) -> int:
    """How many lines are left."""
    nodes = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Expr))
    texts = [node for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return len(source.splitlines()) - sum((node.end_lineno or node.lineno) - node.lineno + 1 for node in texts)


@pytest.mark.parametrize("section", EXAMPLES)
def test_every_example_is_an_experiment(section: str, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("query,segment\na,x\nb,y\n", "utf-8")
    (tmp_path / "e.yaml").write_text(EXAMPLES[section], "utf-8")
    assert all(one.points for one in experiments_of(tmp_path / "e.yaml"))


def test_every_section_is_there_with_an_example() -> None:
    sections = [name for name, *_ in GENERATED["SECTIONS"]]
    assert set(sections) == {"", *json_schema()["$defs"]} == set(EXAMPLES)
    page = (DOCS / "reference" / "experiment.md").read_text("utf-8")
    assert len(re.findall("^```yaml$", page, re.MULTILINE)) == len(sections)


def test_every_key_stands_in_some_example() -> None:
    written = {key for text in EXAMPLES.values() for key in keys(yaml.safe_load(text))}
    schema = json_schema()
    known = {key for section in (schema, *schema["$defs"].values()) for key in section["properties"]}
    assert known - written == {"sha256"}  # only a run folder writes it


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
