"""`log.txt` of a run folder: what a maintainer needs from a report of a fault.

The environment and the plan at the start of every session, how far it was now and then, llama.cpp's warnings, and how
it ended, with the traceback where that was an error. A log is read on terminals and sent to strangers: control
characters are spelled out, and what looks like a token is blotted out. It never stops a run: a full disk cuts it short.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper

from ..system.environment import visible, without_secrets
from ..system.errors import StoreError
from .run_folder import RunFolder

logger = logging.getLogger("tokauction")


class _SafeFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return visible(without_secrets(super().format(record)))


class _QuietHandler(logging.FileHandler):
    def _open(self) -> TextIOWrapper:
        """Without waiting, and through no link: the folder may be a stranger's."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
        return open(os.open(self.baseFilename, flags, 0o666), "a", encoding=self.encoding, errors=self.errors)

    def handleError(self, record: logging.LogRecord) -> None:
        """Nothing: the run meets the full disk itself, and says so."""


@contextmanager
def logging_to(folder: RunFolder) -> Iterator[None]:
    """Keep what the run and llama.cpp report, and how the run ends."""
    try:
        handler = _QuietHandler(folder.path / "log.txt", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise StoreError(
            f"{folder.path / 'log.txt'}: {error.strerror}; check the folder", file=folder.path / "log.txt"
        ) from error
    handler.setFormatter(_SafeFormatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    except KeyboardInterrupt:
        logger.info("interrupted")
        raise
    except BaseException:
        logger.exception("the run ends with an error")
        raise
    else:
        logger.info("finished")
    finally:
        logger.removeHandler(handler)
        with suppress(OSError):  # what is still in its buffer may not fit
            handler.close()
