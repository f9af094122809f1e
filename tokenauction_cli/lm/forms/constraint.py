"""A form as an experiment states it: a regular expression, a JSON schema, or a grammar, which llguidance reads."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from types import ModuleType
from typing import Literal, get_args

from ...system.errors import UsageError

Kind = Literal["regex", "json_schema", "lark", "gbnf"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_EVERY_SPELLING = '\n%llguidance {"no_forcing": true}\n'
"""Where one way to go on is forced, llguidance would allow only the tokeniser's own spelling of it."""
_QUOTED_LINE = re.compile(r"\s*(\d+ \||\^+$)")  # of a message: lines of the grammar, and what points into them


def llguidance() -> ModuleType:
    """The package, which is an extra. Raises UsageError where it is not installed."""
    try:
        import llguidance
        import llguidance.gbnf_to_lark
        import llguidance.numpy
    except ImportError:
        raise UsageError(
            "auction.constraint needs the package llguidance: pip install 'tokenauction-cli[constraints]'"
        ) from None
    return llguidance


@dataclass(frozen=True)
class Constraint:
    """One form; `text` is the regular expression, the schema as JSON, or the grammar."""

    kind: Kind
    text: str

    @property
    def grammar(self) -> str:
        """In llguidance's dialect of Lark. Raises GbnfToLarkError for a GBNF grammar that cannot be read."""
        package = llguidance()
        match self.kind:
            case "regex":
                (read,) = json.loads(package.LLMatcher.grammar_from_regex(self.text))["grammars"]
                lark: str = read["lark_grammar"]
            case "json_schema":
                lark = f"start: %json {self.text}"
            case "gbnf":
                lark = package.gbnf_to_lark.gbnf_to_lark(self.text)
            case "lark":
                lark = self.text
        return lark + _EVERY_SPELLING

    @property
    def mistake(self) -> str:
        """Why it cannot be read, in one line; '' where it can. Raises UsageError without llguidance."""
        package = llguidance()
        try:
            error: str = package.LLMatcher.validate_grammar(self.grammar)
        except package.gbnf_to_lark.GbnfToLarkError as wrong:
            error = str(wrong)
        if error.startswith("WARNING"):
            return ""
        told = " ".join(line.strip() for line in error.splitlines() if not _QUOTED_LINE.match(line))
        return told if self.kind == "lark" else told.removeprefix("at 1(8): ").split("error: ")[-1]

    def at_most(self, n_characters: int) -> Constraint | None:
        """The texts of it with at most so many characters; of regular expressions alone."""
        if self.kind != "regex":
            return None
        lark = self.grammar.removesuffix(_EVERY_SPELLING).removeprefix("start: ")
        return Constraint("lark", f"start: TEXT\nTEXT: {lark} & /(?s:.{{0,{n_characters}}})/")
