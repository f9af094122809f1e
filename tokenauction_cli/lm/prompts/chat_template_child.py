"""The child process that renders chat templates: a question per line on stdin, an answer per line on stdout, in JSON.

A template runs in Jinja2's sandbox, as transformers and llama-cpp-python run it, with limits on memory and on processor
time. What draws at random is refused, and the clock stands still: a run must be repeatable. Imports little, so that it
starts in a moment.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import BaseLoader, Template, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_CHARACTERS = 1_000_000
EXTRA_BYTES = 256 << 20
PROCESSOR_SECONDS = 10  # who asks waits for less time; these end a child whose parent is gone
_A_FIXED_DAY = date(2024, 7, 26)
_LONGEST_REASON = 1_000
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


class _Generation(Extension):
    """The tag `generation`, which marks what a model says, and prints what is in it."""

    tags = {"generation"}  # noqa: RUF012 as in the class above

    def parse(self, parser: Parser) -> list[nodes.Node]:
        parser.stream.skip(1)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _to_json(
    item: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(item, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise(message: str) -> NoReturn:
    raise ValueError(message)


def _drawn(*_arguments: object, **_options: object) -> NoReturn:
    raise ValueError("it draws at random, so that no run could be repeated")


@lru_cache(maxsize=16)
def _compiled(source: str) -> Template:
    environment = ImmutableSandboxedEnvironment(
        loader=BaseLoader(), trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters |= {"tojson": _to_json, "random": _drawn}
    environment.globals |= {"lipsum": _drawn, "raise_exception": _raise, "strftime_now": _A_FIXED_DAY.strftime}
    return environment.from_string(source)


def rendered(question: Mapping[str, Any]) -> str:
    """The prompt that a template makes of messages, ready for the assistant's turn."""
    nothing = dict.fromkeys(("functions", "function_call", "tools", "tool_choice"))
    values = {"messages": question["messages"], **question["special"], **nothing}
    text = _compiled(question["template"]).render(values, add_generation_prompt=True)
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"it makes a prompt of more than {MAX_CHARACTERS:,} characters")
    if _ADDRESS.search(text) and not _ADDRESS.search(json.dumps(question)):
        raise ValueError("it prints where something lies in memory, which is elsewhere in every run")
    return text


def answer(question: Mapping[str, Any]) -> dict[str, str]:
    """The prompt, or why there is none."""
    try:
        return {"text": rendered(question)}
    except MemoryError:
        return {"error": "it takes too much memory"}
    except Exception as error:  # a template comes with a file and may fail in any way
        return {"error": str(error)[:_LONGEST_REASON] or type(error).__name__}


def _limit_memory() -> None:
    """This much more than now, where the system can tell and limit it."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        n_pages = int(Path("/proc/self/statm").read_text().split()[0])
        wanted = n_pages * resource.getpagesize() + EXTRA_BYTES
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (wanted if soft == resource.RLIM_INFINITY else min(soft, wanted), hard))


@contextmanager
def _watched() -> Iterator[None]:
    """Meanwhile this process ends where nobody waits for an answer: Linux signals that the socket was closed."""
    before = fcntl.fcntl(0, fcntl.F_GETFL)
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, before | os.O_ASYNC)
    try:
        yield
    finally:
        fcntl.fcntl(0, fcntl.F_SETFL, before)


def _limit_time() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    wanted = int(time.process_time()) + PROCESSOR_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (wanted if hard == resource.RLIM_INFINITY else min(hard, wanted), hard))


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asks hears Ctrl-C too, and ends this process
    _limit_memory()
    print("{}", flush=True)
    for line in sys.stdin:
        _limit_time()
        with _watched():
            answered = answer(json.loads(line))
        print(json.dumps(answered), flush=True)


if __name__ == "__main__":
    main()
