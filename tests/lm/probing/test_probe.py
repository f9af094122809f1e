"""What a child process finds out before a run loads a model: broken files, crashes, bits that batches move.

Crashes are injected: `child_command` starts a process that dies where the settings are those that shall crash.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from tiny_gguf import (
    F16,
    F32,
    Q8_0,
    attention_model,
    bigram_model,
    embedding_model,
    hybrid_model,
    latent_model,
    mixed_model,
    recurrent_model,
)

from tokenauction_cli.lm.llama import file_identity, gguf, hardware, libraries
from tokenauction_cli.lm.llama.gguf import GgufContext
from tokenauction_cli.lm.llama.hardware import CELL_BLOCK, Hardware, choose_hardware, kv_format
from tokenauction_cli.lm.llama.lone_rows import has_floats, parts_streams
from tokenauction_cli.lm.llama.metadata import read_metadata
from tokenauction_cli.lm.probing import probe, probe_child
from tokenauction_cli.lm.probing.probe import SIZES, Probed, Shape, find, remembered
from tokenauction_cli.model_files.gguf_header import read_header
from tokenauction_cli.system.environment import cache_folder
from tokenauction_cli.system.errors import ModelError

CPU = choose_hardware("cpu", "auto", 2)
SMALL = Shape(4, CELL_BLOCK)


def facts(**values: Any) -> Callable[[Path], object]:
    return lambda path: bigram_model(path, metadata={key.replace("__", "."): value for key, value in values.items()})


def weights(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    """Changes the bytes of the output matrix, which stand at the end of the file."""

    def write(path: Path) -> None:
        data = bigram_model(path).read_bytes()
        path.write_bytes(data[:-100_000] + change(data[-100_000:]))

    return write


UNFIT: Mapping[str, tuple[Callable[[Path], object], str]] = {
    "no layers": (facts(llama__block_count=0), "it crashed (SIGABRT): GGML_ASSERT("),
    "endless layers": (facts(llama__block_count=2**31 - 1), "it crashed (SIGABRT): GGML_ASSERT("),
    "more layers than there are": (facts(llama__block_count=99), "'blk.1.attn_norm.weight' not found"),
    "no heads": (facts(llama__attention__head_count=0), "wrong shape"),
    "endless heads": (facts(llama__attention__head_count=2**31), "invalid n_rot"),
    "a rotation of other width": (facts(llama__rope__dimension_count=7), "invalid n_rot"),
    "an epsilon that is no number": (facts(llama__attention__layer_norm_rms_epsilon=float("nan")), "it crashed"),
    "an epsilon below zero": (facts(llama__attention__layer_norm_rms_epsilon=-1.0), "it crashed (SIGABRT)"),
    "experts that are not there": (facts(llama__expert_count=8), "it crashed (SIGABRT)"),
    "a frequency of zero": (facts(llama__rope__freq_base=0.0), "its logits are not numbers"),
    "no feed-forward": (facts(llama__feed_forward_length=0), "wrong shape"),
    "weights that are no numbers": (weights(lambda data: b"\xff\xff\xff\x7f" * (len(data) // 4)), "are not numbers"),
    "cut tensors": (weights(lambda data: data[:50_000]), "not within the file bounds"),
    "no tensors": (lambda path: bigram_model(path, without=["tensors"]), "token_embd.weight' not found"),
}


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is remembered when a test begins."""
    monkeypatch.setenv("TOKAUCTION_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return bigram_model(tmp_path / "m.gguf", {k: {k + 1: 1.0} for k in range(4, 100)})


Dies = Callable[..., None]
REAL_COMMAND = probe.child_command


@pytest.fixture
def dies(monkeypatch: pytest.MonkeyPatch) -> Dies:
    """Has children die, by this line of Python, where `hardware`, a dictionary, meets this condition."""

    def dies(how: str, condition: str = "hardware['uses_extra_buffers']") -> None:
        def command(question: str) -> list[str]:
            hardware = json.loads(question)["hardware"]
            if not eval(condition, {"hardware": hardware}):
                return REAL_COMMAND(question)
            says = """print('{"at": "loading", "has_amx": true}\\n{"at": "2 rows"}', flush=True)"""
            return [sys.executable, "-c", f"import os, time\n{says}\n{how}"]

        monkeypatch.setattr(probe, "child_command", command)

    return dies


# Broken files


@pytest.mark.parametrize("name", UNFIT)
def test_what_cannot_be_evaluated_is_an_error_like_any_other(tmp_path: Path, name: str) -> None:
    write, reason = UNFIT[name]
    path = tmp_path / "m.gguf"
    write(path)
    with pytest.raises(ModelError) as caught:
        find(path, CPU, SMALL)
    assert str(caught.value).startswith(f"{path}: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert remembered(path, CPU, SMALL) is None


def test_a_run_of_such_a_file_ends_with_the_reason_and_leaves_nothing(tmp_path: Path, tokauction: Command) -> None:
    facts(llama__block_count=0)(tmp_path / "m.gguf")
    (tmp_path / "e.yaml").write_text("name: e\nagents: [{name: A, model: m.gguf, prompt: a}]\n")
    done = tokauction("run", "e.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert "m.gguf: the header of the file is damaged: llama.block_count is 0; download it again" in done.stderr
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "results").iterdir()) == []


# What is remembered


def test_a_good_file_is_evaluated_once(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert remembered(model, CPU, SMALL) is None
    found = find(model, CPU, SMALL)
    assert found.keeps_bits
    assert found.in_words == "measured: records do not depend on batching"
    assert remembered(model, CPU, SMALL) == found
    assert remembered(model, CPU, Shape(max(SIZES), CELL_BLOCK)) == found, "the usual batches were measured too"


@pytest.mark.parametrize("shape", [Shape(max(SIZES) + 1, CELL_BLOCK), Shape(4, 2 * CELL_BLOCK)])
def test_a_larger_run_is_evaluated_again(model: Path, shape: Shape) -> None:
    find(model, CPU, SMALL)
    assert remembered(model, CPU, shape) is None
    find(model, CPU, shape)
    assert remembered(model, CPU, shape) is not None


def test_long_texts_say_nothing_of_short_ones(model: Path) -> None:
    """A context of 512 cells pairs lone rows."""
    find(model, CPU, Shape(4, 2 * CELL_BLOCK))
    assert remembered(model, CPU, SMALL) is None


@pytest.mark.parametrize(
    "changed",
    [
        lambda patch: patch.setattr(libraries, "digests", lambda: {"libggml-cpu.so": "another build"}),
        lambda patch: patch.setattr(file_identity, "processor_identity", lambda: "another processor"),
    ],
    ids=["libraries", "processor"],
)
def test_another_build_or_processor_is_another_question(
    model: Path, monkeypatch: pytest.MonkeyPatch, changed: Callable[[pytest.MonkeyPatch], None]
) -> None:
    find(model, CPU, SMALL)
    changed(monkeypatch)
    assert remembered(model, CPU, SMALL) is None


@pytest.mark.parametrize(
    "other", [Hardware(0, 1, CPU.kv_cache), Hardware(0, 2, "q8_0"), Hardware(0, 2, CPU.kv_cache, False)]
)
def test_other_settings_are_another_question(model: Path, other: Hardware) -> None:
    find(model, CPU, SMALL)
    assert remembered(model, other, SMALL) is None


def test_tokens_alone_are_another_question(model: Path) -> None:
    """Nothing is compared for them."""
    alone = Shape(4, CELL_BLOCK, alone=True)
    find(model, CPU, alone)
    assert remembered(model, CPU, SMALL) is None
    assert find(model, CPU, SMALL).keeps_bits
    assert remembered(model, CPU, alone) is not None


def test_another_file_in_its_place(model: Path) -> None:
    find(model, CPU, SMALL)
    os.utime(model, ns=(1, 1))
    assert remembered(model, CPU, SMALL) is None, "another file, for all we know"


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"hardware": 3}', b"[" * 100_000])
def test_a_memory_that_says_nothing(model: Path, content: bytes) -> None:
    find(model, CPU, SMALL)
    for memory in (cache_folder() / "probes").iterdir():
        memory.write_bytes(content)
    assert remembered(model, CPU, SMALL) is None


@pytest.mark.parametrize(("hours", "is_known"), [(0.9, True), (1.1, False)])
def test_what_there_was_no_time_for_is_tried_again_an_hour_later(model: Path, hours: float, is_known: bool) -> None:
    find(model, CPU, SMALL, seconds=0.0)
    memory = next((cache_folder() / "probes").iterdir())
    then = time.time() - hours * 3600
    os.utime(memory, (then, then))
    assert (remembered(model, CPU, SMALL) is not None) == is_known


def test_what_was_measured_is_not_tried_again(model: Path) -> None:
    found = find(model, CPU, SMALL)
    os.utime(next((cache_folder() / "probes").iterdir()), (1, 1))
    assert remembered(model, CPU, SMALL) == found


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path, model: Path) -> None:
    (tmp_path / "cache").write_text("a file in its place")
    assert find(model, CPU, SMALL).keeps_bits
    assert remembered(model, CPU, SMALL) is None


