"""The basis of a run's records: everything that decides their bits but the cell itself, as one digest.

Runs with one basis write the same record of the same cell, up to `point` and `relative_weight`, which number and name
the cell in its own sweep. So a run may take over what another has finished. What is not known to leave records alone is
in the basis: an agent's new setting, say, is there without a change here.
"""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict
from typing import Any

from ..experiment.experiment import Agent, Auction, Experiment
from ..runs.manifest import Manifest
from ..system.environment import versions
from ..system.processors import processor_identity
from .models.bidder_models import BidderModels
from .models.gguf_files import GgufFiles

PACKAGES = ("jinja2", "llama-cpp-python", "numpy")
_OF_MANIFESTS = ("format", "records", "tokauction", "llama", "passes")  # what wrote the records
_ELSEWHERE = ("model", "adapters")  # of agents: they stand for themselves among the models
_READ_OFF_THE_TEXT = ("mentions",)  # of agents: counted in finished texts
_PART_OF_THE_CELL = ("aggregation", "mechanisms")  # of auctions


def basis_of(experiment: Experiment, bidders: BidderModels, known: Manifest) -> str | None:
    """The digest, given the manifest of the session that begins.

    None where no digest can tell: a batch may change bits, a server computes, or rules or models are code from outside.
    """
    is_remote = bidders.files is not None and bool(bidders.files.hardware.rpc)
    is_own = experiment.trust or known.get("packages")
    if is_own or is_remote or not bidders.is_batch_invariant:
        return None
    parts = {
        "program": {key: known.get(key) for key in _OF_MANIFESTS},
        "seed": experiment.seed,
        **(
            {"columns": _columns(experiment)}
            if any(some.values or some.bids for some in experiment.columns.values())
            else {}
        ),
        "agents": [_agent(agent) for agent in experiment.agents],
        "reference": experiment.reference and _agent(experiment.reference),
        "auction": _auction(experiment.auction),
        "swept": experiment.swept_agent,  # stable sampling draws by whose weight moves
        "models": _models(experiment, bidders.files) if bidders.files else None,
        "versions": versions(PACKAGES),
        "machine": [platform.machine(), *platform.libc_ver(), processor_identity()],
    }
    return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode("ascii")).hexdigest()


def _agent(agent: Agent) -> dict[str, Any]:
    """With its name, which its prompt may say."""
    return _without(asdict(agent), (*_READ_OFF_THE_TEXT, *_ELSEWHERE))


def _auction(auction: Auction) -> dict[str, Any]:
    """Without a form that it has not: runs of earlier versions have none."""
    return _without(asdict(auction), (*_PART_OF_THE_CELL, *(() if auction.constraint else ("constraint",))))


def _columns(experiment: Experiment) -> dict[str, dict[str, str]]:
    """What prompts know of queries beside their text; bids are part of the cell."""
    return {query: dict(columns.values) for query, columns in experiment.columns.items() if columns.values}


def _models(experiment: Experiment, files: GgufFiles) -> dict[str, Any]:
    """The digests of the file of each agent and of the reference, and how llama.cpp computes with it."""
    from ..lm.llama.gguf import cells_per_sequence
    from ..lm.llama.libraries import gpu_models

    reference = [] if experiment.reference is None else [experiment.reference]
    models = [files.of(agent) for agent in (*experiment.agents, *reference)]
    forms = [model and files.weights.of(model.path).form for model in models]
    return {
        "files": [model and model.digests for model in models],
        **({"weights": forms} if any(form not in (None, "file") for form in forms) else {}),
        "cells": [cells_per_sequence(files.longest[m.tuned]) for m in files.models],  # long contexts take other kernels
        "hardware": asdict(files.hardware),
        "gpus": gpu_models() if files.hardware.gpu_layers else [],
        "deterministic": experiment.runtime.deterministic,
    }


def _without(section: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key not in keys}
