"""The one place where rules are found by name; `package.module:Name` reaches a rule of the user's own."""

from __future__ import annotations

import importlib
from typing import Any, Literal

from .aggregation import Linear, LogLinear

Kind = Literal["aggregation", "payment", "sampling"]

_RULES: dict[Kind, dict[str, type]] = {
    "aggregation": {rule.name: rule for rule in (Linear, LogLinear)},
    "payment": {},
    "sampling": {},
}


class UnknownRuleError(LookupError):
    """No rule of this kind has this name; the message says what was looked for."""


def names(kind: Kind) -> tuple[str, ...]:
    """The names of the built-in rules of one kind, in the order of the documentation."""
    return tuple(_RULES[kind])


def is_custom(name: str) -> bool:
    """Whether a name reaches outside the package, as in `my_rules.pooling:Median`."""
    return ":" in name


def find(kind: Kind, name: str) -> Any:
    """The rule object with this name, built without arguments."""
    if not is_custom(name):
        try:
            return _RULES[kind][name]()
        except KeyError:
            raise UnknownRuleError(f"unknown {kind} rule {name!r}") from None
    module, _, attribute = name.partition(":")
    try:
        rule = getattr(importlib.import_module(module), attribute)()
    except (ImportError, AttributeError, TypeError) as error:
        raise UnknownRuleError(f"{kind} rule {name!r} cannot be loaded: {error}") from error
    rule.name = name
    return rule
