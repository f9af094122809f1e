"""What one begins with: the examples that come along, and the list of rules."""

from __future__ import annotations

from pathlib import Path

from conftest import Command
from hatchling.builders.wheel import WheelBuilder

from tokenauction_cli.experiment import examples
from tokenauction_cli.mechanism.registry import names

ROOT = Path(__file__).parents[2]
SHIPPED = {path.stem: path for path in (ROOT / "experiments").glob("*.yaml")}


def test_init_writes_an_example_that_runs(in_process: Command, tmp_path: Path) -> None:
    done = in_process("init", "study", "--example", "mechanism-design-for")
    written = Path("study/mechanism-design-for.yaml")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{written}\n", f"Next: tokauction run {written}\n")
    assert (tmp_path / written).read_bytes() == SHIPPED["mechanism-design-for"].read_bytes()
    assert in_process("run", str(written), "-q").returncode == 0
    again = in_process("init", "study", "--example", "mechanism-design-for")
    assert "exists and is not replaced" in again.stderr


def test_examples_are_known_by_name(in_process: Command) -> None:
    assert examples.examples() == SHIPPED
    done = in_process("init", "--example", "hawaii-competin")
    assert done.returncode == 2
    assert "did you mean 'hawaii-competing'?" in done.stderr
    assert all(name in done.stderr for name in SHIPPED)


def test_the_wheel_holds_them() -> None:
    included = WheelBuilder(str(ROOT)).config.force_include
    assert {Path(source).name: target for source, target in included.items()} == {
        "experiments": "tokenauction_cli/examples"
    }
    assert Path("tokenauction_cli/examples") == examples._PLACES[0].relative_to(ROOT)


def test_every_rule_and_mechanism_has_one_line(in_process: Command) -> None:
    rows = [line.split(maxsplit=1) for line in in_process("rules").stdout.splitlines() if line.strip()]
    known = {name for kind in ("aggregation", "sampling", "payment", "mechanism") for name in names(kind)}
    said = {name: rest[0] for name, *rest in rows if name in known}
    assert said.keys() == known
    assert max(map(len, said.values())) <= 60
