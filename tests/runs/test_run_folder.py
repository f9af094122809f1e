"""The run folder: whole lines come back, torn ones do not, one process at a time, nothing is deleted."""

from __future__ import annotations

import errno
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from records import a_record, a_trace

from tokenauction_cli.runs.lines import decode, encode
from tokenauction_cli.runs.manifest import write_if_possible
from tokenauction_cli.runs.run_folder import RunFolder
from tokenauction_cli.runs.run_log import logging_to
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


@pytest.mark.parametrize("text", ["inf", "-inf", "\U0010ffff x", ""])
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
        append(folder, a_record(str(k)))
    assert [path.name for path in folder.record_files()] == [f"records-{k}.jsonl" for k in range(1, 12)]
    assert list(folder.records()) == [str(k) for k in range(11)]


def test_an_invocation_that_finished_nothing_leaves_no_file(folder: RunFolder) -> None:
    append(folder)
    assert folder.record_files() == []


def test_the_first_line_of_a_cell_counts(folder: RunFolder) -> None:
    append(folder, a_record("a", seed=1), a_record("a", seed=2))
    append(folder, a_record("a", seed=3))
    assert folder.records() == {"a": a_record("a", seed=1)}


@pytest.mark.parametrize("n_torn", [1, 5, 20])
def test_a_torn_last_line_is_dropped(folder: RunFolder, n_torn: int) -> None:
    append(folder, a_record("a", text="whole"), a_record("b", text="torn"))
    (path,) = folder.record_files()
    path.write_bytes(path.read_bytes()[:-n_torn])
    assert list(folder.records()) == ["a"]
    append(folder, a_record("b", text="again"))
    assert folder.records()["b"]["text"] == "again"


def test_a_character_may_be_torn(folder: RunFolder) -> None:
    append(folder, a_record("a"), a_record("b", text="😀"))
    (path,) = folder.record_files()
    data = path.read_bytes()
    path.write_bytes(data[: data.index("😀".encode()) + 2])
    assert list(folder.records()) == ["a"]


DAMAGED = {
    "not json": "this is not JSON: ",
    "{}": "cell is missing",
    "[1]": "the whole is a list, expected",
    '"cell"': "the whole is 'cell', expected",
    "": "this is not JSON: ",
    "\x00\x00": "this is not JSON: ",
    '{"cell":"a","cell":NaN}': "this is not JSON: ",
    "[" * 5000: "this is not JSON: recursion limit exceeded",
}


@pytest.mark.parametrize("line", DAMAGED)
def test_a_damaged_line_is_passed_over_and_named(folder: RunFolder, line: str) -> None:
    append(folder, a_record("a"))
    (path,) = folder.record_files()
    path.write_text(f"{path.read_text()}{line}\n{encode(a_record('b')).decode()}\n")
    for _ in range(2):
        assert list(folder.records()) == ["a", "b"]
        assert len(folder.wrong) == 1, "once, however often it is read"
    assert str(folder.wrong).startswith(f"records-1.jsonl:2: {DAMAGED[line]}")


