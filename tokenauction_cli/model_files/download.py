"""Fetching one file from the hub into the hub's cache: with patience that ends, and going on where it was left.

huggingface_hub throws away what an interrupted download received, waits as long as a server tells it to, and reads as
much as a server sends. So it is asked for the address, and this module does the rest. It writes what huggingface_hub's
cache is made of: blobs/<etag>, snapshots/<commit>/<name> that points to it, refs/<revision>.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from ..system.locks import lock

if TYPE_CHECKING:
    from huggingface_hub import HfFileMetadata

LIBRARY = "tokauction"
TIMEOUT_SECONDS = 10.0  # to connect, and for every byte
TRIES = 3
WAITING_SECONDS = 60.0  # between tries, in all
_PAUSE_SECONDS = 1.0
_WORTH_ANOTHER_TRY = (408, 429, 500, 502, 503, 504)
_NAME = re.compile(r"\w[\w.-]*", re.ASCII)  # of a version, which becomes that of a file

Answer = TypeVar("Answer")


class NotAsListedError(Exception):
    """The hub sends something else than what it said."""


class TooLongError(Exception):
    """The hub asks for more patience than there is."""


class Patience:
    """Tries a request again where that may help: until `TRIES` in a row received nothing, and for a minute at most."""

    def __init__(self) -> None:
        self._waited = 0.0

    def tried(self, ask: Callable[[], Answer], received: Callable[[], int] = lambda: 0) -> Answer:
        """The answer; bytes that were `received` in between begin the tries anew."""
        failures, before = 0, received()
        while True:
            try:
                return ask()
            except Exception as error:
                failures = 1 if received() > before else failures + 1
                before = received()
                if failures >= TRIES or not _may_pass(error):
                    raise
                self._wait(error, failures)

    def _wait(self, error: Exception, failures: int) -> None:
        seconds = _asked_for(error) or _PAUSE_SECONDS * failures
        if self._waited + seconds > WAITING_SECONDS:
            raise TooLongError(f"the hub asks to wait for {seconds:.0f} seconds: try again later") from error
        self._waited += seconds
        time.sleep(seconds)


def _may_pass(error: Exception) -> bool:
    """Whether it is trouble of the network or of a busy server, whatever HTTP library huggingface_hub has."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status in _WORTH_ANOTHER_TRY or any(kind.__name__ == "TransportError" for kind in type(error).__mro__)


def _asked_for(error: Exception) -> float | None:
    """The seconds that a busy server asks to wait for."""
    text = getattr(getattr(error, "response", None), "headers", {}).get("retry-after", "")
    return float(text) if re.fullmatch(r"\d{1,9}", text) else None


def download(repository: str, name: str, revision: str | None, size: int | None, kind: str = "model") -> Path:
    """The file in the cache, of a repository of this kind: model or dataset.

    Raises NotAsListedError where the hub offers another size than this.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    patience = Patience()
    url = hf_hub_url(repository, name, revision=revision, repo_type=kind)
    found = patience.tried(lambda: get_hf_file_metadata(url, timeout=TIMEOUT_SECONDS, library_name=LIBRARY))
    if not (_NAME.fullmatch(found.etag or "") and _NAME.fullmatch(found.commit_hash or "")):
        raise NotAsListedError("the hub does not say which version of the file it has")
    assert found.etag is not None
    assert found.commit_hash is not None
    size = _the_same(found.size, size)
    folder = _folder(repository, kind)
    blob = folder / "blobs" / found.etag
    if not blob.exists():
        blob.parent.mkdir(parents=True, exist_ok=True)
        _Download(url, found, blob, size).finish(patience)
    return _linked(folder, blob, found.commit_hash, name, revision or "main")


def _the_same(offered: int | None, listed: int | None) -> int | None:
    if None not in (offered, listed) and offered != listed:
        raise NotAsListedError(f"the hub lists {listed} bytes, and would send {offered}")
    return listed if offered is None else offered


def _folder(repository: str, kind: str) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"{kind}s--{repository.replace('/', '--')}"


class _Download:
    """One file on its way. What has been received is kept beside it, and the next download begins behind it."""

    def __init__(self, url: str, found: HfFileMetadata, blob: Path, size: int | None) -> None:
        self._client: Any = import_module("huggingface_hub.utils")
        self._url = found.location or url
        is_hub = self._url.partition("://")[2].partition("/")[0] == url.partition("://")[2].partition("/")[0]
        self._headers = self._client.build_hf_headers(library_name=LIBRARY, token=None if is_hub else False)
        self._blob, self._size = blob, size
        self._part = blob.with_name(f"{blob.name}.tokauction.incomplete")

    def finish(self, patience: Patience) -> None:
        patience.tried(self._receive, self._received)
        if self._size is not None and self._received() != self._size:
            raise NotAsListedError(f"the hub lists {self._size} bytes, and sent {self._received()}")
        self._part.replace(self._blob)

    def _received(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def _receive(self) -> None:
        begun = self._received()
        if begun == self._size:
            return
        headers = {**self._headers, "Accept-Encoding": "identity", **({"Range": f"bytes={begun}-"} if begun else {})}
        options = {"headers": headers, "timeout": TIMEOUT_SECONDS, "follow_redirects": True}
        with self._client.get_session().stream("GET", self._url, **options) as response:
            self._client.hf_raise_for_status(response)
            if response.status_code != 206:
                begun = 0
            length = response.headers.get("content-length", "")
            _the_same(begun + int(length) if length.isdigit() else None, self._size)
            self._store(response.iter_bytes(), begun)

    def _store(self, chunks: Any, begun: int) -> None:
        bar = self._client.tqdm(total=self._size, initial=begun, unit="B", unit_scale=True, disable=None)
        with self._part.open("ab") as file, bar:
            _claim(file)
            file.truncate(begun)
            for chunk in chunks:
                begun += len(chunk)
                if self._size is not None and begun > self._size:
                    raise NotAsListedError(f"the hub lists {self._size} bytes, and sends more")
                file.write(chunk)
                bar.update(len(chunk))


def _claim(file: BinaryIO) -> None:
    """Raise TooLongError where another process receives the same file; a file system without locks is no error."""
    try:
        lock(file.fileno())
    except BlockingIOError:
        raise TooLongError("another process downloads this file: wait for it") from None
    except OSError:
        return


def _linked(folder: Path, blob: Path, commit: str, name: str, revision: str) -> Path:
    """Where the cache has the file by its name, and the commit that a revision means."""
    pointer = _inside(folder / "snapshots" / commit, name)
    pointer.parent.mkdir(parents=True, exist_ok=True)
    if not pointer.exists():
        pointer.unlink(missing_ok=True)  # one that points to nothing
        pointer.symlink_to(os.path.relpath(blob, pointer.parent))
    if revision != commit:
        reference = _inside(folder / "refs", revision)
        reference.parent.mkdir(parents=True, exist_ok=True)
        reference.write_text(commit, "utf-8")
    return pointer


def _inside(folder: Path, name: str) -> Path:
    """A path below a folder; a name that leads out of it is refused."""
    path = Path(os.path.normpath(folder / name))
    if not path.is_relative_to(folder) or path == folder:
        raise NotAsListedError(f"{name!r} is no name of a file")
    return path
