"""A model hub on 127.0.0.1: the few endpoints that huggingface_hub asks, from dictionaries. No xet, no redirects.

GET       /api/models/<user>/<repo>[/revision/<revision>]           the files with their sizes and LFS sha256
HEAD, GET [/datasets]/<user>/<repo>/resolve/<revision>/<file>      the file, its commit and its etag
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import unquote, urlsplit

TOKEN = "hf_" + "secret" * 4
_API = re.compile(r"/api/models/(?P<repository>[^/]+/[^/]+)(?:/revision/(?P<revision>.+))?")
_RESOLVE = re.compile(r"/(?P<repository>(?:datasets/)?[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")


def gguf(text: str = "") -> bytes:
    """The bytes of a file that begins like a GGUF file, version 3, without tensors."""
    return b"GGUF" + (3).to_bytes(4, "little") + bytes(16) + text.encode()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Repository:
    """Files per commit; `stated_sha256` replaces the true one, to play a damaged download."""

    commits: dict[str, dict[str, bytes]]
    refs: dict[str, str]
    gated: bool = False
    stated_sha256: dict[str, str] = field(default_factory=dict)

    def sha256_of(self, name: str, data: bytes) -> str:
        return self.stated_sha256.get(name, sha256(data))


def repository(files: dict[str, bytes], **options: bool | dict[str, str]) -> Repository:
    """A repository of one commit, which is main."""
    commit = hashlib.sha1(repr(sorted(files)).encode()).hexdigest()
    return Repository({commit: files}, {"main": commit}, **options)  # type: ignore[arg-type]


class HubServer:
    """Serves `repositories` while in its context; `requests` lists (method, path, authorization)."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[tuple[str, str, str | None]] = []
        self.status: int | None = None  # answer everything with this status
        self.delay_seconds = 0.0
        self.retry_after: str | None = None  # beside the status
        self.is_silent = threading.Event()  # while it is set, nothing is answered
        self.sent_at_most: int | None = None  # bytes of a file, then the connection is cut
        self.said_sizes: dict[str, int] = {}  # of every file, by method
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> HubServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer

    def handle(self) -> None:
        """A client may leave in the middle of a download."""
        with suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path, self.headers.get("authorization")))
        time.sleep(self.hub.delay_seconds)
        while self.hub.is_silent.is_set():
            time.sleep(0.02)
        if self.hub.status is not None:
            self._refuse(self.hub.status, "")
        elif match := _API.fullmatch(path):
            self._describe(match["repository"], match["revision"] or "main")
        elif match := _RESOLVE.fullmatch(path):
            self._serve(match["repository"], match["revision"], match["file"])
        else:
            self._refuse(404, "")

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""

    def _find(self, name: str, revision: str) -> tuple[Repository, str] | None:
        found = self.hub.repositories.get(name)
        if found is None:
            self._refuse(404, "RepoNotFound")
            return None
        commit = found.refs.get(revision, revision)
        if commit not in found.commits:
            self._refuse(404, "RevisionNotFound")
            return None
        return found, commit

    def _describe(self, name: str, revision: str) -> None:
        if (found := self._find(name, revision)) is None:
            return
        repo, commit = found
        siblings = [
            {
                "rfilename": file,
                "size": len(data),
                "blobId": "0" * 40,
                "lfs": {"size": len(data), "sha256": repo.sha256_of(file, data), "pointerSize": 130},
            }
            for file, data in repo.commits[commit].items()
        ]
        answer = {"id": name, "sha": commit, "private": False, "downloads": 0, "likes": 0, "tags": []}
        body = json.dumps({**answer, "siblings": siblings}).encode()
        self._answer(200, body, {"Content-Type": "application/json"})

    def _serve(self, name: str, revision: str, file: str) -> None:
        if (found := self._find(name, revision)) is None:
            return
        repo, commit = found
        if repo.gated:
            self._refuse(403, "GatedRepo")
        elif file not in repo.commits[commit]:
            self._refuse(404, "EntryNotFound")
        else:
            data = repo.commits[commit][file]
            headers = {
                "X-Repo-Commit": commit,
                "X-Linked-Size": str(self.hub.said_sizes.get(self.command, len(data))),
                "X-Linked-Etag": f'"{repo.sha256_of(file, data)}"',
                "ETag": f'"{repo.sha256_of(file, data)}"',
            }
            begin = int((self.headers.get("range") or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
            self._answer(206 if begin else 200, data[begin:], headers)

    def _refuse(self, status: int, code: str) -> None:
        asks = {"Retry-After": self.hub.retry_after} if self.hub.retry_after else {}
        self._answer(status, b"", {**asks, **({"X-Error-Code": code} if code else {})})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        is_file = "X-Linked-Size" in headers
        said = self.hub.said_sizes.get(self.command, len(body)) if is_file else len(body)
        self.send_header("Content-Length", str(said))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[: self.hub.sent_at_most] if is_file else body)
            self.close_connection = is_file