WRONG: dict[str, tuple[dict[str, object], str]] = {
    "type": ({"tokens": "3"}, "tokens is '3', expected integer"),
    "bool": ({"bid.a": True}, "bid.a is true, expected number"),
    "null": ({"token_ids": None}, "token_ids is nothing, expected list"),
    "reason": ({"end_reason": "x"}, "end_reason is 'x', expected 'end', 'stop', 'length'"),
    "huge": ({"seed": 10**30}, "seed is a huge number, expected"),
    "text": ({"text": 5}, "text is 5, expected string"),
    "failed": ({"end_reason": "failed"}, "error is missing, which says why the text failed"),
    "trace": ({"trace": {"pieces": ["x"]}}, "trace.log_p is missing (and 3 mistakes more)"),
    "columns": ({f"x{k}": 1 for k in range(5_000)}, "5,012 columns; a record may have 4,096"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_record_that_none_writes_is_named(folder: RunFolder, name: str) -> None:
    columns, words = WRONG[name]
    append(folder, a_record("a", **columns), a_record("b"))
    assert list(folder.records()) == ["b"]
    assert str(folder.wrong).startswith(f"records-1.jsonl:1: {words}")


def test_a_torn_trace_is_named(folder: RunFolder) -> None:
    append(folder, a_record("a", trace=a_trace("x") | {"log_q": []}))
    assert list(folder.traces()) == []
    assert str(folder.wrong) == "records-1.jsonl:1: trace.log_q has 0 entries for 1 draws"


def test_columns_of_all_records_together_have_a_limit(folder: RunFolder) -> None:
    """Or a frame of them fills memory."""
    append(folder, *(a_record(str(k), **{f"x{k}.{i}": 1.0 for i in range(1_500)}) for k in range(4)))
    assert list(folder.records()) == ["0", "1"]
    assert "more than 4,096 different columns" in str(folder.wrong)


def test_a_line_that_is_too_long_is_passed_over(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    append(folder, a_record("a", text="x" * 3_000_000), a_record("b"))
    monkeypatch.setattr("tokenauction_cli.runs.lines.MOST_BYTES", 1_000)
    assert list(folder.records()) == ["b"]
    assert str(folder.wrong) == "records-1.jsonl:1: the line is longer than 1,000 bytes, the most that are read"


def test_a_trace_that_could_not_be_read_back_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenauction_cli.runs.lines.MOST_BYTES", 1_000)
    record = a_record("a", trace=a_trace("x" * 1_000))
    assert decode(encode(record)) == a_record("a")


def test_a_file_of_nothing_but_rubbish_is_soon_given_up(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenauction_cli.runs.lines.MOST_WRONG", 10)
    append(folder, a_record("a"))
    (path,) = folder.record_files()
    path.write_bytes(path.read_bytes() + b"x\n" * 50)
    assert list(folder.records()) == ["a"]
    assert len(folder.wrong) == 11
    assert list(folder.wrong.each())[-1] == (
        "records-1.jsonl:12",
        "10 lines of this file are wrong: the rest of it is passed over",
    )
    assert folder.set_wrong_aside() == ["records-1.wrong"]
    assert (folder.path / "records-1.wrong").read_bytes() == b"x\n" * 50


def test_what_is_wrong_is_set_aside_to_the_byte(folder: RunFolder) -> None:
    append(folder, a_record("a"), a_record("b"), a_record("c"))
    (path,) = folder.record_files()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\xff\x00 rubbish\n" + lines[1] + b'{"cell":"b"}\n' + lines[2] + b"torn")
    assert list(folder.records()) == ["a", "b", "c"]
    assert folder.set_wrong_aside() == ["records-1.wrong"]
    assert path.read_bytes() == b"".join(lines) + b"torn"
    assert (folder.path / "records-1.wrong").read_bytes() == b'\xff\x00 rubbish\n{"cell":"b"}\n'
    assert not folder.wrong
    assert folder.set_wrong_aside() == []


# What only poses as a file of the folder


def posing(folder: RunFolder, name: str, kind: str) -> None:
    path, elsewhere = folder.path / name, folder.path.parent / "elsewhere"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        elsewhere.write_bytes(encode(a_record("a")) + b"\n")
        path.symlink_to(elsewhere if kind == "link" else kind)


@pytest.mark.parametrize("kind", ["fifo", "folder", "link", "/dev/zero", "/proc/self/environ"])
@pytest.mark.parametrize("name", ["records-1.jsonl", "manifest.json"])
def test_only_regular_files_of_the_folder_are_opened(folder: RunFolder, name: str, kind: str) -> None:
    posing(folder, name, kind)
    acts = [lambda: folder.sha256(name), lambda: folder.read(name)]
    acts += [folder.records, folder.count] if name.endswith("jsonl") else [folder.read_manifest]
    for act in acts:
        with pytest.raises(StoreError, match=r"this is a link, and no link|this is no regular file"):
            act()


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "..", ".", "", "a/b", "/dev/zero"])
def test_no_name_leads_out_of_the_folder(folder: RunFolder, name: str) -> None:
    with pytest.raises(StoreError, match="is no file of this folder"):
        folder.sha256(name)


def test_nothing_is_written_through_a_link(folder: RunFolder) -> None:
    victim = folder.path.parent / "victim"
    victim.write_text("as it was")
    for name in (".table.md.new", "table.md", "records-1.wrong", "log.txt"):
        (folder.path / name).symlink_to(victim)
    folder.write("table.md", "new")
    with pytest.raises(StoreError), logging_to(folder):
        pass
    append(folder, a_record("a"))
    (path,) = folder.record_files()
    path.write_bytes(b"rubbish\n" + path.read_bytes())
    folder.records()
    with pytest.raises(StoreError, match=r"records-1\.wrong"):
        folder.set_wrong_aside()
    assert victim.read_text() == "as it was"
    assert (folder.path / "table.md").read_text() == "new"


def test_traces_are_read_one_by_one(folder: RunFolder) -> None:
    append(folder, a_record("a", trace=a_trace("x")), a_record("b"), a_record("a", trace=a_trace("y")))
    assert folder.records() == {"a": a_record("a"), "b": a_record("b")}
    assert list(folder.traces()) == [("a", [5], a_trace("x"))]


def test_traces_of_some_cells_leave_other_lines_unread(folder: RunFolder) -> None:
    first, second = (a_record(name * 12, trace=a_trace(name)) for name in "ab")
    append(folder, first, second)
    (path,) = folder.record_files()
    spaced = [json.dumps(second | {"cell": name * 12}) + "\n" for name in "cd"]  # as another program writes it
    path.write_text(f'{path.read_text()}{{"cell":"eeeeeeeeeeee" and no JSON\n{"".join(spaced)}')
    assert list(folder.traces({"b" * 12, "c" * 12})) == [(name * 12, [5], a_trace("b")) for name in "bc"]


def test_a_full_disk_keeps_what_is_whole(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second append stops within a line: the advice is to free space, and running again continues."""
    real = os.write
    room = [len(encode(a_record("a"))) + 7]

    def write(descriptor: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        n = real(descriptor, data[: room[0]])
        room[0] -= n
        return n

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(StoreError, match="No space left on device; free some space and run the same command"):
        append(folder, a_record("a"), a_record("b"))
    monkeypatch.undo()
    assert list(folder.records()) == ["a"]
    append(folder, a_record("b"))
    assert list(folder.records()) == ["a", "b"]


# The folder


HOLD = """
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tokenauction_cli.runs.manifest import write_if_possible
from tokenauction_cli.runs.run_folder import RunFolder
from tokenauction_cli.runs.run_log import logging_to

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
        append(folder, a_record(str(k)))
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


@contextmanager
def ending(folder: RunFolder) -> Iterator[None]:
    """Ends as a session does."""
    try:
        yield
    finally:
        write_if_possible(folder, {})


def test_a_manifest_that_cannot_be_written_is_an_error_where_there_is_none_yet(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hides none that is on its way."""
    folder.write("experiment.yaml", "")
    folder.write("resolved.yaml", "")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(StoreError, match="No space left"):
        write_if_possible(folder, {})
    with pytest.raises(KeyboardInterrupt), ending(folder):
        raise KeyboardInterrupt
