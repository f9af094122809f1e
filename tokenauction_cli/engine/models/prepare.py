"""Which bidder models an experiment needs, got ready."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from ...experiment.experiment import Experiment
from ...runs.manifest import Formats
from ...system.errors import ModelError
from ..loop.reporting import Reporting, honest
from .backend_bidders import BackendBidders, added_models
from .bidder_models import BidderModels, GgufBidders, TableBidders
from .byte_bidders import ByteBidders

logger = logging.getLogger("tokauction")

RPC_WARNING = (
    "runtime.rpc: prompts and layers travel unencrypted, and whoever reaches a server's port can use it: trusted "
    "networks only"
)


def prepare(
    experiment: Experiment,
    reportings: Sequence[Reporting] = (),
    *,
    probe: bool = False,
    kept: Formats | None = None,
    tell: Callable[[str], None] = logger.info,
) -> BidderModels:
    """What speaks for the agents of an experiment; raises ModelError and UsageError before any weights are loaded.

    `probe` has child processes evaluate first with every file that this machine has not seen with these settings: one
    that makes llama.cpp abort is then an error like any other. `kept` are the formats that a run began with.
    Without `reportings` every agent is honest.
    """
    bidders = _bidders(experiment, reportings or (honest(experiment),), kept)
    if bidders.files is not None and bidders.files.hardware.rpc:
        tell(RPC_WARNING)
    if probe and bidders.files is not None:
        bidders.files.probe(tell)
    return bidders


def _bidders(experiment: Experiment, reportings: Sequence[Reporting], kept: Formats | None) -> BidderModels:
    if added := added_models(experiment):
        if experiment.auction.alphabet != "tokens":
            raise ModelError(
                f"{experiment.path}: {next(iter(added))} is the model of a package, and speaks over tokens alone"
            )
        return BackendBidders(experiment, reportings)
    if experiment.auction.alphabet != "tokens":
        return ByteBidders(experiment, reportings, kept)
    if any(agent.distributions is not None for agent in experiment.agents):
        return TableBidders(experiment, reportings)
    return GgufBidders(experiment, reportings, kept)
