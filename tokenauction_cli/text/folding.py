"""A text without what mentions do not tell apart: case, composed and decomposed letters, typographic signs.

Letters are composed (NFC) and fully case-folded, so that ß is ss. I, i, İ and ı are one letter. Apostrophes, quotes and
hyphens of typographers are those of a typewriter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple
from unicodedata import normalize

_PLAIN = {"'": "‘’‚‛ʼ＇‹›", '"': "“”„‟＂«»", "-": "‐‑‒–—―−﹘﹣－", "i": "İı"}
_TYPEWRITER = {sign: plain for plain, signs in _PLAIN.items() for sign in signs}
_typography = re.compile(f"[{''.join(_TYPEWRITER)}]").findall
_DOTTED = "i\u0307"  # İ in lower case, as many programs write it


class Folded(NamedTuple):
    """A folded text, and whether each of its characters stands where it stood in the text as written."""

    text: str
    is_in_place: bool


def folded(text: str) -> Folded:
    """Fold a text."""
    if text.isascii():
        return Folded(text.lower(), True)
    composed = normalize("NFC", text)
    plain = composed
    for sign in set(_typography(composed)):
        plain = plain.replace(sign, _TYPEWRITER[sign])
    lower = plain.casefold()
    again = normalize("NFC", lower.replace(_DOTTED, "i"))
    return Folded(again, composed == text and len(lower) == len(plain) and again == lower)


def places(text: str) -> list[tuple[int, int]]:
    """For each character of the folded text where the characters that it is made of begin and end in the text."""
    return list(_places(text))


def _places(text: str) -> Iterator[tuple[int, int]]:
    """Letters with their marks, one by one: no rule of folding looks farther. ASCII stays in its place."""
    import regex

    for match in regex.finditer(r"[\0-\x7f]+(?![^\0-\x7f])|\X", text):
        letters = folded(match[0])
        for k in range(len(letters.text)):
            yield (match.start() + k, match.start() + k + 1) if letters.is_in_place else match.span()
