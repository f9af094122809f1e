"""The model hub: which GGUF files a repository has, and fetching one, in terms of huggingface_hub.

Everything the hub client raises becomes a ModelError that says what to do next. A token never gets into a message.
The environment is huggingface_hub's own: HF_HOME, HF_HUB_OFFLINE, HF_TOKEN, HF_ENDPOINT. It does not know aliases or
quantisations.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..system.environment import TOKEN_VARIABLES, shortened, without_secrets
from ..system.errors import ModelError
from .download import LIBRARY, TIMEOUT_SECONDS, NotAsListedError, Patience, TooLongError, download

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

_CANNOT_STORE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class HubFile:
    """One file of a repository; sha256 is the hub's, None where it states none (files outside LFS)."""

    name: str
    sha256: str | None
    size: int | None


@dataclass(frozen=True)
class CachedFile:
    """One GGUF file in the hub's cache on this machine."""

    repository: str
    name: str
    commit: str
    refs: frozenset[str]
    path: Path
    size: int


def files_of(repository: str, revision: str | None) -> list[HubFile]:
    """The GGUF files that the hub has now."""
    from huggingface_hub import HfApi

    def ask() -> list[RepoSibling]:
        api = HfApi(library_name=LIBRARY)
        info = api.model_info(repository, revision=revision, files_metadata=True, timeout=TIMEOUT_SECONDS)
        return info.siblings or []

    with hub_errors(_place(repository, revision)):
        found = Patience().tried(ask)
    files = (HubFile(file.rfilename, file.lfs.sha256 if file.lfs else None, file.size) for file in found)
    return [file for file in files if file.name.lower().endswith(".gguf")]


def fetch(repository: str, file: HubFile, revision: str | None) -> Path:
    """Download the file, unless the cache has this version; a progress bar on stderr where that is a terminal."""
    with hub_errors(f"{_place(repository, revision)}, {file.name}"):
        return download(repository, file.name, revision, file.size)


def fetch_table(repository: str, name: str, revision: str | None) -> Path:
    """Download a file of a data set, unless the cache has this version."""
    with hub_errors(f"{_place(f'datasets/{repository}', revision)}, {name}"):
        return download(repository, name, revision, None, "dataset")


def cached_table(repository: str, name: str, revision: str | None) -> Path | None:
    """The file of a data set in the cache, None where that has no such version."""
    from huggingface_hub import try_to_load_from_cache

    with hub_errors(_place(f"datasets/{repository}", revision)):
        found = try_to_load_from_cache(repository, name, revision=revision, repo_type="dataset")
    return Path(found) if isinstance(found, str) else None


def cached_files(repository: str | None = None) -> list[CachedFile]:
    """The GGUF files in the cache; of one repository, if it is named."""
    from huggingface_hub import CacheNotFound, constants, scan_cache_dir

    try:
        repositories = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except (CacheNotFound, ValueError):  # no cache yet, or a file in its place
        return []
    return sorted(
        (
            CachedFile(
                repo.repo_id,
                file.file_path.relative_to(revision.snapshot_path).as_posix(),
                revision.commit_hash,
                revision.refs,
                file.file_path,
                file.size_on_disk,
            )
            for repo in repositories
            if repo.repo_type == "model" and repository in (None, repo.repo_id)
            for revision in repo.revisions
            for file in revision.files
            if file.file_name.lower().endswith(".gguf")
        ),
        key=lambda file: (file.repository, file.name, file.commit),
    )


def stated_sha256(path: Path) -> str | None:
    """The hub's sha256 of a file in the cache: the cache names the blob behind an LFS file by it."""
    if not path.is_symlink():
        return None
    name = Path(os.readlink(path)).name
    return name if _SHA256.fullmatch(name) else None


def commit_of(path: Path) -> str:
    """The commit of a file in the cache, from its place snapshots/<commit>/<name>."""
    parts = path.parts
    return parts[len(parts) - parts[::-1].index("snapshots")] if "snapshots" in parts else ""


def forget(path: Path) -> None:
    """Remove a damaged file from the cache, so that the next time it is downloaded again."""
    blob = path.parent / os.readlink(path) if path.is_symlink() else None
    path.unlink(missing_ok=True)
    if blob is not None:
        blob.unlink(missing_ok=True)


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids the network."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


@contextmanager
def hub_errors(what: str) -> Iterator[None]:
    """Turn whatever the hub client raises into a ModelError. Wrap single calls of the client, nothing else.

    Its exceptions come from several HTTP libraries, depending on its version; their chain is cut because it may
    quote request headers.
    """
    try:
        yield
    except Exception as error:
        raise _in_words(what, error) from None


def _in_words(what: str, error: Exception) -> ModelError:
    from huggingface_hub import errors

    if isinstance(error, NotAsListedError):
        return ModelError(f"{what}: {error}: nothing was stored; try again later")
    if isinstance(error, TooLongError):
        return ModelError(f"{what}: {error}")
    if isinstance(error, UnicodeEncodeError) and (name := _strange_token()):
        return ModelError(f"{what}: the token in {name} has a character that no token has: copy it anew")
    if isinstance(error, errors.GatedRepoError):
        return ModelError(f"{what}: access is restricted: ask for it on the model's page, then set HF_TOKEN")
    if isinstance(error, errors.RevisionNotFoundError):
        return ModelError(f"{what}: there is no such revision: check the text behind @")
    if isinstance(error, errors.RepositoryNotFoundError):
        return ModelError(
            f"{what}: there is no such repository, or it is private: check its name, or set HF_TOKEN to a token that "
            "may read it"
        )
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return ModelError(f"{what}: the repository has no such file")
    if isinstance(error, errors.HfHubHTTPError):
        return _http_status(what, error.response.status_code)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return ModelError(f"{what}: HF_HUB_OFFLINE is set, and the file is not on this machine: unset it to download")
    if isinstance(error, errors.HFValidationError):
        return ModelError(f"{what}: this is not a repository's name: write hf:user/repo")
    if isinstance(error, errors.LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        return _in_words(what, error.__cause__)
    if isinstance(error, OSError) and error.errno in _CANNOT_STORE:
        return ModelError(f"{what}: the download cannot be stored: {error.strerror}: free some space, or set HF_HOME")
    return ModelError(f"{what}: the hub cannot be reached ({_reason(error)}): check the network, or HF_ENDPOINT")


def _http_status(what: str, status: int) -> ModelError:
    if status in (401, 403):
        return ModelError(f"{what}: the hub refuses access ({status}): set HF_TOKEN to a token that may read it")
    if status == 404:
        return ModelError(f"{what}: the hub has no such thing (404): check the reference, or HF_ENDPOINT")
    if status == 429:
        return ModelError(f"{what}: the hub has had too many requests (429): wait, or set HF_TOKEN")
    return ModelError(f"{what}: the hub fails ({status}): try again later")


def _reason(error: Exception) -> str:
    """The type and the first line of an error, with anything like a token blotted out."""
    first_line = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {shortened(without_secrets(first_line))}"


def _strange_token() -> str:
    """The variable whose token cannot be sent, '' where none is set so."""
    return next((name for name in TOKEN_VARIABLES if not os.environ.get(name, "").isascii()), "")


def _place(repository: str, revision: str | None) -> str:
    return f"hf:{repository}@{revision}" if revision else f"hf:{repository}"
