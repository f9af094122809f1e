"""What an experiment file may say: file format 1, with a module of this package for each section.

Each model is one mapping of the file; the descriptions are the documentation that editors show. What one value may be
is in `values.py`. Mistakes across sections: see `checks.py`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .agents import MAX_AGENTS, AgentSection, Reference
from .auction import AuctionSection
from .audit import AuditSection
from .expect import ExpectationSection
from .judges import TextJudge
from .market import MarketSection
from .queries import Queries
from .runtime import Runtime
from .sweep import Sweep
from .values import ExperimentName, FilledText, Flag, Id, Module, Section, Values, Whole

# The tags of unions stand in pydantic's locations of errors; they are no keys of the file.
UNION_TAGS = frozenset({"list", "steps", "number", "query text", "query row", "judge itself", "judge by name"})


class ExperimentFile(Section):
    """A token auction: agents with language models, an auction that mixes their tokens, a sweep of bids."""

    name: ExperimentName = Field(description="Names the folder of results: A-Z a-z 0-9 . _ - without a leading dot.")
    seed: Whole = Field(default=0, description="Seed of the experiment: another seed, other random numbers everywhere.")
    queries: Queries = Field(
        default=("",),
        description="What users ask: {{ query }} in prompts. Each query is a sweep of its own. Or a file of rows (CSV, "
        ".jsonl, .parquet; relative to this file) with a column query, or {file, sample, seed, by}: some of its rows.",
    )
    matrix: dict[FilledText, Values] | None = Field(
        default=None,
        description="Keys of this file, each with a list of values: every combination is a run of its own, at most "
        "200. A value is as it would stand at the key, or {value: ..., name: what tables call it}.",
    )
    models: dict[FilledText, FilledText] | None = Field(
        default=None,
        description="Short names for models: smollm2-135m-instruct, a path to a .gguf file or hf:user/repo:QUANT.",
    )
    agents: Annotated[tuple[AgentSection, ...], Field(min_length=1, max_length=MAX_AGENTS)] = Field(
        description="The bidders, from 1 to 64."
    )
    reference: Reference | None = Field(
        default=None, description="A model or a table that scores the texts (l_0, in nats); it never bids."
    )
    auction: AuctionSection | None = Field(
        default=None, description="The mechanism. Default: linear aggregation, pay your bid."
    )
    sweep: Sweep | None = Field(
        default=None, description="The bids and seeds to try. Default: the agents' own bids, one seed."
    )
    runtime: Runtime | None = Field(
        default=None, description="Device, threads and memory; nothing here is meant to change results."
    )
    expect: tuple[ExpectationSection, ...] = Field(
        default=(), description="What must hold of the finished run; it does not change the run or its folder."
    )
    audit: AuditSection | None = Field(
        default=None, description="What `tokauction audit` tries; it does not change the run or its folder."
    )
    market: MarketSection | None = Field(
        default=None,
        description="Bidders that learn and have budgets, for `tokauction market`; it does not change the run or its "
        "folder.",
    )
    judges: dict[Id, TextJudge] = Field(
        default={},
        description="Models that are asked about every finished text, by name: the columns judge.NAME. They are asked "
        "after the last text and do not change the run or its folder.",
    )
    blends: Flag = Field(default=False, description="Count texts that blend two agents' phrases, as in Alpha Resort.")
    trust: tuple[Module, ...] = Field(
        default=(), description="Modules of your own whose rules may run: package.module:Name."
    )
