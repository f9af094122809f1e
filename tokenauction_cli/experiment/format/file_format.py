"""What an experiment file may say: file format 1, section by section.

Each model is one mapping of the file; the descriptions are the documentation that editors show. What one value may be
is in `values.py`, the sections of an audit in `text_audit_format.py`. Mistakes across sections: see `checks.py`.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Strict, StringConstraints, Tag

from .mechanism_format import Mosaic, Segment, TextPool
from .text_audit_format import Audit
from .values import (
    Auto,
    Bids,
    Bound,
    ExperimentName,
    FilledText,
    Flag,
    Id,
    Layers,
    Module,
    Name,
    Number,
    Positive,
    Row,
    Rows,
    RuleNames,
    Section,
    Share,
    Text,
    Whole,
    says,
)

MAX_AGENTS = 64
MAX_RULES = 64
TOKEN_AUCTION = "token_auction"
CUSTOM_RULE = r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"


class Chat(Section):
    """One exchange, put into the form that the GGUF file's own chat template gives it."""

    system: Text | None = Field(
        default=None, description="What the model is told before the exchange. A Jinja2 template."
    )
    user: FilledText = Field(
        description="What the user says. A Jinja2 template: {{ query }} and {{ agent }} are known."
    )


class Message(Section):
    """One message of a conversation."""

    role: Annotated[Literal["system", "user", "assistant"], says("system, user or assistant")] = Field(
        description="Who speaks."
    )
    content: Text = Field(description="What is said. A Jinja2 template: {{ query }} and {{ agent }} are known.")


class Named(Section):
    """What is called by a name; a base of its own, for a name comes first where an agent is shown."""

    name: Name = Field(description="What the agent is called: any printable characters, unique in the file.")
    id: Id = Field(
        default="",
        description="Names the agent's columns, [A-Za-z0-9_]+. Default: the name in lower case, other signs as _.",
    )


class Voice(Section):
    """What says a next token: a language model with a prompt, a chat or messages, or a table of distributions."""

    model: FilledText | None = Field(
        default=None,
        description="A key of `models`, smollm2-135m-instruct, a path to a .gguf file (relative to this file), "
        "hf:user/repo:QUANT or hf:user/repo/file.gguf@revision.",
    )
    prompt: FilledText | None = Field(
        default=None,
        description="Raw text for the model to continue. A Jinja2 template: {{ query }} and {{ agent }} are known.",
    )
    chat: Chat | None = Field(
        default=None, description="A system and a user message, through the GGUF's own chat template."
    )
    messages: Annotated[tuple[Message, ...], Field(min_length=1)] | None = Field(
        default=None, description="A conversation, through the GGUF's own chat template."
    )
    distribution: Row | None = Field(
        default=None,
        description="No model: these tokens with these probabilities at every position; <end> ends the text. A text "
        "is its tokens, joined by `auction.separator`: by default one space.",
    )
    distributions: Rows | None = Field(
        default=None,
        description="No model: a distribution per prefix, written as its text (tokens joined by `auction.separator`, "
        "'' at the start, '*' for any other text).",
    )
    temperature: Positive = Field(default=1.0, description="Divides the logits, before distributions are aggregated.")


class Agent(Voice, Named):
    """A bidder with a language model (and a prompt, chat or messages) or with a table of distributions."""

    bid: Number = Field(default=1.0, description="The bid per token, where the sweep does not set it.")
    mentions: Annotated[tuple[FilledText, ...], Field(min_length=1)] = Field(
        default=(),
        description="Phrases counted as a mention, in any case; whole words, where the script has spaces between words "
        "(docs/mentions.md). Default: the name.",
    )
    reference: Flag = Field(
        default=False, description="A reference agent counts with its fixed bid, is not swept, not charged."
    )
    budget: Positive | None = Field(
        default=None, description="The most it pays per text under the rule `auction.charge`."
    )


class Reference(Voice):
    """What texts are held against: it scores them and never bids. In its prompt {{ agent }} is the word reference."""


MAX_TOKENS, MAX_BYTES = 64, 160
SPACE = " "
Length = Annotated[int, Strict(), Field(ge=1, le=100_000), says("a whole number from 1 to 100000")]


class Covering(Section):
    """How much of a model's tokenisations of a text is followed; exact, and exponential in the text, with both at 0."""

    open: Share = Field(
        default=0.0003, description="A tokenisation is followed from this share of all that are alive on."
    )
    merge: Share = Field(
        default=0.001, description="Of those that end at one byte, the ones below this share join the heaviest."
    )


