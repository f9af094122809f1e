"""What a single value of an experiment file may be: texts, numbers, tables, and the section that holds them.

Values are strict (a quoted number is text, true is not 1) and say in one sentence what they expected and what they
found.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from ...system.wording import did_you_mean
from ..source.located_yaml import resolve


def shown(value: Any) -> str:
    """A value as a message shows it: short, with control characters escaped."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "a list" if value else "an empty list"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, int) and abs(value) >= 10**18:
        return "a huge number"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def says(expected: str) -> WrapValidator:
    """Whatever goes wrong inside is one mistake: expected this, got that."""

    def validate(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError:
            message = f"expected {expected}, got {shown(value)}{_hint(expected, value)}"
            raise PydanticCustomError("expected", "{message}", {"message": message}) from None

    return WrapValidator(validate)


def _hint(expected: str, value: Any) -> str:
    if isinstance(value, str) and "number" in expected:
        return "; remove the quotes" if isinstance(resolve(value[:100]), (int, float)) else ""
    names = re.split(", | or ", expected)
    if isinstance(value, str) and all(map(str.isidentifier, names)):
        return did_you_mean(value, names)
    is_text = expected.startswith(("text", "a name", "an id")) and "number" not in expected
    return "; put it in quotes" if is_text and isinstance(value, (bool, int, float)) else ""


def _requires(test: Callable[[str], bool]) -> BeforeValidator:
    def validate(value: Any) -> Any:
        if isinstance(value, str) and not test(value):
            raise ValueError
        return value

    return BeforeValidator(validate)


def is_name(text: str) -> bool:
    """Whether a text can name an agent: printable (joiners of emoji included), no line breaks, no blanks around it."""
    categories = (unicodedata.category(c) for c in text if c not in "\u200c\u200d")
    printable = all(category[0] in "LMNPS" or category == "Zs" for category in categories)
    return printable and 0 < len(text) <= 200 and text == text.strip()


def _wrap_one(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Text = Annotated[str, Strict(), says("text")]
FilledText = Annotated[str, Strict(), StringConstraints(min_length=1), says("text that is not empty")]
Name = Annotated[
    str,
    Strict(),
    StringConstraints(min_length=1, max_length=200),
    _requires(is_name),
    says("a name of printable characters, at most 200, without blanks around it"),
]
ExperimentName = Annotated[
    str,
    Strict(),
    StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$", max_length=100),
    says("a name made of A-Z a-z 0-9 . _ - (no leading dot, at most 100 characters)"),
]
Id = Annotated[
    str,
    Strict(),
    StringConstraints(pattern=r"^[A-Za-z0-9_]+$", max_length=100),
    says("an id made of A-Z a-z 0-9 _ (at most 100 characters)"),
]
Module = Annotated[
    str,
    Strict(),
    StringConstraints(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$"),
    says("a Python module such as package.module"),
]
Flag = Annotated[bool, Strict(), says("true or false")]
Number = Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False), says("a number of at least 0")]
Bound = Annotated[float, Strict(), Field(allow_inf_nan=False), says("a number")]
Positive = Annotated[float, Strict(), Field(gt=0, allow_inf_nan=False), says("a number above 0")]
Share = Annotated[float, Strict(), Field(ge=0, le=1), says("a number from 0 to 1")]
Mass = Annotated[float, Strict(), Field(gt=0, le=1), says("a number above 0, at most 1")]
Whole = Annotated[int, Strict(), Field(ge=0, lt=2**63), says("a whole number of at least 0")]
Count = Annotated[int, Strict(), Field(ge=1, lt=2**31), says("a whole number of at least 1")]
Auto = Annotated[
    Literal["auto"] | Annotated[int, Strict(), Field(ge=1, lt=2**31)],
    says("auto or a whole number of at least 1"),
]
Layers = Annotated[
    Literal["auto"] | Annotated[int, Strict(), Field(ge=0, lt=2**31)],
    says("auto or a whole number of at least 0"),
]
Values = Annotated[tuple[Any, ...], Field(min_length=1)]
RuleNames = Annotated[tuple[FilledText, ...], BeforeValidator(_wrap_one, json_schema_input_type=str | list[str])]
Row = Annotated[dict[FilledText, Share], Field(min_length=1)]
Rows = Annotated[dict[Text, Row], Field(min_length=1)]
Bids = Annotated[dict[FilledText, Number], Field(min_length=1)]


class Section(BaseModel):
    """One mapping of the file: no keys but the ones listed, never changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)
