"""An experiment, read from a YAML file and checked: agents, an auction, a sweep of bids.

What the rest of the program works with: frozen, every default filled in, every name resolved. pydantic ends here: it
reads the file (`format`), and `plain` is what it makes of it. Knows no model and writes no file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ..lm.bytes.covering import Knobs
from ..lm.forms.constraint import Constraint
from ..mechanism.truncation import OFF, Truncation
from ..system.errors import ExperimentError, Problem
from .checks.constraint_checks import constraint_of
from .checks.expectation_checks import FigureNames
from .checks.queries import BID, NO_COLUMNS, VALUE, Columns
from .format.auction import SPACE, AuctionSection
from .format.judges import TextJudge
from .format.mechanisms import OF_TOKEN_AUCTION
from .format.runtime import Runtime
from .reader import Sections, read_experiment
from .resolved.agent import Agent as Agent  # also for those who take it from here
from .resolved.expectation import Expectation
from .resolved.market import Market
from .resolved.mechanism_choice import TOKEN_AUCTION, CellMechanism, MechanismChoice, TokenAuction, mechanisms_of
from .resolved.shard import Shard
from .resolved.sweep import SweepPoint, bidding, seeds_of, sweep_points, total_bid_of
from .resolved.text_audit import TextAudit
from .rows.query_files import QUERIES, as_csv, digest_of

NO_EFFECT_ON_RECORDS = ("name", "runtime", "expect", "audit", "judges", "trust", "market")


@dataclass(frozen=True)
class Auction:
    """The mechanisms and the token auction's rules by name, and when a text ends.

    `aggregation` and `payments` are empty where the token auction is not one of the mechanisms. `charge` names the
    payment that budgets pay, if any. `max_draws` counts tokens, or bytes where bytes or words are drawn. `covering` is
    0, 0 where there is nothing to cover.
    """

    mechanisms: tuple[MechanismChoice, ...]
    aggregation: tuple[str, ...]
    payments: tuple[str, ...]
    sampling: str
    alphabet: str
    max_draws: int
    covering: Knobs
    separator: str  # of the tokens of tables
    stop: tuple[str, ...]
    constraint: Constraint | None  # the form of texts
    charge: str | None
    reserve: float
    trace: str

    @property
    def by_name(self) -> dict[str, CellMechanism]:
        """Whatever writes texts, by name: aggregation rules in the place of the token auction, and other mechanisms."""
        auctions = [TokenAuction(rule) for rule in self.aggregation]
        several = [auctions if one.name == TOKEN_AUCTION else [one] for one in self.mechanisms]
        return {one.name: one for some in several for one in some}

    @property
    def rules(self) -> tuple[str, ...]:
        """The names of whatever writes texts."""
        return tuple(self.by_name)

    @property
    def others(self) -> dict[str, MechanismChoice]:
        """The mechanisms beside the token auction, by name."""
        return {one.name: one for one in self.mechanisms if one.name != TOKEN_AUCTION}

    @property
    def symbol(self) -> str:
        """What is drawn, as messages and tables call one: token, byte or word."""
        return self.alphabet.removesuffix("s")

    @property
    def shown(self) -> str:
        """What a text is looked at by: token or word."""
        return "token" if self.alphabet == "tokens" else "word"

    @property
    def counted(self) -> str:
        """What the length of a text is counted in while it is written: tokens, or bytes, of which words are made."""
        return "tokens" if self.alphabet == "tokens" else "bytes"

    @property
    def limit(self) -> str:
        """The key that says how long a text may be."""
        return f"max_{self.counted}"

    @classmethod
    def of(cls, auction: AuctionSection) -> Auction:
        """From a section whose defaults are filled in."""
        covering = auction.covering
        return cls(
            mechanisms=mechanisms_of(auction),
            aggregation=auction.aggregation,
            payments=auction.payments,
            sampling=str(auction.sampling),
            alphabet=auction.alphabet or "tokens",
            max_draws=auction.max_bytes or auction.max_tokens or 0,
            covering=Knobs(0.0, 0.0) if covering is None else Knobs(covering.open, covering.merge),
            separator=SPACE if auction.separator is None else auction.separator,
            stop=auction.stop,
            constraint=constraint_of(auction.constraint),
            charge=auction.charge,
            reserve=auction.reserve or 0.0,
            trace=auction.trace,
        )


@dataclass(frozen=True, eq=False)
class Experiment:
    """A checked experiment. `plain` is the file with defaults and overrides filled in: again a valid file.

    Relative paths of models start at the folder of `path`. Rules of a user's own are modules in the folder `modules`.
    """

    name: str
    seed: int
    queries: tuple[str, ...]
    agents: tuple[Agent, ...]
    reference: Agent | None  # it scores texts; not one of the agents
    auction: Auction
    swept_agent: int  # the index of the agent whose relative weight is reported
    total_bid: float  # what the bids of a sweep of relative weight sum to
    runtime: Runtime  # "auto" is resolved where the machine is known
    expect: tuple[Expectation, ...]
    text_audit: TextAudit  # with every default where the file has no audit: see `audits_texts`
    market: Market | None  # None where the file has none
    judges: Mapping[str, TextJudge]  # by the name of their column
    blends: bool
    trust: tuple[str, ...]
    path: Path
    modules: Path
    source: bytes
    rows: tuple[
        tuple[str, Columns], ...
    ]  # the query of each row, and what it has beside; a query for each of its times
    columns: Mapping[str, Columns]  # what queries have beside their text, of those that have something
    points: tuple[SweepPoint, ...]  # the bids to try, in the order of the file, by the agents' own bids
    points_of_queries: Mapping[str, tuple[SweepPoint, ...]]  # of queries with bids of their own
    seeds: tuple[int, ...]  # of the cells of every point
    plain: Mapping[str, Any]
    shard: Shard | None = None  # the part of the texts that is meant; None: all

    @classmethod
    def of(cls, sections: Sections, path: Path, source: bytes) -> Experiment:
        """From sections that were checked against each other."""
        agents = tuple(map(Agent.of, sections.agents))
        swept = next(i for i, agent in enumerate(agents) if agent.id == sections.sweep.agent)
        total_bid = total_bid_of(agents, sections.sweep)
        return cls(
            name=sections.name,
            seed=sections.seed,
            queries=sections.queries,
            agents=agents,
            reference=None if sections.reference is None else Agent.of_reference(sections.reference),
            auction=Auction.of(sections.auction),
            swept_agent=swept,
            total_bid=total_bid,
            runtime=sections.runtime,
            expect=tuple(map(Expectation.of, sections.expect, sections.expect_places)),
            text_audit=TextAudit.of(sections.text_audit, agents, swept, total_bid),
            market=None if sections.market is None else Market.of(sections.market, agents),
            judges=sections.judges,
            blends=sections.blends,
            trust=sections.trust,
            path=path,
            modules=path.absolute().parent,
            source=source,
            rows=sections.rows,
            columns=sections.columns,
            points=tuple(sweep_points(agents, sections.sweep, swept)),
            points_of_queries={
                query: tuple(sweep_points(bidding(agents, columns.bids), sections.sweep, swept))
                for query, columns in sections.columns.items()
                if columns.bids
            },
            seeds=seeds_of(sections.sweep),
            plain=_plain(sections),
        )

    def points_of(self, query: str) -> tuple[SweepPoint, ...]:
        """The bids to try for a query: as many points for each, with one relative weight where that is swept."""
        return self.points_of_queries.get(query, self.points)

    def columns_of(self, query: str) -> Mapping[str, str]:
        """What prompts know of a query beside its text, by name."""
        return self.columns.get(query, NO_COLUMNS).values

    def numbers_of(self, column: str) -> tuple[float, ...]:
        """The numbers in a column, by query; of `value.ID` those of an agent. Which columns hold numbers is checked."""
        if column.startswith(VALUE):
            agent = column.removeprefix(VALUE)
            return tuple(self.columns[query].worths[agent] for query in self.queries)
        return tuple(float(self.columns_of(query)[column]) for query in self.queries)

    @cached_property
    def query_table(self) -> bytes | None:
        """The file that carries the rows of a large file of queries; None where `plain` has them."""
        if not isinstance(self.plain["queries"], dict):
            return None
        return as_csv([_plain_row(query, columns) for query, columns in self.rows])

    @property
    def audits_texts(self) -> bool:
        """Whether the file itself asks for an audit of whole texts."""
        return "audit" in self.plain

    @cached_property
    def temperatures(self) -> tuple[float, ...]:
        """What the auction divides logits by, by agent: over bytes 1, for theirs are applied before."""
        return self.temperatures_of(self.agents)

    def temperatures_of(self, voices: Sequence[Agent]) -> tuple[float, ...]:
        """The same of whoever speaks."""
        return tuple(voice.temperature if self.auction.alphabet == "tokens" else 1.0 for voice in voices)

    def truncations_of(self, voices: Sequence[Agent]) -> tuple[Truncation, ...]:
        """What is left of the distributions of whoever speaks; () where that is everything."""
        truncations = tuple(voice.truncation for voice in voices)
        return truncations if any(one != OFF for one in truncations) else ()

    @cached_property
    def semantic_hash(self) -> str:
        """8 hex digits that change exactly when a record could: of what cannot, `NO_EFFECT_ON_RECORDS` and values."""
        semantic = {key: value for key, value in self.plain.items() if key not in NO_EFFECT_ON_RECORDS}
        if isinstance(semantic["queries"], list):
            semantic["queries"] = list(map(_without_values, semantic["queries"]))
        canonical = json.dumps(semantic, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:8]


def load_experiment(
    path: Path, overrides: Sequence[str] = (), trust: Sequence[str] = (), figures: FigureNames | None = None
) -> Experiment:
    """Read an experiment file; `overrides` are `key.path=value` strings as given to -S, `trust` the modules of --trust.

    `figures` are those that `expect` may name; who looks at no expectation need not know them. Raises ExperimentError
    with every mistake of the file and the overrides at once.
    """
    source = read_file(path)
    return Experiment.of(read_experiment(source, str(path), overrides, trust, figures), path, source)


def read_file(path: Path) -> bytes:
    """What stands in an experiment file; raises ExperimentError where it cannot be read."""
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else getattr(error, "strerror", error)
        raise ExperimentError([Problem(str(path), 0, 0, f"the experiment file cannot be read: {reason}")]) from None


def _plain(sections: Sections) -> dict[str, Any]:
    """As YAML would give it, aliases resolved and Nones left out.

    `reference`, `audit` and `market` only where they are given.
    """
    reference, audit, market = sections.reference, sections.text_audit, sections.market
    return {
        "name": sections.name,
        "seed": sections.seed,
        "queries": _plain_queries(sections),
        "agents": [_plain_section(agent) for agent in sections.agents],
        **({} if reference is None else {"reference": _plain_section(reference)}),
        "auction": _plain_auction(sections.auction),
        "sweep": _plain_section(sections.sweep),
        "runtime": _plain_section(sections.runtime),
        "expect": [_plain_section(one) for one in sections.expect],
        **({"audit": {"texts": _plain_section(audit)}} if sections.audits_texts else {}),
        **({} if market is None else {"market": _plain_section(market)}),
        **({"judges": {k: _plain_section(one) for k, one in sections.judges.items()}} if sections.judges else {}),
        "blends": sections.blends,
        "trust": list(sections.trust),
    }


def _plain_queries(sections: Sections) -> list[str | dict[str, Any]] | dict[str, str]:
    """The rows, each the text alone or with its columns; of many, the file of a run folder and their digest."""
    if sections.has_large_table:
        rows = (_plain_row(query, columns) for query, columns in sections.rows)
        return {"file": QUERIES, "sha256": digest_of(rows)}
    return [_plain_row(query, columns) if any(columns) else query for query, columns in sections.rows]


def _plain_row(query: str, columns: Columns) -> dict[str, Any]:
    values, *numbers = columns
    of_agents = zip((BID, VALUE), numbers, strict=True)
    return {
        "query": query,
        **values,
        **{f"{prefix}{agent}": number for prefix, by_agent in of_agents for agent, number in by_agent.items()},
    }


def _without_values(query: str | dict[str, Any]) -> str | dict[str, Any]:
    """A query as plain data without what it is worth in a market."""
    if isinstance(query, str) or not any(key.startswith(VALUE) for key in query):
        return query
    kept = {key: value for key, value in query.items() if not key.startswith(VALUE)}
    return kept if len(kept) > 1 else str(kept["query"])


def _plain_auction(auction: AuctionSection) -> dict[str, Any]:
    """Without keys of the token auction, even empty ones, where it is not one of the mechanisms."""
    left_out = () if auction.auctions_tokens else OF_TOKEN_AUCTION
    return {key: value for key, value in _plain_section(auction).items() if key not in left_out}


def _plain_section(section: BaseModel) -> dict[str, Any]:
    plain: dict[str, Any] = section.model_dump(mode="json", by_alias=True, exclude_none=True)
    return plain
