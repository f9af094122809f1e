"""What `agents` and `reference` may say: who they are, what speaks for them, and what they bid."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from .values import (
    Bound,
    FilledText,
    Flag,
    Id,
    Mass,
    Name,
    Number,
    Positive,
    Row,
    Rows,
    Section,
    Share,
    Text,
    Whole,
    says,
)

MAX_AGENTS = 64


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


class AdapterSection(Section):
    """A LoRA adapter of the model."""

    file: FilledText = Field(
        description="Its GGUF file: a key of `models`, a path (relative to this file), or hf:user/repo/file.gguf."
    )
    scale: Bound = Field(default=1.0, description="By how much it counts: W + scale (alpha / rank) B A.")


def _each(given: Any) -> Any:
    """One adapter or a list, each as a mapping."""
    several = given if isinstance(given, (list, tuple)) else [given]
    return [{"file": one} if isinstance(one, str) else one for one in several]


Adapters = Annotated[
    tuple[AdapterSection, ...],
    Field(min_length=1),
    BeforeValidator(_each, json_schema_input_type=str | AdapterSection | list[str | AdapterSection]),
]


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
    adapter: Adapters | None = Field(
        default=None,
        description="LoRA adapters of the model: a GGUF file of that type, or {file, scale}, or a list of these.",
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
    top_k: Whole | None = Field(
        default=None, description="After the temperature, keep the k most likely tokens. 0, the default, keeps all."
    )
    top_p: Mass | None = Field(
        default=None,
        description="After top_k, keep the fewest most likely tokens with this probability together. Default: 1, all.",
    )
    min_p: Share | None = Field(
        default=None,
        description="After top_p, keep the tokens with this share of the highest probability. Default: 0, all.",
    )


class AgentSection(Voice, Named):
    """A bidder with a language model (and a prompt, chat or messages) or with a table of distributions."""

    bid: Number = Field(default=1.0, description="The bid per token, where the sweep does not set it.")
    mentions: Annotated[tuple[FilledText, ...], Field(min_length=1)] = Field(
        default=(),
        description="Phrases counted as a mention, in any case; whole words, where the script has spaces between words "
        "(docs/reference/mentions.md). Default: the name.",
    )
    reference: Flag = Field(
        default=False, description="A reference agent counts with its fixed bid, is not swept, not charged."
    )
    budget: Positive | None = Field(
        default=None, description="The most it pays per text under the rule `auction.charge`."
    )


class Reference(Voice):
    """What texts are held against: it scores them and never bids. In its prompt {{ agent }} is the word reference."""