class Auction(Section):
    """The mechanism: how distributions are aggregated, tokens drawn, payments computed; or whole texts auctioned."""

    mechanism: Annotated[RuleNames, Field(min_length=1, max_length=MAX_RULES)] | None = Field(
        default=None,
        description="One mechanism or a list: each makes its own texts and has its own payments. Default: "
        "token_auction. Their bids are per token, segment or text. One of your own takes no settings; if it chooses "
        "among candidates, there are 20 by log_linear.",
    )
    mosaic: Mosaic | None = Field(default=None, description="Settings of the mechanism mosaic.")
    segment: Segment | None = Field(default=None, description="Settings of the mechanism segment.")
    text_pool: TextPool | None = Field(default=None, description="Settings of the mechanism text_pool.")
    aggregation: Annotated[RuleNames, Field(min_length=1, max_length=MAX_RULES)] = Field(
        default=("linear",),
        description="Of the token auction: one aggregation rule or a list; each makes its own texts.",
    )
    payments: Annotated[RuleNames, Field(max_length=MAX_RULES)] = Field(
        default=("pay_your_bid",), description="Of the token auction: payment rules, computed on the same texts."
    )
    sampling: FilledText | None = Field(
        default=None,
        description="How a token is drawn from the aggregate. `stable`, the default, draws rules without a stable "
        "sampling by a coupling to it; the column `sampling` then says `coupled`. Other mechanisms write by it, too.",
    )
    alphabet: Annotated[Literal["tokens", "bytes", "words"], says("tokens, bytes or words")] | None = Field(
        default=None,
        description="What is auctioned one after the other. tokens, the default, needs agents with one vocabulary; "
        "bytes and words do not. A word is drawn byte by byte and charged as a whole; it ends with white space (bytes "
        "09 to 0D and 20), at the end of the text, or where the text is cut. words need linear or random_dictator.",
    )
    max_tokens: Length | None = Field(
        default=None, description=f"The most tokens that one text may have. Default: {MAX_TOKENS}."
    )
    max_bytes: Length | None = Field(
        default=None, description=f"The same in bytes, with the alphabet bytes or words. Default: {MAX_BYTES}."
    )
    covering: Covering | None = Field(
        default=None, description="With the alphabet bytes or words: how closely a model's tokenisations are followed."
    )
    separator: Text | None = Field(
        default=None,
        description="What joins the tokens of tables in texts and in the keys of `distributions`. Default: one space. "
        "Another one must not let two sequences of tokens make the same text.",
    )
    stop: tuple[FilledText, ...] = Field(default=(), description="Texts that end a text; they are cut off.")
    charge: FilledText | None = Field(default=None, description="The payment rule that budgets pay.")
    reserve: Number | None = Field(
        default=None,
        description="Reserve price, for what a bid is for: a lower bid counts as 0. No bid counts: unsold.",
    )
    trace: Annotated[Literal["none", "chosen", "top_k"], says("none, chosen or top_k")] = Field(
        default="none",
        description="What is kept of every token's distributions, in texts of the token auction.",
    )

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """Those listed, or the token auction."""
        return self.mechanism or (TOKEN_AUCTION,)

    @property
    def auctions_tokens(self) -> bool:
        """Whether the token auction is one of the mechanisms: its rules have no meaning where it is not."""
        return TOKEN_AUCTION in self.mechanisms

    @property
    def n_kinds(self) -> int:
        """How many kinds of text there are: one per aggregation rule of the token auction and per other mechanism."""
        return sum(len(self.aggregation) if name == TOKEN_AUCTION else 1 for name in self.mechanisms)


class Steps(Section):
    """Evenly spaced weights, both ends included."""

    model_config = ConfigDict(populate_by_name=True)

    start: Share = Field(alias="from", description="The first weight.")
    to: Share = Field(description="The last weight.")
    step: Positive = Field(description="The distance between two weights.")

    @property
    def n_points(self) -> int | None:
        """How many weights there are, without making them; None for more than any experiment can hold."""
        return round(self.n_steps) + 1 if self.n_steps < 1e9 else None

    @property
    def n_steps(self) -> float:
        """From the first weight to the last: a whole number, but for rounding, where the step fits."""
        return (self.to - self.start) / self.step

    @property
    def fits(self) -> bool:
        """Whether steps from the first weight meet the last."""
        return math.isclose(self.n_steps, round(self.n_steps), rel_tol=1e-9, abs_tol=1e-9)


