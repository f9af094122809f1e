"""What `auction.constraint` may say: the form that every text has."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from .values import FilledText, Section, says

Schema = Annotated[dict[str, Any] | FilledText, says("a JSON schema, or the name of a file with one")]


class ConstraintSection(Section):
    """The form that every text has: one of these keys. It needs the extra `constraints`."""

    regex: FilledText | None = Field(
        default=None,
        description="A regular expression of the whole text, in the syntax of Rust's crate regex: no look-around, no "
        "back-references.",
    )
    json_schema: Schema | None = Field(
        default=None, description="A JSON schema, or the name of a file with one (relative to this file)."
    )
    lark: FilledText | None = Field(
        default=None, description="A context-free grammar in llguidance's dialect of Lark, with a rule `start`."
    )
    gbnf: FilledText | None = Field(
        default=None,
        description="The name of a file (relative to this file) with a grammar in llama.cpp's GBNF, or the grammar.",
    )
