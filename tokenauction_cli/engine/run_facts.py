"""What a manifest keeps of a run's models, hardware and batches; written when a session begins."""

from __future__ import annotations

from typing import Any

import yaml

from .. import __version__
from ..experiment.experiment import Experiment
from ..experiment.rows.query_files import QUERIES
from ..runs.manifest import FORMAT, RECORDS_VERSION, Manifest, changes, environment
from ..runs.manifest_schema import kept_path
from ..runs.run_folder import RunFolder
from ..system.errors import TokauctionError
from .basis import basis_of
from .models.backend_bidders import packages_of
from .models.bidder_models import BidderModels
from .models.gguf_files import GgufFiles
from .models.model_in_use import AdapterInUse, ModelInUse
from .plan import Plan


def begin_manifest(
    folder: RunFolder, old: Manifest, experiment: Experiment, bidders: BidderModels, plan: Plan
) -> tuple[Manifest, list[str]]:
    """The manifest of a new session, written, and what has changed since the `old` one; raises where a model has."""
    models = [_described(model, bidders.files) for model in bidders.files.models] if bidders.files else []
    packages = packages_of(experiment)
    _check_models(folder, old.get("models", models), models)
    if not old:
        folder.write("experiment.yaml", experiment.source)
        if experiment.query_table is not None:
            folder.write(QUERIES, experiment.query_table)
        folder.write("resolved.yaml", yaml.safe_dump(experiment.plain, sort_keys=False, allow_unicode=True))
    manifest = {
        "format": FORMAT,
        "records": RECORDS_VERSION,
        "status": "running",
        "tokauction": __version__,
        "experiment": kept_path(experiment.path.absolute()),
        **({"shard": str(experiment.shard)} if experiment.shard else {}),
        **({"packages": packages} if packages else {}),
        "models": models,
        **_hardware(bidders),
        "probes": _probes(bidders),
        "lanes": plan.slots,
        "batch_invariant": bidders.is_batch_invariant,
        **environment(with_llama=bool(models)),
        "sessions": old.get("sessions", []),
        "files": old.get("files", {}),
    }
    basis = basis_of(experiment, bidders, manifest)
    manifest["basis"] = basis if not old or old.get("basis") == basis else None  # records of two bases have none
    folder.write_manifest(manifest)
    return manifest, changes(old, manifest) if old else []


def _described(model: ModelInUse, used: GgufFiles) -> dict[str, Any]:
    copy = used.weights.made(model.path)
    files = zip(model.local.files, model.sha256s, strict=True)
    return {
        "reference": str(model.local.reference),
        "path": kept_path(model.path),
        "size": model.local.size,
        "sha256": model.sha256,
        "architecture": model.metadata.architecture,
        "files": [{"path": kept_path(file.path), "size": file.size, "sha256": sha256} for file, sha256 in files],
        **({"adapters": [_adapter(one) for one in model.adapters]} if model.adapters else {}),
        "weights": used.weights.of(model.path).form,
        **({} if copy is None else {"copy_sha256": copy.sha256}),
    }


def _adapter(adapter: AdapterInUse) -> dict[str, Any]:
    local = adapter.local
    file = {"path": kept_path(local.path), "size": local.size, "sha256": adapter.sha256}
    return {"reference": str(local.reference), "scale": adapter.scale, **file}


def _hardware(bidders: BidderModels) -> dict[str, Any]:
    hardware = bidders.files.hardware if bidders.files else None
    return {
        "device": None if hardware is None else ("gpu" if hardware.gpu_layers else "cpu"),
        "gpu_layers": None if hardware is None else hardware.gpu_layers,
        "threads": None if hardware is None else hardware.n_threads,
        "prompt_tokens_at_once": None if hardware is None else hardware.chunk,
        "kv_cache": None if hardware is None else hardware.kv_cache,
        "extra_buffers": None if hardware is None else hardware.uses_extra_buffers,
        "rpc": None if hardware is None else list(hardware.rpc),
        "split": None if hardware is None else hardware.split._asdict(),
    }


def _probes(bidders: BidderModels) -> list[dict[str, Any]]:
    """What child processes found out about the models."""
    findings = bidders.files.findings if bidders.files else {}
    return [
        {
            "path": kept_path(tuned.path),
            **({"adapters": [kept_path(one.path) for one in tuned.adapters]} if tuned.adapters else {}),
            "bits": finding.in_words,
            "crashes": [crash.in_words for crash in finding.crashes],
        }
        for tuned, finding in findings.items()
    ]


def _check_models(folder: RunFolder, before: list[dict[str, Any]], models: list[dict[str, Any]]) -> None:
    for was, now in zip(before, models, strict=False):
        olds, news = ([*one.get("files", ()), *one.get("adapters", ())] for one in (was, now))
        for old, new in zip(olds, news, strict=False):
            if old["sha256"] != new["sha256"]:
                raise TokauctionError(
                    f"{new['path']}: this file is not the model that began the run in {folder.path} (sha256 "
                    f"{new['sha256'][:12]}... and not {old['sha256'][:12]}...): restore it, or start anew with --fresh"
                )