# Crashes


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGILL", "SIGABRT"])
def test_a_crash_is_answered_by_other_settings(model: Path, dies: Dies, name: str) -> None:
    dies(f"os.kill(os.getpid(), {int(getattr(signal, name))})")
    told: list[str] = []
    found = find(model, CPU, SMALL, tell=told.append)
    assert not found.hardware.uses_extra_buffers
    assert found.keeps_bits
    assert told == [
        f"AMX: compiled in, crashes here (it crashed ({name}) at: 2 rows; llama.cpp issue 20824), switched off; "
        "rebuild with `python -m tokenauction_cli.lm.build_llama` for twice the speed"
    ]
    assert remembered(model, CPU, SMALL) == found
    assert remembered(model, found.hardware, SMALL) == found


def test_silence_is_a_crash(model: Path, dies: Dies, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "SILENT_SECONDS", 0.2)
    dies("time.sleep(1000)", "True")
    with pytest.raises(ModelError, match="no answer within 0 seconds at: 2 rows"):
        find(model, CPU, SMALL)


def test_what_a_driver_prints_is_no_answer(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def command(question: str) -> list[str]:
        noise = "print('found 1 device\\n7\\n{', flush=True)"
        rest = "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"
        return [sys.executable, "-c", f"{noise}\n{rest}", *REAL_COMMAND(question)]

    monkeypatch.setattr(probe, "child_command", command)
    assert find(model, CPU, SMALL).keeps_bits


def test_a_gpu_that_crashes_is_left_alone(model: Path, dies: Dies) -> None:
    dies("os.abort()", "hardware['gpu_layers'] != 0")
    told: list[str] = []
    found = find(model, Hardware(-1, 2), SMALL, tell=told.append)
    assert found.hardware == Hardware(0, 2)
    assert [text.split(" (")[0] for text in told] == [
        "llama.cpp crashes here with all layers offloaded, 2 threads, f16 KV cache",
        "llama.cpp crashes here with all layers offloaded, 2 threads, f16 KV cache, weights in their own order",
    ]


def test_a_child_that_is_killed_is_no_crash_of_llama(model: Path, dies: Dies) -> None:
    dies(f"os.kill(os.getpid(), {int(signal.SIGKILL)})")
    with pytest.raises(ModelError, match=r"it crashed \(SIGKILL\), probably for lack of memory"):
        find(model, CPU, SMALL)


def test_a_run_uses_what_works_and_says_so_once(
    tmp_path: Path, model: Path, dies: Dies, in_process: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[bool] = []
    new_context = GgufContext._new_context

    def noted(self: GgufContext, hardware: Hardware, n_sequences: int) -> Any:
        used.append(hardware.uses_extra_buffers)
        return new_context(self, hardware, n_sequences)

    monkeypatch.setattr(GgufContext, "_new_context", noted)
    dies("os.kill(os.getpid(), 11)")
    (tmp_path / "e.yaml").write_text(
        "name: e\nagents: [{name: A, model: m.gguf, prompt: a}]\nauction: {max_tokens: 3}\nruntime: {device: cpu}\n"
    )
    checked = in_process("check", "e.yaml")
    assert "not measured yet" in checked.stdout
    done = in_process("run", "e.yaml")
    assert done.returncode == 0
    assert done.stderr.count("AMX: compiled in, crashes here") == 1
    again = in_process("run", "e.yaml", "--fresh")
    assert "AMX" not in again.stderr
    assert used == [False, False]
    checked = in_process("check", "e.yaml")
    assert "crashes here" in checked.stdout
    assert "records do not depend on batching" in checked.stdout
    folder = next(path for path in (tmp_path / "results").iterdir() if ".old" not in path.name)
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    assert manifest["extra_buffers"] is False
    assert manifest["probes"][0]["crashes"][0].startswith("AMX: compiled in, crashes here (it crashed (SIGSEGV)")


# Bits


class Moving(GgufContext):
    """Adds a little to the logits of one sequence where so many rows are together."""

    rows = 17

    def evaluate(self, wanted: dict[int, tuple[int, ...]]) -> Any:
        by = 1e-3 if len(wanted) == self.rows else 0
        return {k: logits + (by if k == 3 else 0) for k, logits in super().evaluate(wanted).items()}


def examined(model: Path, seconds: float | None = None, n_tokens: int = CELL_BLOCK) -> dict[str, Any]:
    answer: dict[str, Any] = probe_child.examine(model, CPU, Shape(40, n_tokens), SIZES, seconds)
    return answer


@pytest.mark.parametrize("rows", [2, 3, 8, 17, 32, 40])
def test_the_shape_that_moves_bits_is_named(model: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    assert examined(model)["moved"] == ""
    monkeypatch.setattr(Moving, "rows", rows)
    monkeypatch.setattr(probe_child, "GgufContext", Moving)
    if rows > 3:
        assert examined(model)["moved"] == f"{rows} rows in a batch move logits by up to 1.0e-03"
    else:  # the sequence that moves has no part in it
        assert examined(model)["moved"] == ""


def floats_in(name: str) -> Callable[[Path], Path]:
    return lambda path: mixed_model(path, name)


def latent_in(kind: int) -> Callable[[Path], Path]:
    return lambda path: latent_model(path, kind)


@pytest.mark.parametrize(
    ("write", "has_some", "by_stream"),
    [
        (floats_in("attn_v"), True, False),
        (floats_in("blk.1.ffn_down"), True, False),
        (floats_in("token_embd"), False, False),
        (floats_in("no matrix"), False, False),
        (latent_in(F16), True, True),
        (latent_in(F32), True, False),
        (latent_in(Q8_0), False, False),
    ],
)
def test_the_header_says_which_files_need_pairs(
    tmp_path: Path, write: Callable[[Path], Path], has_some: bool, by_stream: bool
) -> None:
    """Whatever its `general.file_type` says; embeddings that are only looked up do not count."""
    header = read_header(write(tmp_path / "m.gguf"))
    assert (has_floats(header), parts_streams(header)) == (has_some, by_stream)


@pytest.mark.parametrize("write", [floats_in("ffn_down"), latent_in(F16)], ids=["some floats", "latent attention"])
def test_products_show_what_rounding_hides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], Path]
) -> None:
    """Without pairs such files depend on batching; the logits of a probe do not always show it."""
    path = write(tmp_path / "m.gguf")
    assert examined(path)["moved"] == ""
    monkeypatch.setattr(gguf, "has_floats", lambda header: False)
    monkeypatch.setattr(gguf, "parts_streams", lambda header: False)
    assert examined(path)["moved"] != ""
    monkeypatch.setattr(probe_child.Examination, "_compare", lambda self, lengths, shape: self.evaluate(lengths))
    moved = examined(path)["moved"]
    assert moved.startswith("products of blk.0.")
    assert moved.endswith(", though no logit that was tried did")


