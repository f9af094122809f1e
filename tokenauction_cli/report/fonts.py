"""Do fonts have the letters of a figure? Asked of vl-convert itself, for it alone knows which fonts it finds.

A letter that no font has is drawn as what is no character at all: the same box.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from types import ModuleType
from unicodedata import category, name

from ..system.wording import listed
from .charts.vega import FONT, Spec

_NO_CHARACTER = "\U0010ffff"
_AFTER_THE_SCRIPT = re.compile(" (?:CAPITAL|CHARACTER|COMPATIBILITY|IDEOGRAPH|LETTER|SIGN|SMALL|SYLLAB|UNIFIED|VOWEL)")
_in_noto_cjk = re.compile("Han$|Hangul|Hiragana|Katakana|Bopomofo|width").search


def what_fonts_lack(converter: ModuleType, specs: Iterable[Spec]) -> str:
    """The scripts whose letters no font has, and the packages that bring them; '' where none is missing."""
    box = _picture(converter, _NO_CHARACTER)
    scripts = _letters_by_script(specs)
    lacking = [script for script, letters in scripts.items() if any(_picture(converter, one) == box for one in letters)]
    if not lacking:
        return ""
    packages = sorted({f"fonts-noto-{'cjk' if _in_noto_cjk(script) else 'core'}" for script in lacking})
    return (
        f"Figures in PDF and PNG have boxes where letters of {listed(lacking)} should be: fonts here lack them. "
        f"Install fonts that do, on Debian {listed(packages)}, and write the figures again."
    )


def _letters_by_script(specs: Iterable[Spec]) -> dict[str, set[str]]:
    """The scripts as the names of their letters begin, Han for what Unicode calls CJK."""
    found = defaultdict(set)
    for letter in sorted(set(json.dumps(list(specs), ensure_ascii=False))):
        if not letter.isascii() and category(letter) in ("Ll", "Lo", "Lu"):
            script = _AFTER_THE_SCRIPT.split(name(letter, "an unnamed script"))[0]
            found["Han" if script == "CJK" else script.title()].add(letter)
    return found


def _picture(converter: ModuleType, letter: str) -> bytes:
    text = f'<text x="4" y="24" font-family="{FONT}" font-size="20">{letter}</text>'
    return bytes(converter.svg_to_png(f'<svg xmlns="http://www.w3.org/2000/svg" width="32" height="32">{text}</svg>'))
