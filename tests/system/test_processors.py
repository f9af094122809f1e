"""Processors that may be used, read from fake /proc and /sys trees."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tokenauction_cli.system.processors import linux_processors, usable_processors


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")


def hyper_threads(root: Path, *pairs: str) -> None:
    """One core per text such as "0,4": both processors have this text as their siblings."""
    for pair in pairs:
        for processor in pair.replace("-", ",").split(","):
            write(root, {f"sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list": pair})


def test_without_topology_or_groups_every_processor_counts(tmp_path: Path) -> None:
    assert linux_processors(tmp_path, {0, 1, 2}) == 3


def test_hyper_threads_of_one_core_count_once(tmp_path: Path) -> None:
    hyper_threads(tmp_path, "0,4", "1,5", "2,6", "3,7")
    assert linux_processors(tmp_path, range(8)) == 4


def test_affinity_keeps_only_its_cores(tmp_path: Path) -> None:
    hyper_threads(tmp_path, "0-1", "2-3", "4-5")
    assert linux_processors(tmp_path, {0, 1, 4}) == 2


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("max 100000", 8), ("350000 100000", 3), ("50000 100000", 1), ("", 8), ("1600000 100000", 8), ("200000 0", 8)],
)
def test_quota_of_version_2(tmp_path: Path, limit: str, expected: int) -> None:
    write(tmp_path, {"proc/self/cgroup": "0::/app", "sys/fs/cgroup/app/cpu.max": limit})
    assert linux_processors(tmp_path, range(8)) == expected


def test_a_group_above_may_be_tighter(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/pods/pod/app",
            "sys/fs/cgroup/pods/pod/app/cpu.max": "600000 100000",
            "sys/fs/cgroup/pods/cpu.max": "200000 100000",
        },
    )
    assert linux_processors(tmp_path, range(8)) == 2


def test_the_container_sees_its_group_as_the_root(tmp_path: Path) -> None:
    write(tmp_path, {"proc/self/cgroup": "0::/../../elsewhere", "sys/fs/cgroup/cpu.max": "300000 100000"})
    assert linux_processors(tmp_path, range(8)) == 3


@pytest.mark.parametrize(("quota", "expected"), [("-1", 8), ("200000", 2)])
def test_quota_of_version_1(tmp_path: Path, quota: str, expected: int) -> None:
    write(
        tmp_path,
        {
            "proc/self/cgroup": "5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n0::/",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": quota,
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
        },
    )
    assert linux_processors(tmp_path, range(8)) == expected


def test_there_is_always_one(tmp_path: Path) -> None:
    assert linux_processors(tmp_path, set()) == 1


def test_this_machine() -> None:
    assert 1 <= usable_processors() <= (os.cpu_count() or 1)
