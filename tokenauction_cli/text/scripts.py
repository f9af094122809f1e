"""Where a phrase may begin and end in a text, by the scripts (Unicode's Script_Extensions) of the letters that meet.

A phrase is no part of a longer word: no letter, digit or _ stands beside it. Combining marks are passed over, for a
tone or a vowel point that is written or not makes no other word. Two kinds of script know no such edge: those written
without spaces, and Hangul, whose particles follow their noun at once. Where the phrase's own letter or its neighbour
belongs to them nothing is asked, but that a phrase does not end before a vowel sign of its last letter.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

_WITHOUT_EDGES = "".join(
    rf"\p{{scx={script}}}"
    for script in (
        *("Han", "Hiragana", "Katakana", "Bopomofo", "Yi", "Tangut", "Nushu", "Khitan_Small_Script", "Hangul"),
        *("Thai", "Lao", "Khmer", "Myanmar", "Tai_Le", "New_Tai_Lue", "Tai_Tham", "Tai_Viet", "Ahom"),
        *("Javanese", "Balinese", "Tibetan"),
    )
)
_SIGN = r"[\p{M}--\p{sc=Inherited}]"  # of one script: a vowel of Devanagari, say, and no accent
_ACCENTS = r"[\p{Mn}&&\p{sc=Inherited}]*+"
_OF_A_WORD = rf"[[\p{{L}}\p{{N}}_{_SIGN}]--[{_WITHOUT_EDGES}]]"


def may_begin(text: str, at: int) -> bool:
    """Whether a phrase may begin at this character of a text."""
    beside, own = text[max(0, at - 1) : at], text[at]
    return _is_edge(beside) if (beside + own).isascii() else _edges().before.match(text, at) is not None


def may_end(text: str, at: int) -> bool:
    """Whether a phrase may end before this character."""
    beside, own = text[at : at + 1], text[at - 1]
    return _is_edge(beside) if (beside + own).isascii() else _edges().after.match(text, at) is not None


def _is_edge(beside: str) -> bool:
    """The same of ASCII, many times as fast."""
    return not (beside.isalnum() or beside == "_")


class _Edges(NamedTuple):
    before: Any
    after: Any


@cache
def _edges() -> _Edges:
    """`regex` is loaded here: many commands search nothing."""
    import regex

    before = rf"(?=[{_WITHOUT_EDGES}])|(?<!{_OF_A_WORD}{_ACCENTS})"
    after = rf"(?<=[{_WITHOUT_EDGES}])(?!{_SIGN})|(?<![{_WITHOUT_EDGES}])(?!{_ACCENTS}{_OF_A_WORD})"
    return _Edges(*(regex.compile(pattern, regex.V1) for pattern in (before, after)))
