"""What a child process finds out about a GGUF file before a run loads it: does llama.cpp survive, and keep its bits?

llama.cpp may end the process: on a broken file, by an instruction that this processor or its compiler gets wrong, by a
driver. So a child evaluates first what a run emits (`probe_child.py`). Where it crashes, other children try other
settings (`Hardware.fallbacks`), and the run uses what works. Whether a batch may change a bit of a record is measured,
never read off a file's type; what there was no time to measure counts as no.

A finding is remembered by the file, llama.cpp's libraries, the processor and the settings, as one JSON file in the
user's cache folder, which may be deleted at any time; a folder that cannot be written is no error. Bits that were
not measured are tried again an hour later: the machine may have been busy.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ...model_files.gguf_header import read_header
from ...system.children import PACKAGE_ROOT, command_of
from ...system.environment import cache_folder, remember
from ...system.errors import ModelError
from ..llama.adapters import Adapter
from ..llama.copies import Copy
from ..llama.file_identity import identity
from ..llama.hardware import CELL_BLOCK, Hardware
from ..llama.llama_build import COMMAND as REBUILD
from ..llama.metadata import how_it_ended, unreadable
from ..llama.weights import FILE

SIZES = (2, 3, 8, 17, 32)  # of batches
SECONDS = 20.0  # of the processor, for measuring bits: a model of some hundred million parameters takes 2 or 3
LOADING_SECONDS = 3600.0  # a large model on a slow disk is read as a whole
UNMEASURED_SECONDS = 3600.0  # for which a finding without a measurement is remembered
SILENT_SECONDS = 300.0  # between two words of a child that evaluates
_VERSION = 2  # of what is looked at: findings of earlier ones are not believed
_ISSUE = "llama.cpp issue 20824"
_CHILD = "tokenauction_cli.lm.probing.probe_child"


class Shape(NamedTuple):
    """What a run asks of a context: so many sequences of at most so many tokens, or tokens `alone`, one by one."""

    n_sequences: int
    n_tokens: int
    alone: bool = False

    def holds(self, other: Shape) -> bool:
        """Whether what is known of this shape is known of the other: a lone row is evaluated otherwise in long ones."""
        is_alike = other.n_tokens <= CELL_BLOCK if self.n_tokens <= CELL_BLOCK else other.n_tokens > CELL_BLOCK
        is_enough = self.n_sequences >= other.n_sequences and self.n_tokens >= other.n_tokens
        return is_alike and is_enough and self.alone == other.alone


@dataclass(frozen=True)
class Crash:
    """How a child ended, and what it was at."""

    hardware: Hardware
    how: str
    has_amx: bool = False

    @property
    def in_words(self) -> str:
        if self.has_amx and self.hardware.uses_extra_buffers and not self.hardware.gpu_layers:
            return (
                f"AMX: compiled in, crashes here ({self.how}; {_ISSUE}), switched off; rebuild with "
                f"`{REBUILD}` for twice the speed"
            )
        return f"llama.cpp crashes here with {self.hardware.in_words} ({self.how}): switched off"


@dataclass(frozen=True)
class Probed:
    """What was found out about one file; `hardware` is what works."""

    hardware: Hardware
    shape: Shape
    digest: str  # of some logits: machines with equal ones compute equally
    moved: str | None  # the shape that moved bits most, '' where none did, None where that was not measured
    why_not: str = ""  # it was not measured
    crashes: tuple[Crash, ...] = ()
    rows_per_second: Mapping[int, float] = field(default_factory=dict)  # by rows in a batch; earlier versions kept none

    @property
    def keeps_bits(self) -> bool:
        """Whether a record cannot depend on what else is in a batch."""
        return self.moved == ""

    @property
    def in_words(self) -> str:
        if self.moved is None:
            return f"not measured: {self.why_not}; counts as: they may depend on batching"
        if self.moved:
            return f"measured: records may depend on batching: {self.moved}"
        return "measured: records do not depend on batching"

    def speed(self, n_rows: int) -> float | None:
        """Rows per second in batches of about so many rows, None where no batch was timed."""
        if not self.rows_per_second:
            return None
        return self.rows_per_second[min(self.rows_per_second, key=lambda size: abs(size - n_rows))]


def remembered(
    path: Path, hardware: Hardware, shape: Shape, form: str = FILE, adapters: tuple[Adapter, ...] = ()
) -> Probed | None:
    """What was found out before with weights in this format, for as many sequences of as many tokens."""
    memory = _memory(path, hardware, shape, form, adapters)
    try:
        plain = json.loads(memory.read_bytes())
        if plain["why_not"] and time.time() - memory.stat().st_mtime > UNMEASURED_SECONDS:
            return None
        crashes = tuple(Crash(Hardware.of(crash.pop("hardware")), **crash) for crash in plain.pop("crashes"))
        rates = _rates(plain.pop("rows_per_second", {}))
        about = Hardware.of(plain.pop("hardware")), Shape(*plain.pop("shape"))
        finding = Probed(*about, crashes=crashes, rows_per_second=rates, **plain)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return finding if finding.shape.holds(shape) else None


def find(
    path: Path,
    hardware: Hardware,
    shape: Shape,
    *,
    copy: Copy | None = None,
    adapters: tuple[Adapter, ...] = (),
    sizes: Sequence[int] = SIZES,
    seconds: float | None = SECONDS,
    tell: Callable[[str], None] = lambda _: None,
) -> Probed:
    """Have child processes evaluate the file, or a copy of it, and remember; raises ModelError where none can.

    `sizes` of batches are evaluated beside the shape's own. `seconds` bounds the measuring of bits, which tokens
    alone need not.
    """
    crashes: list[Crash] = []
    for setting in hardware.fallbacks():
        answer = _ask(_Question(path, setting, shape, seconds, tuple(sizes), copy and copy.path, adapters))
        if isinstance(answer, Crash):
            crashes.append(answer)
            continue
        if "error" in answer:
            raise ModelError(f"{path}: {answer['error']}", file=path)
        about = Shape(*answer["shape"]), answer["digest"], answer["moved"], answer["why_not"]
        finding = Probed(setting, *about, tuple(crashes), _rates(answer["rows_per_second"]))
        for crash in crashes:
            tell(crash.in_words)
        for settings in {hardware, setting}:
            form = copy.form if copy else FILE
            remember(_memory(path, settings, finding.shape, form, adapters), asdict(finding))
        return finding
    raise unreadable(path, read_header(path), crashes[0].how)


def _rates(plain: Mapping[str, Any]) -> dict[int, float]:
    """From JSON, whose keys are texts."""
    return {int(size): float(rate) for size, rate in plain.items()}


def crash_of(path: Path, hardware: Hardware, sizes: Sequence[int]) -> Crash | None:
    """Evaluate batches of so many rows in a child; how it crashed, if it did."""
    answer = _ask(_Question(path, hardware, Shape(max(sizes), CELL_BLOCK), 0.0, tuple(sizes)))
    return answer if isinstance(answer, Crash) else None


class _Question(NamedTuple):
    path: Path
    hardware: Hardware
    shape: Shape
    seconds: float | None
    sizes: tuple[int, ...]
    copy: Path | None = None
    adapters: tuple[Adapter, ...] = ()

    @property
    def plain(self) -> str:
        paths = {"path": str(self.path.absolute()), "copy": self.copy and str(self.copy.absolute())}
        adapters = [(str(one.path.absolute()), one.scale) for one in self.adapters]
        return json.dumps({**self._asdict(), **paths, "adapters": adapters, "hardware": asdict(self.hardware)})


def child_command(question: str) -> list[str]:
    """What starts a child."""
    return command_of(_CHILD, question)


def _ask(question: _Question) -> dict[str, Any] | Crash:
    """A child's answer, or how it ended without one. It says what it is at, so that a crash has a place."""
    child = subprocess.Popen(
        child_command(question.plain),
        cwd=PACKAGE_ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "GGML_NO_BACKTRACE": "1"},  # else a debugger is looked for
    )
    said: dict[str, Any] = {"at": "start", "has_amx": False}
    complaints = bytearray()
    try:
        with child:
            for line in _lines(child, complaints):
                said |= line
                if "answer" in said:
                    return dict(said["answer"])
    except TimeoutError as silence:
        return Crash(question.hardware, f"{silence} at: {said['at']}", said["has_amx"])
    how = how_it_ended(child.returncode, bytes(complaints))
    if child.returncode == -signal.SIGKILL:
        raise ModelError(
            f"{question.path}: {how}, probably for lack of memory: lower `runtime.batch`", file=question.path
        )
    return Crash(question.hardware, f"{how} at: {said['at']}", said["has_amx"])


