"""Copies of GGUF files in other formats: made once, whole or not at all."""

from __future__ import annotations

import json
import os
import resource
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import Command
from tiny_gguf import BF16, attention_model, mixed_model

from tokenauction_cli.lm.llama import copies
from tokenauction_cli.lm.llama.copies import Copy, clean, copy_of
from tokenauction_cli.model_files.gguf_header import read_header
from tokenauction_cli.model_files.models import sha256_of
from tokenauction_cli.system.errors import NoCopyError

F32 = 0


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[str]]:
    """A file of Q8_0 with some BF16 matrices, the cache with its copy, and what was told of making it."""
    folder, told = tmp_path_factory.mktemp("copies"), list[str]()
    file = mixed_model(folder / "m.gguf")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKAUCTION_CACHE", str(folder / "cache"))
        made(file, told)
    return file, folder / "cache", told


@pytest.fixture
def file(first: tuple[Path, Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That file, beside a cache of one's own with its copy."""
    cache = tmp_path / "cache"
    shutil.copytree(first[1], cache)
    monkeypatch.setenv("TOKAUCTION_CACHE", str(cache))
    return first[0]


def made(file: Path, told: list[str] | None = None, form: str = "bf16") -> Copy:
    return copy_of(file, [sha256_of(file)], form, 1, [].append if told is None else told.append)


def test_a_copy_has_no_quantised_matrix(first: tuple[Path, Path, list[str]], file: Path) -> None:
    copy = made(file)
    kinds = {tensor.kind for tensor in read_header(copy.path).tensors if len(tensor.sizes) > 1}
    assert kinds == {BF16}
    assert copy.path.stat().st_size == copy.size == pytest.approx(2 * 1.44e6, rel=0.01)
    assert copy.path.name.startswith(f"{sha256_of(file)}-bf16-")
    (said,) = first[2]
    assert said.startswith("writing a copy of m.gguf in bf16, once: about 3 MB in ")


def test_it_is_made_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "quantise", lambda *_: pytest.fail("made again"))
    long_ago = time.time() - 100 * 86_400
    (note,) = file_of_cache("*.json")
    os.utime(note, (long_ago, long_ago))
    assert made(file).used == pytest.approx(long_ago)
    assert clean(unused_days=99) == []  # it was used just now


@pytest.mark.parametrize("damage", ["cut", "changed", "no note", "a note of something else"])
def test_a_damaged_copy_is_made_anew(file: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    whole = made(file)
    bytes_before = whole.path.read_bytes()
    if damage == "cut":
        whole.path.write_bytes(bytes_before[:-1])
    elif damage == "changed":
        whole.path.write_bytes(bytes_before[:-1] + b"\xff")
    elif damage == "no note":
        whole.path.with_suffix(".json").unlink()
    else:
        whole.path.with_suffix(".json").write_text("[1]")
    monkeypatch.setattr(copies, "quantise", lambda _path, target, *_: target.write_bytes(bytes_before))
    assert made(file)[:-1] == whole[:-1]
    assert whole.path.read_bytes() == bytes_before


def test_two_at_once_make_one(file: Path) -> None:
    clean()
    with ThreadPoolExecutor(2) as both:
        one, other = both.map(made, [file, file])
    assert one[:-1] == other[:-1]
    assert sha256_of(one.path) == one.sha256
    assert file_of_cache("part-*") == []


def test_a_kill_in_the_middle_leaves_no_copy(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clean()
    program = "import os, sys; open(sys.argv[2], 'wb').write(b'GGUF'); os.kill(os.getpid(), 9)"
    command = ["python3", "-c", program]
    monkeypatch.setattr(copies, "command_of", lambda _module, *arguments: [*command, *arguments])
    with pytest.raises(NoCopyError, match=r"llama.cpp cannot write it: it crashed \(SIGKILL\)"):
        made(file)
    assert file_of_cache("*") == []


def test_a_full_disk(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clean()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 20))
        with pytest.raises(NoCopyError, match="has 1 MB free, and it takes 3 MB"):
            made(file)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))  # the disk turns out to be fuller than it said
    try:
        with pytest.raises(NoCopyError, match=r"llama\.cpp cannot write it"):
            made(file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert file_of_cache("*") == []


def test_an_unwritable_cache(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a-file").touch()
    monkeypatch.setenv("TOKAUCTION_CACHE", str(tmp_path / "a-file"))
    with pytest.raises(NoCopyError, match="a-file"):
        made(file)


def test_what_llama_cpp_does_not_convert(tmp_path: Path, file: Path) -> None:
    """A matrix that llama.cpp leaves as it is would stay quantised beside floats."""
    odd = tmp_path / "odd.gguf"
    odd.write_bytes(file.read_bytes().replace(b"blk.1.ffn_down.weight", b"blk.1.laurel_a.weight"))
    with pytest.raises(NoCopyError, match=r"llama\.cpp leaves blk\.1\.laurel_a\.weight quantised"):
        made(odd)
    assert len(file_of_cache("*.gguf")) == 1


def test_a_file_in_parts_becomes_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named by all of its parts."""
    monkeypatch.setenv("TOKAUCTION_CACHE", str(tmp_path / "cache"))
    file = attention_model(tmp_path / "m-00001-of-00001.gguf")
    one = copy_of(file, ["a"], "f16", 1)
    monkeypatch.setattr(copies, "quantise", lambda _path, target, *_: shutil.copy(one.path, target))
    several = copy_of(file, ["a", "b"], "f16", 1)
    assert several.path != one.path
    assert {tensor.kind for tensor in read_header(one.path).tensors} == {F32, 1}


def test_listed_and_removed(file: Path, in_process: Command) -> None:
    copy = made(file)
    listed = json.loads(in_process("models", "list", "--format", "json").stdout)
    (row,) = [row for row in listed if row["model"] == "m.gguf in bf16"]
    assert row["size"] == copy.size
    assert row["path"] == str(copy.path)
    assert row["source"] == f"copy, last used {time.strftime('%Y-%m-%d', time.gmtime(copy.used))}"
    kept = in_process("models", "clean", "--unused", "1")
    assert (kept.stdout, kept.stderr) == ("", "0 copies removed, 0 MB\n")
    done = in_process("models", "clean")
    assert (done.stdout, done.stderr) == (f"{copy.path}\n", "1 copies removed, 3 MB\n")
    assert file_of_cache("*") == []


def file_of_cache(pattern: str) -> list[Path]:
    """What is in the folder of copies."""
    return sorted((Path(os.environ["TOKAUCTION_CACHE"]) / "weights").glob(pattern))


def test_leftovers_of_killed_processes_go(file: Path) -> None:
    left = file_of_cache("*.gguf")[0].parent / "part-of-somebody"
    left.mkdir()
    clean(unused_days=1)
    assert left.exists()  # somebody may be writing there
    hours_ago = time.time() - 7200
    os.utime(left, (hours_ago, hours_ago))
    clean(unused_days=1)
    assert not left.exists()
