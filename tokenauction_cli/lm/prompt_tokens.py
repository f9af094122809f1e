"""Prompts to tokens: raw text, or messages through the GGUF file's own chat template.

What a user's query says is text, never control: the names of control tokens inside it are hidden behind markers of
private-use characters while the template is rendered, and tokenized as plain text afterwards.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Sequence

from ..system.errors import ModelError
from .bounded import MAX_CHARACTERS, bounded
from .vocabulary import GgufVocabulary

_MARKER = re.compile("\ue0fa([0-9]+)\ue0fb")
_A_FIXED_DAY = datetime.date(2024, 7, 26)  # templates that print today's date would make no run reproducible
_LONGEST_REASON = 1_000

Messages = Sequence[dict[str, str]]


class PlainText:
    """Replaces the names of control tokens in texts by markers, and remembers them."""

    def __init__(self, vocabulary: GgufVocabulary) -> None:
        self._vocabulary = vocabulary
        self._hidden: list[str] = []

    def hide(self, text: str) -> str:
        """The text with every name of a control token (and everything that looks like a marker) replaced."""
        text = _MARKER.sub(self._remember, text)
        names = self._vocabulary.control_names
        return names.sub(self._remember, text) if names else text

    def _remember(self, match: re.Match[str]) -> str:
        self._hidden.append(match.group())
        return f"\ue0fa{len(self._hidden) - 1}\ue0fb"

    def tokenize(self, rendered: str) -> tuple[int, ...]:
        """Tokens of a rendered prompt: what was hidden is text, the rest may name control tokens."""
        tokens: list[int] = []
        for k, part in enumerate(_MARKER.split(rendered)):
            is_hidden = k % 2 == 1
            text = self._hidden[int(part)] if is_hidden else part
            if text:
                tokens += self._vocabulary.tokenize(text, control=not is_hidden)
        first = self._vocabulary.first_token
        if first is not None and tokens[:1] != [first]:
            tokens.insert(0, first)
        return tuple(tokens)


def tokens_of_text(vocabulary: GgufVocabulary, render: Callable[..., str], *texts: str) -> tuple[int, ...]:
    """The tokens of a raw prompt; control tokens may be named by its author but not by the texts that it is given."""
    plain = PlainText(vocabulary)
    return plain.tokenize(render(*map(plain.hide, texts)))


def tokens_of_messages(
    vocabulary: GgufVocabulary, template: str | None, messages: Messages, model: str
) -> tuple[int, ...]:
    """The tokens of chat messages, ready for the assistant's turn."""
    if not template:
        raise ModelError(f"{model} has no chat template: use `prompt:` instead of `chat:` or `messages:`")
    plain = PlainText(vocabulary)
    hidden = [{**message, "content": plain.hide(message["content"])} for message in messages]
    return plain.tokenize(_render_chat(vocabulary, template, hidden, model))


def _render_chat(vocabulary: GgufVocabulary, template: str, messages: list[dict[str, str]], model: str) -> str:
    from llama_cpp.llama_chat_format import Jinja2ChatFormatter

    class Formatter(Jinja2ChatFormatter):  # type: ignore[misc]
        @staticmethod
        def strftime_now(f: str) -> str:
            return _A_FIXED_DAY.strftime(f)

    try:
        with bounded():
            formatter = Formatter(template, vocabulary.text_of_special("eos"), vocabulary.text_of_special("bos"))
            rendered = str(formatter(messages=messages).prompt)
        if len(rendered) > MAX_CHARACTERS:
            raise ValueError(f"it makes a prompt of more than {MAX_CHARACTERS:,} characters")
        return rendered
    except Exception as error:  # a template comes with the file and may fail in any way
        why = "it takes too much memory" if isinstance(error, MemoryError) else str(error)[:_LONGEST_REASON]
        raise ModelError(
            f"the chat template of {model} refuses these messages: {why}; "
            "use `messages:` with roles that it knows, or `prompt:`"
        ) from error