def test_floats_and_a_state_may_depend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was seen: a lone row cannot get a second one."""
    monkeypatch.setattr(probe_child.Examination, "compare", lambda *arguments: True)
    moved = examined(hybrid_model(tmp_path / "m.gguf"))["moved"]
    assert moved == "some matrices are floats, and a recurrent state leaves rows alone in their products"


@pytest.mark.parametrize("deterministic", ["false", "true"])
def test_a_model_without_logits_is_refused(tmp_path: Path, in_process: Command, deterministic: str) -> None:
    """Its header says nothing; the buffer of the logits keeps what stood there."""
    embedding_model(tmp_path / "m.gguf")
    (tmp_path / "e.yaml").write_text("name: e\nagents: [{name: A, model: m.gguf, prompt: ab}]\n")
    done = in_process("run", "e.yaml", "-S", f"runtime.deterministic={deterministic}")
    assert (done.returncode, done.stdout) == (2, "")
    assert "m.gguf: this model does not write from left to right" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_whole_file_that_crashes_is_not_called_damaged(model: Path, dies: Dies) -> None:
    dies("os.abort()", "True")
    with pytest.raises(ModelError) as caught:
        find(model, CPU, SMALL)
    assert str(caught.value) == (
        f"{model}: this build of llama.cpp cannot run it (llama): it crashed (SIGABRT) at: 2 rows; "
        "update llama-cpp-python, or choose another file"
    )


def test_findings_of_earlier_probes_are_not_believed(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find(model, CPU, SMALL)
    monkeypatch.setattr(probe, "_VERSION", probe._VERSION + 1)
    assert remembered(model, CPU, SMALL) is None


def test_beyond_a_block_of_cells(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Long(GgufContext):
        def evaluate(self, wanted: dict[int, tuple[int, ...]]) -> Any:
            found = super().evaluate(wanted)
            by = {k: 1e-3 if len(wanted) > 1 and len(wanted[k]) > CELL_BLOCK else 0 for k in found}
            return {k: logits + by[k] for k, logits in found.items()}

    monkeypatch.setattr(probe_child, "GgufContext", Long)
    assert examined(model)["moved"] == ""
    assert "1.0e-03" in examined(model, n_tokens=2 * CELL_BLOCK)["moved"]


def test_a_prompt_in_other_chunks(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a text was begun decides which chunks its rest is evaluated in."""

    class Chunked(GgufContext):
        moves = False

        def _fill(self, number: int, tokens: tuple[int, ...]) -> None:
            n_held = len(self._held[number])
            self.moves |= 0 < n_held < len(tokens) - 32 and n_held % 32 != 0
            super()._fill(number, tokens)

        def evaluate(self, wanted: dict[int, tuple[int, ...]]) -> Any:
            return {k: logits + (1e-3 if self.moves else 0) for k, logits in super().evaluate(wanted).items()}

    monkeypatch.setattr(probe_child, "GgufContext", Chunked)
    assert "move logits by up to 1.0e-03" in examined(model)["moved"]


