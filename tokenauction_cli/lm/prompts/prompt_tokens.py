"""Prompts to tokens: the pieces of a raw prompt, or messages through the GGUF file's own chat template.

What came from a value (a query, a text that a model wrote, a message) is text and never a control token, whatever was
done to it. Of a raw prompt it is known which pieces a value made. A chat template may do anything with a message: the
names of control tokens in messages are hidden behind markers of private-use characters while it is rendered, and every
control token that it makes must be one that it makes of messages which say nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from ...system.errors import ModelError
from .chat_template import ChatTemplates, Messages, RefusedError

if TYPE_CHECKING:
    from ..llama.vocabulary import GgufVocabulary

_MARKER = re.compile("\ue0fa([0-9]+)\ue0fb")
_NOTHING = "\ue0f9"  # what a message says that says nothing

MAX_CHARACTERS = 1_000_000  # of a raw prompt; those of a chat template's have the same bound

Span = tuple[int, int]


class Value(str):
    """A piece of a prompt that was made of a value: the query, its columns, the agent's name, a judge's text."""

    def __str__(self) -> str:
        return self  # where Jinja2 makes a text of it, it stays what it is


def tokens_of_text(vocabulary: GgufVocabulary, pieces: Iterable[str]) -> tuple[int, ...]:
    """The tokens of a raw prompt: its own pieces may name control tokens, those that are a Value may not."""
    tokens = _tokens(vocabulary, list(pieces))
    first = vocabulary.first_token
    if first is not None and tokens[:1] != [first]:
        tokens.insert(0, first)
    return tuple(tokens)


def tokens_of_messages(
    vocabulary: GgufVocabulary, template: str | None, messages: Messages, model: str, templates: ChatTemplates
) -> tuple[int, ...]:
    """The tokens of chat messages, ready for the assistant's turn. Raises ModelError."""
    if not template:
        raise ModelError(f"{model} has no chat template: use `prompt:` instead of `chat:` or `messages:`")
    try:
        return tokens_of_text(vocabulary, _rendered(vocabulary, template, messages, templates))
    except RefusedError as error:
        raise ModelError(
            f"the chat template of {model} refuses these messages: {error}; "
            "use `messages:` with roles that it knows, or `prompt:`"
        ) from error


def _tokens(vocabulary: GgufVocabulary, pieces: Sequence[str]) -> list[int]:
    """All text as one where no value has a part in the name of a control token; else between the prompt's own ones."""
    text, own = "".join(pieces), _own(pieces)
    if all(any(begin <= a and b <= end for begin, end in own) for a, b in _named(vocabulary, text)):
        return vocabulary.tokenize(text, control=True)
    tokens: list[int] = []
    rest = 0
    for begin, end in own:
        for match in vocabulary.control_names.finditer(text, begin, end):
            tokens += _plain(vocabulary, text[rest : match.start()])
            tokens += vocabulary.tokenize(match.group(), control=True)
            rest = match.end()
    return tokens + _plain(vocabulary, text[rest:])


def _plain(vocabulary: GgufVocabulary, text: str) -> list[int]:
    """Without control tokens. SentencePiece may merge pieces into one: then names are cut. Raises ModelError."""
    tokens = vocabulary.tokenize(text, control=False)
    if not any(map(vocabulary.is_control, tokens)):
        return tokens
    cuts = [0, *sorted({begin + 1 for begin, _ in _named(vocabulary, text)}), len(text)]
    parts = [vocabulary.tokenize(text[a:b], control=False) for a, b in pairwise(cuts)]
    tokens = [token for part in parts for token in part]
    if any(map(vocabulary.is_control, tokens)):
        raise ModelError("a prompt names a control token of one character, which this model cannot read as text")
    return tokens


def _named(vocabulary: GgufVocabulary, text: str) -> Iterator[Span]:
    """Where a text has the name of a control token, also where names overlap."""
    match = vocabulary.control_names.search(text)
    while match:
        yield match.span()
        match = vocabulary.control_names.search(text, match.start() + 1)


def _own(pieces: Sequence[str]) -> list[Span]:
    """Where the text of these pieces is the prompt's own; pieces side by side are one place."""
    spans: list[Span] = []
    end = 0
    for piece in pieces:
        begin, end = end, end + len(piece)
        if isinstance(piece, Value):
            continue
        if spans and spans[-1][1] == begin:
            begin = spans.pop()[0]
        spans.append((begin, end))
    return spans


def _rendered(vocabulary: GgufVocabulary, template: str, messages: Messages, templates: ChatTemplates) -> list[str]:
    """The pieces of the prompt that a chat template makes. Raises RefusedError."""
    special = {f"{which}_token": vocabulary.text_of_special(which) for which in ("bos", "eos")}
    plain = _PlainText(vocabulary)
    hidden = [{**message, "content": plain.hide(message["content"])} for message in messages]
    pieces = plain.pieces(templates.render(template, hidden, special))
    silent = [{**message, "content": _NOTHING if message["content"].strip() else ""} for message in messages]
    names = vocabulary.control_names
    made = Counter(name for piece in pieces if not isinstance(piece, Value) for name in names.findall(piece))
    for name in made - Counter(names.findall(templates.render(template, silent, special))):
        raise RefusedError(f"it makes the control token {name} of what a message says")
    return pieces


class _PlainText:
    """Replaces the names of control tokens in texts by markers, and remembers them."""

    def __init__(self, vocabulary: GgufVocabulary) -> None:
        self._names = vocabulary.control_names
        self._hidden: list[str] = []

    def hide(self, text: str) -> str:
        """The text with every name of a control token (and everything that looks like a marker) replaced."""
        text = _MARKER.sub(self._remember, text)
        return self._names.sub(self._remember, text)

    def _remember(self, match: re.Match[str]) -> str:
        self._hidden.append(match.group())
        return f"\ue0fa{len(self._hidden) - 1}\ue0fb"

    def pieces(self, rendered: str) -> list[str]:
        """A rendered prompt in pieces; what was hidden is a Value again."""
        parts = _MARKER.split(rendered)
        return [Value(self._hidden[int(part)]) if k % 2 else part for k, part in enumerate(parts)]
