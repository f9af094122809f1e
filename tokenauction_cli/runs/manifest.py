"""`manifest.json`: with what a run was made, how each session of it ended, and the digests of what it left.

Continuing checks that the models are the ones that began the run, and notes what else has changed since. It does not
know what records say.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from ..experiment.format.runtime import Runtime
from ..experiment.rows.query_files import QUERIES
from ..system.environment import versions
from ..system.errors import StoreError, UsageError
from ..system.processors import processor_name
from .manifest_schema import DECIDES, wrong_keys
from .run_folder import MANIFEST, PROPOSALS, RECORDS, RunFolder

Manifest = dict[str, Any]
Session = dict[str, Any]
FORMAT = 1
RECORDS_VERSION = 4
"""Raised where the same file and build give other records, so that a run is of one version and takes over no other.

At 2 for coupled sampling and for spaces in the texts of tables. At 3 for who takes part: a text that nobody's bid
counts for is unsold and no failure, a budget ends it where no bid is left that counts, and a lone bidder pays as
`mechanism/terms.py` says. At 4 for what the others of an agent would do alone, which compiled passes work out for all
agents in one pass: with three agents or more, last digits differ by less than 1e-12.
"""
_OF_THE_ENVIRONMENT = (
    "tokauction",
    "device",
    "gpu_layers",
    "extra_buffers",
    "llama",
    "passes",
    "versions",
    "packages",
    "host",
)


def readable(folder: RunFolder) -> Manifest:
    """The manifest of a run folder without the keys that are not as a run writes them, which `folder.wrong` notes.

    Raises StoreError where a later version of the program has written it.
    """
    manifest = folder.read_manifest()
    form = manifest.get("format", FORMAT)
    if isinstance(form, int) and form > FORMAT:
        raise StoreError(
            f"{folder.path}: a later version of tokauction has written this run; update to read it", file=folder.path
        )
    wrong = wrong_keys(manifest)
    if wrong:
        folder.wrong.keys |= wrong
        folder.wrong.add(MANIFEST, 0, "; ".join(wrong.values()))
    return {key: value for key, value in manifest.items() if key not in wrong}


def records_version(manifest: Manifest) -> int:
    """The version of the records of a run; one that has not begun takes this program's."""
    return int(manifest.get("records", 1)) if manifest else RECORDS_VERSION


def of_another_version(folder: RunFolder, manifest: Manifest) -> str:
    """What to say of records that this program would write otherwise; '' where it would not."""
    version = records_version(manifest)
    if version == RECORDS_VERSION:
        return ""
    return f"{folder.path}: another version of tokauction began this run (records {version}, now {RECORDS_VERSION})"


def check_continued(folder: RunFolder, manifest: Manifest) -> None:
    """Raises UsageError where this program would write other records than those that are there, or cannot know."""
    if wrong := [why for key, why in folder.wrong.keys.items() if key in DECIDES]:
        raise UsageError(
            f"{folder.path / MANIFEST}: {'; '.join(wrong)}: the run can be read, but not continued: restore the "
            "manifest, or start anew with --fresh"
        )
    if why := of_another_version(folder, manifest):
        raise UsageError(f"{why}; it can be read, but not continued: start anew with --fresh")


class Formats(NamedTuple):
    """In which formats a run computes: keys and values, and the weights of each model, by the sha256 of its file."""

    kv_cache: str
    weights: Mapping[str, str]


def formats_of(manifest: Manifest) -> Formats | None:
    """Those that a run began with, and keeps; None before it has begun."""
    models = manifest.get("models")
    if not models:
        return None
    return Formats(str(manifest.get("kv_cache", "f16")), {one["sha256"]: one.get("weights", "file") for one in models})


def unheeded(manifest: Manifest, runtime: Runtime) -> Iterator[str]:
    """What `runtime` asks of a run that began with other formats, in words."""
    kept = formats_of(manifest)
    if kept is None:
        return
    if runtime.kv_cache not in ("auto", kept.kv_cache):
        yield f"this run began with a KV cache in {kept.kv_cache}, and keeps it; --fresh begins anew"
    forms = sorted(set(kept.weights.values()))
    if runtime.weights != "auto" and forms != [runtime.weights]:
        words = " and ".join("as in the file" if form == "file" else f"in {form}" for form in forms)
        yield f"this run began with weights {words}: runtime.weights changes nothing; --fresh begins anew"


def new_session(changed: list[str]) -> Session:
    """One invocation's entry, to be filled in."""
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return {"started": now, "cells": 0, "tokens": 0, "evaluations": 0} | ({"changed": changed} if changed else {})


def add_digests(folder: RunFolder, manifest: Manifest, tables: Iterable[str]) -> None:
    """The sha256 of every file that is there to stay; one that is written once keeps the digest that it had first."""
    records = (path.name for kind in (RECORDS, PROPOSALS) for path in folder.of(kind).record_files())
    tables_of_queries = [QUERIES] if (folder.path / QUERIES).is_file() else []
    written_once = ["experiment.yaml", "resolved.yaml", *tables_of_queries, *records]
    files = manifest.setdefault("files", {})
    for name in written_once:
        if name not in files:
            files[name] = folder.sha256(name)
    files.update({name: folder.sha256(name) for name in tables})


def write_if_possible(folder: RunFolder, manifest: Manifest) -> None:
    """A full disk must not hide the error that is already on its way; where there is none, it is the error."""
    is_on_its_way = sys.exc_info()[0] is not None
    try:
        add_digests(folder, manifest, ())
        folder.write_manifest(manifest)
    except StoreError:
        if not is_on_its_way:
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


def llama_build() -> dict[str, Any]:
    """What llama.cpp says of its build, and the digests of its libraries: equal digests compute equally."""
    from ..lm.llama import libraries

    return {"system_info": libraries.system_info(), "libraries": libraries.digests()}


def passes_build() -> str:
    """Who works out the passes over the tokens: the digest of the compiled library, or NumPy."""
    from ..mechanism.native import compiled
    from ..model_files.models import sha256_of

    return "NumPy" if compiled.library() is None else f"compiled, sha256 {sha256_of(compiled.LIBRARY)}"


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between the environments of two sessions, in words."""
    before, after = (_flat({key: m[key] for key in _OF_THE_ENVIRONMENT if key in m}) for m in (old, new))
    return [f"{key} {before[key]} is now {after[key]}" for key in before if key in after and before[key] != after[key]]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        leaves |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return leaves