def test_logits_have_one_digest_whatever_the_threads_and_the_run(model: Path, tmp_path: Path) -> None:
    digest = examined(model)["digest"]
    asked = (CPU, Shape(2, CELL_BLOCK), (2,), 0.0), (Hardware(0, 1, CPU.kv_cache), Shape(9, 100), SIZES, None)
    assert [probe_child.examine(model, *question)["digest"] for question in asked] == [digest, digest]
    other = bigram_model(tmp_path / "other.gguf", {k: {9: 1.5} for k in range(4, 200)})
    assert examined(other)["digest"] != digest


@pytest.mark.parametrize("n_tokens", [1, 8, 64, 150])
def test_a_model_of_short_texts(tmp_path: Path, n_tokens: int) -> None:
    path = bigram_model(tmp_path / "short.gguf", metadata={"llama.context_length": n_tokens})
    answer = examined(path)
    if n_tokens < 7:
        assert (answer["moved"], answer["why_not"]) == (None, "the model's texts are too short")
    else:
        assert answer["moved"] == ""


def test_what_there_is_no_time_for_counts_as_no(model: Path) -> None:
    answer = examined(model, seconds=0.0)
    assert answer["moved"] is None
    assert "check --probe" in answer["why_not"]
    finding = Probed(CPU, SMALL, answer["digest"], None, answer["why_not"])
    assert not finding.keeps_bits
    assert re.match(r"not measured: it takes about \d+ s here", finding.in_words)