def _list_or_mapping(value: Any) -> str | None:
    if isinstance(value, (list, tuple)):
        return "list"
    return "steps" if isinstance(value, (dict, Steps)) else None


Server = Annotated[
    str,
    Strict(),
    StringConstraints(pattern=r"^(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$"),
    says("a server as host:port"),
]


def _list_or_number(value: Any) -> str:
    return "list" if isinstance(value, (list, tuple)) else "number"


# The tags of unions stand in pydantic's locations of errors; they are no keys of the file.
UNION_TAGS = frozenset({"list", "steps", "number", "query text", "query row"})
Weights = Annotated[
    Annotated[tuple[Share, ...], Field(min_length=1), Tag("list")] | Annotated[Steps, Tag("steps")],
    Discriminator(
        _list_or_mapping,
        custom_error_type="expected",
        custom_error_message="expected a list of numbers from 0 to 1, or {from: 0, to: 1, step: 0.1}",
    ),
]
Seeds = Annotated[
    Annotated[
        Annotated[int, Strict(), Field(ge=1, lt=2**63), says("a number of seeds of at least 1, or a list of seeds")],
        Tag("number"),
    ]
    | Annotated[tuple[Whole, ...], Field(min_length=1), Tag("list")],
    Discriminator(_list_or_number),
]
Grid = Annotated[dict[FilledText, Annotated[tuple[Number, ...], Field(min_length=1)]], Field(min_length=1)]


