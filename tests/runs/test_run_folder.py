"""The run folder: whole lines come back, torn ones do not, one process at a time, nothing is deleted."""

from __future__ import annotations

import errno
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tokenauction_cli.runs.run_folder import RunFolder, decode, encode
from tokenauction_cli.system.errors import StoreError


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    with folder.locked():  # makes it
        pass
    return folder


def append(folder: RunFolder, *records: dict[str, object]) -> None:
    with folder.appending() as appender:
        appender.append(records)


# One record


def test_a_record_comes_back_as_it_was() -> None:
    record = {
        "cell": "c",
        "text": 'tab\t, newline\n, "quotes", 😀, \x00 and \u2028',
        "tokens": 3,
        "relative_weight": 0.1 + 0.2,
        "paid_share.a": None,
        "log_prob.a": -math.inf,
        "kl.a": math.inf,
        "token_ids": [1, 2],
    }
    line = encode(record)
    assert b"\n" not in line
    assert decode(line) == record


@pytest.mark.parametrize("text", ["inf", "-inf", "\ud800", "\udcff x", ""])
def test_any_text_comes_back(text: str) -> None:
    record = {"cell": "c", "query": text, "text": text}
    assert decode(encode(record)) == record


def test_a_record_is_standard_json() -> None:
    """No NaN and no Infinity, which other readers refuse."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    line = encode({"cell": "c", "a": math.nan, "b": math.inf, "trace": {"log_p": [math.nan, -math.inf]}})
    assert json.loads(line, parse_constant=refuse) == {
        "cell": "c",
        "a": None,
        "b": "inf",
        "trace": {"log_p": [None, "-inf"]},
    }


# Files of records


def test_every_invocation_has_a_file_of_its_own(folder: RunFolder) -> None:
    for k in range(11):
        append(folder, {"cell": str(k)})
    assert [path.name for path in folder.record_files()] == [f"records-{k}.jsonl" for k in range(1, 12)]
    assert list(folder.records()) == [str(k) for k in range(11)]


def test_an_invocation_that_finished_nothing_leaves_no_file(folder: RunFolder) -> None:
    append(folder)
    assert folder.record_files() == []


def test_the_first_line_of_a_cell_counts(folder: RunFolder) -> None:
    append(folder, {"cell": "a", "n": 1}, {"cell": "a", "n": 2})
    append(folder, {"cell": "a", "n": 3})
    assert folder.records() == {"a": {"cell": "a", "n": 1}}


@pytest.mark.parametrize("n_torn", [1, 5, 20])
def test_a_torn_last_line_is_dropped(folder: RunFolder, n_torn: int) -> None:
    append(folder, {"cell": "a", "text": "whole"}, {"cell": "b", "text": "torn"})
    (path,) = folder.record_files()
    path.write_bytes(path.read_bytes()[:-n_torn])
    assert list(folder.records()) == ["a"]
    append(folder, {"cell": "b", "text": "again"})
    assert folder.records()["b"]["text"] == "again"


def test_a_character_may_be_torn(folder: RunFolder) -> None:
    append(folder, {"cell": "a"}, {"cell": "b", "text": "😀"})
    (path,) = folder.record_files()
    data = path.read_bytes()
    path.write_bytes(data[: data.index("😀".encode()) + 2])
    assert list(folder.records()) == ["a"]


@pytest.mark.parametrize("line", ["not json", "{}", "[1]", '"cell"', "", "\x00\x00"])
def test_a_damaged_line_is_an_error_with_its_place(folder: RunFolder, line: str) -> None:
    append(folder, {"cell": "a"})
    (path,) = folder.record_files()
    path.write_text(path.read_text() + line + "\n" + '{"cell":"b"}\n')
    with pytest.raises(StoreError, match=r"records-1\.jsonl:2: this line is not a record"):
        folder.records()


def test_traces_are_read_one_by_one(folder: RunFolder) -> None:
    append(folder, {"cell": "a", "token_ids": [5], "trace": {"n": 1}}, {"cell": "b"}, {"cell": "a", "trace": {"n": 2}})
    assert folder.records() == {"a": {"cell": "a", "token_ids": [5]}, "b": {"cell": "b"}}
    assert list(folder.traces()) == [("a", [5], {"n": 1})]


def test_traces_of_some_cells_leave_other_lines_unread(folder: RunFolder) -> None:
    first, second = ({"cell": name * 12, "token_ids": [5], "trace": {"n": name}} for name in "ab")
    append(folder, first, second)
    (path,) = folder.record_files()
    spaced = [json.dumps(second | {"cell": name * 12}) + "\n" for name in "cd"]  # as another program writes it
    path.write_text(f'{path.read_text()}{{"cell":"eeeeeeeeeeee" and no JSON\n{"".join(spaced)}')
    assert list(folder.traces({"b" * 12, "c" * 12})) == [("b" * 12, [5], {"n": "b"}), ("c" * 12, [5], {"n": "b"})]


def test_a_full_disk_keeps_what_is_whole(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second append stops within a line: the advice is to free space, and running again continues."""
    real = os.write
    room = [20]

    def write(descriptor: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        n = real(descriptor, data[: room[0]])
        room[0] -= n
        return n

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(StoreError, match="No space left on device; free some space and run the same command"):
        append(folder, {"cell": "a"}, {"cell": "b"})
    monkeypatch.undo()
    assert list(folder.records()) == ["a"]
    append(folder, {"cell": "b"})
    assert list(folder.records()) == ["a", "b"]


# The folder


HOLD = """
import sys
from pathlib import Path

from tokenauction_cli.runs.run_folder import RunFolder

with RunFolder(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def held(folder: RunFolder, environment: dict[str, str]) -> RunFolder:
    """A folder in which another process is running until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder.path)], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield folder  # type: ignore[misc]
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()
    with folder.locked():  # the kernel frees the lock of a killed process
        pass


def test_one_process_at_a_time(held: RunFolder) -> None:
    with pytest.raises(StoreError, match="another process is running this experiment"), held.locked():
        pass


def test_a_folder_in_use_is_not_set_aside(held: RunFolder) -> None:
    with pytest.raises(StoreError, match="another process is running this experiment"):
        held.set_aside()
    assert held.path.is_dir()


def test_setting_aside_renames_and_never_replaces(folder: RunFolder) -> None:
    for k in (1, 2):
        append(folder, {"cell": str(k)})
        old = folder.set_aside()
        assert old == folder.path.with_name(f"run.old-{k}")
        assert list(RunFolder(old).records()) == [str(k)]
        folder.path.mkdir()
    folder.path.rmdir()
    assert folder.set_aside() is None


def test_files_are_replaced_as_a_whole(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write("table.md", "old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(StoreError, match=r"table\.md: No space left"):
        folder.write("table.md", "new")
    assert (folder.path / "table.md").read_text() == "old"


def test_the_manifest(folder: RunFolder) -> None:
    assert folder.read_manifest() == {}
    folder.write_manifest({"name": "Zürich"})
    assert folder.read_manifest() == {"name": "Zürich"}
    folder.write("manifest.json", "{")
    with pytest.raises(StoreError, match="this is not JSON"):
        folder.read_manifest()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="check the folder"), RunFolder(tmp_path / "file" / "run").locked():
        pass