def test_what_moved_is_told(tmp_path: Path, in_process: Command) -> None:
    recurrent_model(tmp_path / "m.gguf")
    (tmp_path / "e.yaml").write_text(
        "name: e\nagents: [{name: A, model: m.gguf, prompt: a}]\nauction: {max_tokens: 3}\nruntime: {device: cpu}\n"
    )
    checked = in_process("check", "e.yaml", "--probe")
    assert "measured: records may depend on batching: " in checked.stdout
    assert " move logits by up to " in checked.stdout


# The format of keys and values


@pytest.mark.parametrize("feature", ["AVX512_BF16 = 1", "AVX512_BF16 = 0", ""])
@pytest.mark.parametrize("has_amx", [True, False])
def test_keys_and_values_follow_the_processor(monkeypatch: pytest.MonkeyPatch, feature: str, has_amx: bool) -> None:
    monkeypatch.setattr(libraries, "system_info", lambda: f"CPU : AVX2 = 1 | {feature}")
    monkeypatch.setattr(hardware, "processor_has", lambda name: name == "amx_int8" and has_amx)
    assert kv_format(gpu_layers=0) == ("bf16" if has_amx and feature.endswith("1") else "f16")
    assert kv_format(gpu_layers=-1) == "f16"


@pytest.mark.parametrize("kv_cache", ["f16", "bf16", "q8_0", "f32"])
def test_every_format_writes(tmp_path: Path, in_process: Command, kv_cache: str) -> None:
    attention_model(tmp_path / "m.gguf")
    (tmp_path / "e.yaml").write_text(
        f"name: e\nagents: [{{name: A, model: m.gguf, prompt: abc}}]\nruntime: {{kv_cache: {kv_cache}}}\n"
    )
    assert in_process("run", "e.yaml", "-q").returncode == 0
    (folder,) = (tmp_path / "results").iterdir()
    assert json.loads((folder / "manifest.json").read_text("utf-8"))["kv_cache"] == kv_cache


