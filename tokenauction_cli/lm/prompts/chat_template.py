"""Chat templates, which come with a model's file, rendered in a child process that is killed where it takes too long.

Jinja2's sandbox keeps a template from Python's objects, files and modules, but not from running or growing for ever,
nor from ending the process by a stack that overflows in C. So a template can end its child process at most. One child
serves all renderings and is replaced only when one has ended it; what was rendered is kept.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

from ...system.children import PACKAGE_ROOT, command_of
from ...system.environment import on_one_line

SECONDS = 5.0  # for a rendering
_SECONDS_TO_START = 60.0  # on a busy machine
_CHILD = "tokenauction_cli.lm.prompts.chat_template_child"

Messages = Sequence[Mapping[str, str]]


class RefusedError(Exception):
    """Why a template makes no prompt of some messages, in words of one line."""


class ChatTemplates:
    """Renders chat templates between `with` and its end; its child begins with the first."""

    def __init__(self) -> None:
        self._child: _Child | None = None
        self._known: dict[str, str] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> ChatTemplates:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def render(self, template: str, messages: Messages, special: Mapping[str, str]) -> str:
        """What the template makes of the messages and the texts of special tokens. Raises RefusedError."""
        question = json.dumps({"template": template, "messages": list(messages), "special": special})
        with self._lock:
            if question not in self._known:
                self._known[question] = self._ask(question)
            return self._known[question]

    def _ask(self, question: str) -> str:
        try:
            self._child = self._child or _Child()
            answer = json.loads(self._child.answer(question))
        except BaseException:  # Ctrl-C too
            self._end()
            raise
        if "error" in answer:
            raise RefusedError(on_one_line(answer["error"]))
        return str(answer["text"])

    def _end(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


class _Child:
    """A child process, and the socket on which it is asked."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        self._waiting = b""
        with theirs:
            self._process = subprocess.Popen(
                command_of(_CHILD),
                cwd=PACKAGE_ROOT,
                env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONIOENCODING": "utf-8"},
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
            )
        self._line(_SECONDS_TO_START)

    def answer(self, question: str) -> bytes:
        """Its answer. Raises RefusedError where it gives none in time, or ends."""
        self._socket.settimeout(SECONDS)
        try:
            self._socket.sendall(question.encode() + b"\n")
        except (BrokenPipeError, ConnectionResetError):
            raise RefusedError(self._how_it_ended()) from None
        return self._line(SECONDS)

    def _line(self, seconds: float) -> bytes:
        end = time.monotonic() + seconds
        while b"\n" not in self._waiting:
            self._socket.settimeout(max(1e-3, end - time.monotonic()))
            try:
                data = self._socket.recv(1 << 20)
            except TimeoutError:
                raise RefusedError(f"it takes more than {seconds:.0f} seconds") from None
            except ConnectionResetError:
                data = b""
            if not data:
                raise RefusedError(self._how_it_ended())
            self._waiting += data
        line, self._waiting = self._waiting.split(b"\n", 1)
        return line

    def _how_it_ended(self) -> str:
        from ..llama.metadata import how_it_ended  # it loads llama.cpp

        return how_it_ended(self._process.wait(), b"")

    def end(self) -> None:
        """Kill it, whatever it is at."""
        self._process.kill()
        self._process.wait()
        self._socket.close()
