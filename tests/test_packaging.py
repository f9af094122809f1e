"""What goes to PyPI: the sdist holds whatever its tests need, and nothing that was compiled."""

from __future__ import annotations

import tarfile
from pathlib import Path

from hatchling.builders.sdist import SdistBuilder

ROOT = Path(__file__).parents[1]
FOLDERS = ("tokenauction_cli", "docs", "experiments", "results/reference", "tests")
FILES = ("Makefile", "requirements.lock", "pyproject.toml", "README.md", "LICENSE", "results/README.md")


def test_the_sdist_holds_what_its_tests_need(tmp_path: Path) -> None:
    (built,) = SdistBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with tarfile.open(built) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    there = {
        path.relative_to(ROOT).as_posix()
        for name in FOLDERS
        for path in (ROOT / name).rglob("*")
        if "_build" not in path.parts
    }
    wanted = {name for name in there if Path(name).suffix in (".py", ".md", ".yaml", ".csv", ".c", ".h", ".js", ".sh")}
    assert len(wanted) > 150
    assert wanted - packed == set()
    assert set(FILES) - packed == set()
    assert not [name for name in packed if Path(name).suffix in (".so", ".pyc", ".gguf")]