def test_a_run_keeps_the_format_that_it_began_with(tmp_path: Path, in_process: Command) -> None:
    attention_model(tmp_path / "m.gguf")
    (tmp_path / "e.yaml").write_text(
        "name: e\nagents: [{name: A, model: m.gguf, prompt: abc}]\nauction: {max_tokens: 3}\nsweep: {seeds: 20}\n"
    )
    options = ("run", "e.yaml", "-S", "runtime.kv_cache=q8_0")
    assert in_process(*options, "-o", "whole", "-q").returncode == 0
    assert in_process(*options, "-o", "parts", "-n", "5", "-q").returncode == 0
    continued = in_process("run", "e.yaml", "-S", "runtime.kv_cache=f32", "-o", "parts")
    assert "this run began with a KV cache in q8_0, and keeps it" in continued.stderr
    whole, parts = (next((tmp_path / name).iterdir()) for name in ("whole", "parts"))
    assert json.loads((parts / "manifest.json").read_text("utf-8"))["kv_cache"] == "q8_0"
    records = [sorted(b"".join(p.read_bytes() for p in f.glob("records-*")).splitlines()) for f in (whole, parts)]
    assert records[0] == records[1]
    assert in_process("verify", str(parts)).returncode == 0


# Damage


def refusal(path: Path) -> str | None:
    try:
        read_metadata(path)
        find(path, CPU, SMALL)
    except ModelError as error:
        return str(error)
    return None


@pytest.mark.parametrize("n_files", [15, pytest.param(300, marks=pytest.mark.slow)])
def test_random_damage_never_ends_the_interpreter(tmp_path: Path, n_files: int) -> None:
    """Bytes changed anywhere, files cut anywhere: read, or refused with a reason."""
    whole = bigram_model(tmp_path / "whole.gguf").read_bytes()
    numbers = random.Random(6)
    for k in range(n_files):
        path = tmp_path / f"{k}.gguf"
        data = bytearray(whole[: numbers.choice([len(whole), numbers.randrange(len(whole))])])
        for _ in range(numbers.choice([1, 3, 30])):
            data[numbers.randrange(min(len(data), numbers.choice([200, 12_000, len(data)])))] = numbers.randrange(256)
        path.write_bytes(data)
        reason = refusal(path)
        assert reason is None or reason.startswith(f"{path}: ")
        path.unlink()
