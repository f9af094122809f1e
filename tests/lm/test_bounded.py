"""The limit on memory is the process's: whoever sets it at once leaves it as it was."""

from __future__ import annotations

import resource
import sys
import threading

import pytest

from tokenauction_cli.lm.bounded import bounded


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_two_threads_leave_no_limit() -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    is_inside, may_leave = threading.Event(), threading.Event()

    def second() -> None:
        with bounded():
            is_inside.set()
            may_leave.wait(10)

    thread = threading.Thread(target=second)
    with bounded():
        thread.start()
        is_inside.wait(0.2)  # it would come in, and take the first one's limit for the one to restore
    may_leave.set()
    thread.join()
    assert is_inside.is_set()
    assert resource.getrlimit(resource.RLIMIT_AS) == before
