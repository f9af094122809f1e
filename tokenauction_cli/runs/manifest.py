"""`manifest.json`: with what a run was made, how each session of it ended, and the digests of what it left.

Continuing checks that the models are the ones that began the run, and notes what else has changed since. It does not
know what records say.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

import yaml

from .. import __version__
from ..engine.bidder_models import ModelInUse, Speakers
from ..engine.plan import Plan
from ..errors import StoreError, TokauctionError
from ..experiment.experiment import Experiment
from ..system.processors import processor_name
from .run_folder import RunFolder

Manifest = dict[str, Any]
_OF_THE_ENVIRONMENT = ("tokauction", "device", "gpu_layers", "extra_buffers", "llama", "passes", "versions", "host")


def begin(folder: RunFolder, experiment: Experiment, speakers: Speakers, plan: Plan) -> tuple[Manifest, list[str]]:
    """The manifest of a new session, written, and what has changed since the last; raises where a model has."""
    old = folder.read_manifest()
    models = [_described(model) for model in speakers.models]
    _check_models(folder, old.get("models", models), models)
    if not old:
        folder.write("experiment.yaml", experiment.source)
        folder.write("resolved.yaml", yaml.safe_dump(experiment.resolved(), sort_keys=False, allow_unicode=True))
    manifest = {
        "format": 1,
        "status": "running",
        "tokauction": __version__,
        "experiment": str(experiment.path.absolute()),
        "models": models,
        **_hardware(speakers),
        "probes": _probes(speakers),
        "lanes": plan.lanes,
        "batch_invariant": speakers.is_batch_invariant,
        **environment(with_llama=bool(models)),
        "sessions": old.get("sessions", []),
        "files": old.get("files", {}),
    }
    folder.write_manifest(manifest)
    return manifest, changes(old, manifest) if old else []


def kv_cache_of(manifest: Manifest) -> str | None:
    """The format of keys and values that a run began with, and keeps; None before it has begun."""
    return str(manifest.get("kv_cache", "f16")) if manifest.get("models") else None


def new_session(changed: list[str]) -> dict[str, Any]:
    """One invocation's entry, to be filled in."""
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return {"started": now, "cells": 0, "tokens": 0, "evaluations": 0} | ({"changed": changed} if changed else {})


def add_digests(folder: RunFolder, manifest: Manifest, tables: Iterable[str]) -> None:
    """The sha256 of every file that is there to stay; one that is written once keeps the digest that it had first."""
    written_once = ["experiment.yaml", "resolved.yaml", *(path.name for path in folder.record_files())]
    files = manifest.setdefault("files", {})
    for name in written_once:
        if name not in files:
            files[name] = folder.sha256(name)
    files.update({name: folder.sha256(name) for name in tables})


def write_if_possible(folder: RunFolder, manifest: Manifest) -> None:
    """A full disk must not hide the error that is already on its way."""
    try:
        add_digests(folder, manifest, ())
        folder.write_manifest(manifest)
    except StoreError:
        if sys.exc_info()[0] is None:
            raise


def environment(*, with_llama: bool) -> dict[str, Any]:
    """The versions, builds and machine that numbers may depend on."""
    return {
        "llama": llama_build() if with_llama else None,
        "passes": passes_build(),
        "versions": versions(),
        "host": {
            "system": platform.platform(),
            "machine": platform.machine(),
            "name": platform.node(),
            "processor": processor_name(),
        },
    }


def versions(packages: Iterable[str] = ("llama-cpp-python", "numpy", "pandas", "pydantic")) -> dict[str, str]:
    """Python's version and those of the installed ones among these packages."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def llama_build() -> dict[str, Any]:
    """What llama.cpp says of its build, and the digests of its libraries: equal digests compute equally."""
    from ..lm import libraries

    return {"system_info": libraries.system_info(), "libraries": libraries.digests()}


def passes_build() -> str:
    """Who works out the passes over the tokens: the digest of the compiled library, or NumPy."""
    from ..mechanism.native import compiled
    from ..model_files.models import sha256_of

    return "NumPy" if compiled.library() is None else f"compiled, sha256 {sha256_of(compiled.LIBRARY)}"


def _described(model: ModelInUse) -> dict[str, Any]:
    files = zip(model.local.files, model.sha256s, strict=True)
    return {
        "reference": str(model.local.reference),
        "path": str(model.path),
        "size": model.local.size,
        "sha256": model.sha256,
        "architecture": model.metadata.architecture,
        "files": [{"path": str(file.path), "size": file.size, "sha256": sha256} for file, sha256 in files],
    }


def _hardware(speakers: Speakers) -> dict[str, Any]:
    hardware = speakers.hardware
    return {
        "device": None if hardware is None else ("gpu" if hardware.gpu_layers else "cpu"),
        "gpu_layers": None if hardware is None else hardware.gpu_layers,
        "threads": None if hardware is None else hardware.n_threads,
        "prompt_tokens_at_once": None if hardware is None else hardware.chunk,
        "kv_cache": None if hardware is None else hardware.kv_cache,
        "extra_buffers": None if hardware is None else hardware.uses_extra_buffers,
        "rpc": None if hardware is None else list(hardware.rpc),
    }


def _probes(speakers: Speakers) -> list[dict[str, Any]]:
    """What child processes found out about the models."""
    findings = {} if speakers.hardware is None else speakers.findings
    return [
        {"path": str(path), "bits": finding.in_words, "crashes": [crash.in_words for crash in finding.crashes]}
        for path, finding in findings.items()
    ]


def _check_models(folder: RunFolder, before: list[dict[str, Any]], models: list[dict[str, Any]]) -> None:
    for was, now in zip(before, models, strict=False):
        for old, new in zip(was.get("files", ()), now["files"], strict=False):
            if old["sha256"] != new["sha256"]:
                raise TokauctionError(
                    f"{new['path']}: this file is not the model that began the run in {folder.path} (sha256 "
                    f"{new['sha256'][:12]}... and not {old['sha256'][:12]}...): restore it, or start anew with --fresh"
                )


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between the environments of two sessions, in words."""
    before, after = (_flat({key: m[key] for key in _OF_THE_ENVIRONMENT if key in m}) for m in (old, new))
    return [f"{key} {before[key]} is now {after[key]}" for key in before if key in after and before[key] != after[key]]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        leaves |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return leaves
