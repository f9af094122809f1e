"""Opening what strangers name: regular files alone, and without waiting for anybody; and having the disk keep files.

A device or a FIFO may have no end, and the files of /proc and /sys are the system's own, with secrets in them.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_OF_THE_SYSTEM = tuple(map(Path, ("/proc", "/sys")))


def opened(path: Path, *, follow_links: bool = True) -> BinaryIO:
    """The file to read from. Raises OSError, whose `strerror` says in words where it is no regular file."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow_links else os.O_NOFOLLOW)
    _check(os.stat(path, follow_symlinks=follow_links), path)
    descriptor = os.open(path, flags)
    try:
        _check(os.fstat(descriptor), path)
        return open(descriptor, "rb")
    except OSError:
        os.close(descriptor)
        raise


def synced(path: Path) -> None:
    """Wait until the disk has a file, or the names in a folder: a file whose name is lost in a power cut is lost."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check(status: os.stat_result, path: Path) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise OSError(errno.EINVAL, "this is a link, and no link is followed out of a run folder")
    if not stat.S_ISREG(status.st_mode) or any(root in path.resolve().parents for root in _OF_THE_SYSTEM):
        raise OSError(errno.EINVAL, "this is no regular file")
