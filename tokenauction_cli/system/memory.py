"""How much memory this process may still use."""

from __future__ import annotations

import os
from pathlib import Path

_A_MODEST_MACHINE = 4 << 30
_OF_TABLES = 240 << 20  # pandas and scipy; measured: 160 MiB of addresses, and 40 more for each thread
_OF_A_THREAD_OF_OPENBLAS = 40 << 20
_MOST_THREADS = 64


def free_memory(root: Path = Path("/")) -> int:
    """Bytes available without swapping, within the control group's limit where there is one."""
    available = _of_meminfo(root, "MemAvailable")
    if available is None:
        available = _physical() // 2
    limit = _limit(root)
    used = _number(root / "sys/fs/cgroup/memory.current")
    if limit is not None and used is not None:
        available = min(available, max(0, limit - used))
    return available


def whole_memory(root: Path = Path("/")) -> int:
    """Bytes that the machine has, or the control group's limit where that is less."""
    whole, limit = _of_meminfo(root, "MemTotal") or _physical(), _limit(root)
    return whole if limit is None else min(whole, limit)


def check_room_for_tables() -> None:
    """Raises MemoryError where a limit leaves none: scipy's OpenBLAS would ask for memory for ever."""
    import resource
    import sys

    if sys.platform != "linux" or "scipy.linalg" in sys.modules:
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    needed = _OF_TABLES + _OF_A_THREAD_OF_OPENBLAS * min(os.cpu_count() or 1, _MOST_THREADS)
    if limit != resource.RLIM_INFINITY and limit - used < needed:
        raise MemoryError(
            f"tables need {needed >> 20} MiB, and the limit `ulimit -v` leaves {(limit - used) >> 20} MiB"
        )


def peak_memory() -> int:
    """The most bytes that this process has had in memory so far."""
    import resource
    import sys

    try:  # where there is /proc: getrusage also counts the process that started this one
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _of_meminfo(root: Path, name: str) -> int | None:
    """Bytes, as Linux tells them."""
    try:
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None


def _physical() -> int:
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 2 * _A_MODEST_MACHINE


def _limit(root: Path) -> int | None:
    """Bytes that the control group may use; None where it may use all."""
    return _number(root / "sys/fs/cgroup/memory.max")


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such group, or "max"
        return None
