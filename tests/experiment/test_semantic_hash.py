"""The hash of a file is the name of its results: a key that a file does not have must not change it."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import experiments_of

from tokenauction_cli.experiment.experiment import load_experiment

SHIPPED = Path(__file__).parents[2] / "experiments"
HASHES = {
    "audit-three-agents": "95d5ca50",
    "hawaii-co-marketing": "178115f1",
    "hawaii-competing": "40ec72df",
    "many-queries": "762ab742",
    "market-hawaii": "710929b7",
    "market-tables": "1eec5ef7",
    "mechanism-design-for": "b8931804",
    "mechanisms-hawaii": "90900862",
    "payments-hawaii": "04282722",
    "search-ad": "6fde469a",
    "segment-auction-table": "5e5117c3",
    "smoke": "925ebfe8",
    "text-incentives-exact": "2b24322e",
    "text-incentives-example-a": "78ea12bf",
    "text-incentives-hawaii": "22e4a6c8",
    "two-families": "e432da8d",
}


@pytest.mark.parametrize("name", HASHES)
def test_a_shipped_file_keeps_its_hash(name: str) -> None:
    assert load_experiment(SHIPPED / f"{name}.yaml").semantic_hash == HASHES[name]


def test_every_shipped_file_is_here() -> None:
    assert {path.stem for path in SHIPPED.glob("*.yaml")} == HASHES.keys() | {"matrix-families"}


def test_members_of_a_matrix_are_experiments_of_their_own() -> None:
    """Whatever else varies: the same folder as with -S, and the file without its matrix."""
    path = SHIPPED / "matrix-families.yaml"
    both = "models.of_alpha=smollm2-135m-instruct", "models.of_beta=gemma3-270m"
    pair = load_experiment(path, both).semantic_hash
    assert pair == experiments_of(path)[1].semantic_hash == "7b718e82"
