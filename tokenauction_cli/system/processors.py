"""Which processor this is, and how many threads to compute with: the physical cores that this process may use.

Linux: the cores behind the scheduler's affinity mask (hyper-threads of one core count once), within the processor quota
of the process's control group and of every group above it (`cpu.max`, or `cpu.cfs_quota_us` in version 1).
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Collection, Iterator
from math import inf
from pathlib import Path, PurePosixPath

_CPUINFO = Path("/proc/cpuinfo")


def processor_name(cpuinfo: Path = _CPUINFO) -> str:
    """The processor's model, as far as the system says."""
    return _fact(cpuinfo, "model name") or platform.processor()


def processor_has(feature: str, cpuinfo: Path = _CPUINFO) -> bool:
    """Whether the processor has an instruction set, by Linux' name, such as amx_int8."""
    return feature in _fact(cpuinfo, "flags").split()


def processor_identity(cpuinfo: Path = _CPUINFO) -> str:
    """Equal texts compute alike: the model and a digest of its instruction sets."""
    features = _fact(cpuinfo, "flags") or _fact(cpuinfo, "Features")
    return f"{processor_name(cpuinfo)} {hashlib.sha256(features.encode()).hexdigest()[:12]}"


def _fact(cpuinfo: Path, name: str) -> str:
    lines = (line.partition(":") for line in _read(cpuinfo).splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), "")


def usable_processors() -> int:
    """Physical cores this process may use, at least 1."""
    if sys.platform == "linux":
        cores = linux_processors(Path("/"), os.sched_getaffinity(0))
    elif sys.platform == "darwin":
        cores = _macos_performance_cores() or os.cpu_count() or 1
    else:
        cores = (os.cpu_count() or 2) // 2
    return max(1, cores)


def linux_processors(root: Path, affinity: Collection[int]) -> int:
    """The answer for the /proc and /sys below `root`. A quota of 3.5 processors gives 3: llama.cpp's threads spin."""
    cores = len({_siblings(root, processor) for processor in affinity})
    return max(1, int(min(cores, _quota(root))))


def _siblings(root: Path, processor: int) -> str:
    """The hyper-threads of a processor's core, as the kernel writes them: the same text for the same core."""
    topology = root / f"sys/devices/system/cpu/cpu{processor}/topology"
    return _read(topology / "thread_siblings_list") or str(processor)


def _quota(root: Path) -> float:
    """The smallest quota, in processors, on the way from the process's groups to the root; inf when there is none."""
    groups = list(_groups(root))
    version_2 = (_quota_of_version_2(group) for group in groups)
    version_1 = (_quota_of_version_1(group) for group in groups)
    return min((*version_2, *version_1), default=inf)


def _groups(root: Path) -> Iterator[Path]:
    """The folders of the groups of this process that rule the processor, with the groups above them."""
    mounted = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        hierarchy, controllers, name = line.split(":", 2)
        if hierarchy == "0":
            mounts = [mounted, mounted / "unified"]
        elif "cpu" in controllers.split(","):
            mounts = [mounted / controllers, mounted / "cpu"]
        else:
            continue
        path = PurePosixPath(name.lstrip("/"))
        if ".." in path.parts:  # a group outside this namespace: only what is mounted can be read
            path = PurePosixPath()
        yield from (mount / above for mount in mounts for above in (path, *path.parents))


def _quota_of_version_2(group: Path) -> float:
    return _ratio(*_read(group / "cpu.max").split())


def _quota_of_version_1(group: Path) -> float:
    return _ratio(_read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us"))


def _ratio(quota: str = "", period: str = "", *_: str) -> float:
    """Microseconds of quota per period; "max", -1 and unreadable files mean no limit."""
    if quota.isdecimal() and period.isdecimal() and int(period) > 0:
        return int(quota) / int(period)
    return inf


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _macos_performance_cores() -> int:
    """Performance cores on Apple silicon, physical cores on Intel, 0 when sysctl does not say."""
    for name in ("hw.perflevel0.physicalcpu", "hw.physicalcpu"):
        try:
            answer = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=True, timeout=5)
            return int(answer.stdout)
        except (OSError, ValueError, subprocess.SubprocessError):
            continue
    return 0
