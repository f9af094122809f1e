"""Who writes the texts of an experiment, as `auction.mechanism` says; `mechanism/alternatives` has what they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, TypeAlias

from ...mechanism import registry
from ..format.auction import TOKEN_AUCTION as TOKEN_AUCTION  # also for those who take it from here
from ..format.auction import AuctionSection
from ..format.draft import Draft
from ..format.mechanisms import SETTINGS, SegmentSection, TextPoolSection
from ..format.values import Section

DEFAULT_SEGMENTS = 3


@dataclass(frozen=True)
class TokenAuction:
    """The token auction by one aggregation rule, whose name stands for it in records and tables."""

    name: str
    identity: ClassVar[str] = ""


@dataclass(frozen=True)
class Candidate:
    """What writes candidates of other mechanisms: a token auction by their generator, in which nobody pays."""

    name: str
    identity: ClassVar[str] = "proposals"


@dataclass(frozen=True)
class MechanismChoice:
    """One mechanism: `registry.find("mechanism", name, settings)` makes it.

    `candidates` are those per query and seed, None for every text once; `generator` is the aggregation rule that writes
    them at equal weights. They are 0 and "" where no candidates are written, and defaults for a mechanism from
    outside, of which that is not known before it is loaded.
    """

    name: str
    settings: Mapping[str, Any] = field(hash=False)
    candidates: int | None
    generator: str

    @cached_property
    def identity(self) -> str:
        """What tells it from the same mechanism with other settings, as canonical JSON."""
        parts = [self.name, self.settings, self.candidates, self.generator]
        return json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"))

    @classmethod
    def of(cls, name: str, section: Section | None) -> MechanismChoice:
        """From a section whose defaults are filled in, None where the mechanism has none."""
        if not registry.is_built_in("mechanism", name):
            section = TextPoolSection()
        settings = {} if section is None else dict(section)
        candidates, generator = settings.pop("candidates", 0), settings.pop("generator", "")
        return cls(name, settings, None if candidates == "all" else candidates, generator)


CellMechanism: TypeAlias = TokenAuction | Candidate | MechanismChoice
"""What writes a cell. `identity` is what its digest says of it beside the name: '' in the token auction."""


def mechanisms_of(auction: AuctionSection) -> tuple[MechanismChoice, ...]:
    """Those of a section, with the defaults of their settings."""
    return tuple(MechanismChoice.of(name, _settings(auction, name)) for name in auction.mechanisms)


def resolved_mechanisms(draft: Draft, auction: AuctionSection) -> dict[str, Any]:
    """The mechanisms and their settings with defaults filled in and agents named by id.

    What changes no text and no payment is left out: settings of mechanisms that are not listed, and rules of the token
    auction where that is not.
    """
    listed = auction.mechanisms
    filled: dict[str, Any] = {name: _settings(auction, name) if name in listed else None for name in SETTINGS}
    segment = filled["segment"]
    if segment is not None and segment.relevance is not None:
        filled["segment"] = segment.model_copy(update={"relevance": draft.by_id(segment.relevance)})
    if not auction.auctions_tokens:
        filled |= {"aggregation": (), "payments": ()}
    return filled | {"mechanism": None if listed == (TOKEN_AUCTION,) else listed}


def _settings(auction: AuctionSection, name: str) -> Section | None:
    """With defaults, also of a mechanism that is not listed; None where it has no settings."""
    if name not in SETTINGS:
        return None
    section: Section = getattr(auction, name) or SETTINGS[name]()
    if isinstance(section, SegmentSection) and section.segments is None:
        return section.model_copy(update={"segments": 1 if section.unit == "text" else DEFAULT_SEGMENTS})
    return section