class Sweep(Section):
    """The bids to try, by one of relative_weight, bids and grid; without it the agents' own bids."""

    agent: FilledText | None = Field(
        default=None,
        description="Name or id of the agent whose relative weight moves. Default: the first that is no reference.",
    )
    relative_weight: Weights | None = Field(
        default=None,
        description="Shares of the bids that the agent gets; the others share the rest in proportion to their bids. "
        "A list, or {from, to, step} with both ends.",
    )
    total_bid: Positive | None = Field(
        default=None,
        description="What the bids of a relative_weight sweep sum to. Default: the sum of the agents' bids.",
    )
    bids: Annotated[tuple[Bids, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="Points of the sweep, each a mapping of agents (name or id) to bids; the others keep their own.",
    )
    grid: Grid | None = Field(
        default=None,
        description="A list of bids per agent (name or id): every combination, the last agent's changing first.",
    )
    seeds: Seeds = Field(default=1, description="How many seeds (0, 1, ...) per point, or a list of seeds.")


class Runtime(Section):
    """Where and how fast: nothing here is meant to change a result."""

    device: Annotated[Literal["auto", "cpu", "gpu"], says("auto, cpu or gpu")] = Field(
        default="auto", description="Where to run."
    )
    threads: Auto = Field(default="auto", description="Processors used. Default: those this process may use.")
    context: Auto = Field(
        default="auto", description="Tokens of memory (KV cells) per model. Default: what the plan needs."
    )
    batch: Auto = Field(
        default="auto", description="Sequences evaluated together; auto: measured once per model, for long runs."
    )
    gpu_layers: Layers = Field(default="auto", description="Layers of the model kept on the GPU.")
    rpc: tuple[Server, ...] = Field(
        default=(), description="Servers of llama.cpp that hold layers, each host:port. Trusted networks only."
    )
    split_mode: Annotated[Literal["none", "layer", "row"], says("none, layer or row")] = Field(
        default="layer",
        description="How several GPUs share a model: by layers, by rows of its matrices, or not at all.",
    )
    tensor_split: tuple[Number, ...] = Field(
        default=(),
        description="What each GPU holds in proportion, as in [3, 1]; the servers of rpc count as GPUs and come first. "
        "Default: as their free memory is.",
    )
    main_gpu: Whole = Field(default=0, description="The GPU, from 0, that does what is not shared.")
    kv_cache: Annotated[Literal["auto", "f16", "bf16", "q8_0", "f32"], says("auto, f16, bf16, q8_0 or f32")] = Field(
        default="auto",
        description="Format of keys and values. auto: bf16 on CPUs with AMX and AVX512_BF16, else f16.",
    )
    deterministic: Flag = Field(
        default=False, description="Evaluate every token alone: slower, and bit-identical in any batch."
    )


class At(Section):
    """The rows that an expectation is about: those that agree with every key that is given."""

    query: Text | None = Field(default=None, description="One of `queries`.")
    mechanism: FilledText | None = Field(default=None, description="One of the mechanisms.")
    aggregation: FilledText | None = Field(default=None, description="One of the aggregation rules.")
    relative_weight: Share | None = Field(default=None, description="One of the relative weights of the sweep.")
    point: Whole | None = Field(default=None, description="The number of a sweep point, from 0.")
    bids: Bids | None = Field(default=None, description="Bids of agents (name or id) at a sweep point.")


class TextTest(Section):
    """What a text is asked; it passes where all that is given holds."""

    contains: FilledText | None = Field(
        default=None,
        description="This very string stands in the text; only a mention may be spelled otherwise (docs/mentions.md).",
    )
    not_contains: FilledText | None = Field(default=None, description="This very string does not stand in the text.")
    matches: FilledText | None = Field(
        default=None, description="A regular expression (of Python) that fits some part of the text; (?i) for any case."
    )


class Expectation(Section):
    """What must hold of a finished run, else `tokauction run` exits with 4: bounds of a figure, or a test of texts."""

    figure: FilledText | None = Field(
        default=None,
        description="A column of numbers of summary.csv, else of cells.csv, or trend.F, the tau of a figure F in "
        "trends.csv (trend.F.violation: another column). Every row must hold; an empty number holds no bound.",
    )
    text: TextTest | None = Field(default=None, description="In place of `figure`: a test of each text.")
    at: At | None = Field(default=None, description="Which rows. Default: all.")
    min: Bound | None = Field(default=None, description="The least that the figure may be.")
    max: Bound | None = Field(default=None, description="The most that the figure may be.")
    share: Share | None = Field(
        default=None, description="The least share of the texts that must pass `text`. Default: 1."
    )


class Query(Section):
    """A query with columns, as a row of a CSV file has them: {{ column }} in prompts, bid.NAME for an agent's bid."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[
        str,
        Annotated[
            Annotated[str, Strict()] | Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)],
            says("text, or for a bid a number of at least 0"),
        ],
    ]

    query: Text = Field(description="What the user asks.")


def _text_or_row(value: Any) -> str:
    return "query row" if isinstance(value, (dict, Query)) else "query text"


Queries = Annotated[
    tuple[
        Annotated[Annotated[Text, Tag("query text")] | Annotated[Query, Tag("query row")], Discriminator(_text_or_row)],
        ...,
    ],
    Field(min_length=1),
]


class ExperimentFile(Section):
    """A token auction: agents with language models, an auction that mixes their tokens, a sweep of bids."""

    name: ExperimentName = Field(description="Names the folder of results: A-Z a-z 0-9 . _ - without a leading dot.")
    seed: Whole = Field(default=0, description="Seed of the experiment: another seed, other random numbers everywhere.")
    queries: Queries = Field(
        default=("",),
        description="What users ask: {{ query }} in prompts. Each query is a sweep of its own. Or a CSV file (relative "
        "to this file) with a column query: other columns are {{ column }} in prompts, bid.NAME is the agent's bid.",
    )
    models: dict[FilledText, FilledText] | None = Field(
        default=None,
        description="Short names for models: smollm2-135m-instruct, a path to a .gguf file or hf:user/repo:QUANT.",
    )
    agents: Annotated[tuple[Agent, ...], Field(min_length=1, max_length=MAX_AGENTS)] = Field(
        description="The bidders, from 1 to 64."
    )
    reference: Reference | None = Field(
        default=None, description="A model or a table that scores the texts (l_0, in nats); it never bids."
    )
    auction: Auction | None = Field(
        default=None, description="The mechanism. Default: linear aggregation, pay your bid."
    )
    sweep: Sweep | None = Field(
        default=None, description="The bids and seeds to try. Default: the agents' own bids, one seed."
    )
    runtime: Runtime | None = Field(
        default=None, description="Device, threads and memory; nothing here is meant to change results."
    )
    expect: tuple[Expectation, ...] = Field(
        default=(), description="What must hold of the finished run; it does not change the run or its folder."
    )
    audit: Audit | None = Field(
        default=None, description="What `tokauction audit` tries; it does not change the run or its folder."
    )
    blends: Flag = Field(default=False, description="Count texts that blend two agents' phrases, as in Alpha Resort.")
    trust: tuple[Module, ...] = Field(
        default=(), description="Modules of your own whose rules may run: package.module:Name."
    )
