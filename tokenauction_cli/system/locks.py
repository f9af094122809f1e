"""A lock on a file or folder, which ends with its process. Windows has none of this kind."""

from __future__ import annotations

from .errors import UsageError

try:
    import fcntl
except ModuleNotFoundError:
    raise UsageError(
        "tokauction runs on Linux and macOS: this Python has no `fcntl`, with which a run locks its folder; on Windows "
        "install it inside WSL (`wsl --install`), as on Linux"
    ) from None


def lock(descriptor: int) -> None:
    """Take the lock. Raises BlockingIOError where another process has it, OSError where there are no locks."""
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
