"""What a manifest must be like, key by key: what is wrong with a stranger's, or a damaged one, is passed over."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote_to_bytes

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from .record_schema import Count, in_words

DECIDES = ("format", "records", "models", "kv_cache", "lanes", "batch_invariant", "shard", "basis")
"""Keys without which a run cannot be continued as it was begun."""

_URI = "file:///"


def kept_path(path: Path) -> str:
    """A path as text that comes back: itself, or a URI where it holds bytes that are not UTF-8."""
    text = str(path)
    try:
        text.encode()
    except UnicodeEncodeError:
        return path.absolute().as_uri()
    return text


def path_of(text: str) -> Path:
    """The path that was kept."""
    if not text.startswith(_URI):
        return Path(text)
    return Path(unquote_to_bytes(text.removeprefix("file://")).decode("utf-8", "surrogateescape"))


def _is_moment(text: str) -> str:
    datetime.fromisoformat(text)
    return text


PathText = Annotated[str, Field(min_length=1, max_length=10_000, pattern=r"^[^\x00]*$")]
Digest = Annotated[str, Field(max_length=200)]
Seconds = Annotated[float, Field(ge=0, lt=1e12)]


class _Section(BaseModel):
    """Keys that a later version adds are no mistakes."""

    model_config = ConfigDict(strict=True, extra="allow", protected_namespaces=())


class _File(_Section):
    path: PathText
    sha256: Digest
    size: Count | None = None


class _Adapter(_File):
    reference: str
    scale: float
    size: Count


class _Model(_File):
    reference: str
    architecture: str
    size: Count
    files: list[_File]
    adapters: list[_Adapter] = []
    weights: Literal["file", "bf16", "f16"] = "file"
    copy_sha256: Digest | None = None


class _Session(_Section):
    started: Annotated[str, AfterValidator(_is_moment)]
    cells: Count
    seconds: Seconds | None = None
    changed: list[str] = []
    taken_over: dict[str, Count] = {}


class _Manifest(_Section):
    format: int = 1
    records: Annotated[int, Field(ge=1, le=1_000)] = 1
    status: str = ""
    tokauction: str = ""
    experiment: PathText = "-"
    shard: str = ""
    models: list[_Model] = []
    device: str | None = None
    gpu_layers: int | str | None = None
    threads: int | str | None = None
    kv_cache: str | None = None
    lanes: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    batch_invariant: bool | None = None
    llama: dict[str, Any] | None = None
    passes: str = ""
    versions: dict[str, str] = {}
    host: dict[str, str] = {}
    packages: dict[str, Annotated[str, Field(pattern=r"\S")]] = {}
    sessions: list[_Session] = []
    files: dict[str, Digest] = {}
    basis: str | None = None


def wrong_keys(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The keys whose values are not as a run writes them, and what is wrong with each."""
    try:
        _Manifest.model_validate(dict(manifest))
    except ValidationError as error:
        found: dict[str, str] = {}
        for key in dict.fromkeys(str(one["loc"][0]) for one in error.errors(include_url=False)):
            found[key] = _why(manifest, key)
        return found
    return {}


def _why(manifest: Mapping[str, Any], key: str) -> str:
    try:
        _Manifest.model_validate({key: manifest[key]})
    except ValidationError as error:
        return in_words(error)
    return "it cannot be understood"
