"""What is remembered in the cache folder."""

from __future__ import annotations

import json
from pathlib import Path

from tokenauction_cli.system.environment import remember


def test_what_was_found_out_is_remembered_as_json(tmp_path: Path) -> None:
    memory = tmp_path / "probes" / "one.json"
    remember(memory, {"moved": None, "sizes": [1, 2]})
    assert json.loads(memory.read_text()) == {"moved": None, "sizes": [1, 2]}


def test_a_cache_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    remember(tmp_path / "file" / "probes" / "one.json")
    assert (tmp_path / "file").is_file()