def _lines(child: subprocess.Popen[bytes], complaints: bytearray) -> Iterator[dict[str, Any]]:
    """What the child says, as it comes; raises TimeoutError, and ends it, where it falls silent."""
    waiting = b""
    seconds = LOADING_SECONDS
    with selectors.DefaultSelector() as selector:
        for stream in (child.stdout, child.stderr):
            assert stream is not None
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(seconds)
            if not ready:
                child.kill()
                raise TimeoutError(f"no answer within {seconds:.0f} seconds")
            for key, _ in ready:
                data = os.read(key.fd, 1 << 16)
                if not data:
                    selector.unregister(key.fileobj)
                elif key.fileobj is child.stderr:
                    complaints += data
                else:
                    *lines, waiting = (waiting + data).split(b"\n")
                    for said in filter(None, map(_said, lines)):
                        seconds = LOADING_SECONDS if said.get("at") == "loading" else SILENT_SECONDS
                        yield said


def _said(line: bytes) -> dict[str, Any]:
    """What the child says in a line; nothing where llama.cpp or a driver prints on stdout too."""
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _memory(path: Path, hardware: Hardware, shape: Shape, form: str, adapters: tuple[Adapter, ...]) -> Path:
    copied = [] if form == FILE else [form]
    tuned = [(identity(one.path), one.scale) for one in adapters]
    name = identity(path, sorted(asdict(hardware).items()), *copied, *tuned)
    return cache_folder() / "probes" / f"{name}-{_VERSION}{'-alone' if shape.alone else ''}.json"
