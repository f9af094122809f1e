"""The one place where rules and mechanisms are found by name; `package.module:Name` reaches one of the user's own.

`power_mean_R` is a family: the power mean of exponent R, as in `power_mean_2`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Literal

from .aggregation.dictatorship import RandomDictator, WinnerTakeAll
from .aggregation.power_mean import PowerMean
from .aggregation.rules import AggregationRule, Linear, LogLinear
from .alternatives.mechanisms import CandidateMechanism, TokenAuction, WriterMechanism
from .alternatives.mosaic import Mosaic
from .alternatives.segment import Segment
from .alternatives.text_pool import TextPool
from .alternatives.whole_text import Highest, Lottery
from .payments.clarke import Clarke
from .payments.myerson_tv import MyersonTV
from .payments.rules import PayBidTimesInfluence, PaymentRule, PayYourBid
from .payments.second_price import SecondPrice
from .sampling.rules import Greedy, Gumbel, InverseCdf, SamplingRule
from .sampling.stable import Stable

Kind = Literal["aggregation", "payment", "sampling", "mechanism"]

_RULES: dict[Kind, tuple[Any, ...]] = {
    "aggregation": (Linear, LogLinear, WinnerTakeAll, RandomDictator, PowerMean),
    "sampling": (Stable, InverseCdf, Gumbel, Greedy),
    "payment": (PayYourBid, SecondPrice, Clarke, MyersonTV, PayBidTimesInfluence),
    "mechanism": (TokenAuction, Mosaic, Segment, Lottery, Highest, TextPool),
}
_SHAPES: dict[Kind, type] = {"aggregation": AggregationRule, "sampling": SamplingRule, "payment": PaymentRule}
_MECHANISMS: dict[str, type] = {shape.writers: shape for shape in (CandidateMechanism, WriterMechanism)}
_FAMILY = "power_mean_"


class UnknownRuleError(LookupError):
    """No rule of this kind has this name; the message says what was looked for."""


def names(kind: Kind) -> tuple[str, ...]:
    """The names of the built-in rules of one kind, in the order of the documentation."""
    return tuple(rule.name for rule in _RULES[kind])


def label(name: str) -> str:
    """The name of a rule or of a payment's column as people say it; that of a user's own rule as it is."""
    if is_custom(name):
        return name
    labels = {rule.name: rule.label for kind in _RULES if kind != "sampling" for rule in _RULES[kind]}
    return labels.get(name) or name.replace("_", " ")


def is_custom(name: str) -> bool:
    """Whether a name reaches outside the package, as in `my_rules.pooling:Median`."""
    return ":" in name


def find(kind: Kind, name: str, settings: Mapping[str, Any] | None = None) -> Any:
    """The rule object with this name, made with its settings, if it takes any. Raises UnknownRuleError."""
    if is_custom(name):
        return _custom(kind, name, settings or {})
    for rule in _RULES[kind]:
        if rule.name == name:
            return rule(**(settings or {}))
    if kind == "aggregation" and name.startswith(_FAMILY):
        return _power_mean(name)
    raise UnknownRuleError(f"unknown {words(kind)} {name!r}")


def is_known(kind: Kind, name: str) -> bool:
    """Whether `find` would know a name of this package: a built-in rule or one of a family."""
    try:
        return not is_custom(name) and find(kind, name) is not None
    except UnknownRuleError:
        return False


def is_lottery(sampling: str) -> bool:
    """Whether tokens are drawn by chance; a rule of the user's own, which is not loaded for this, is taken for one."""
    return not is_known("sampling", sampling) or bool(find("sampling", sampling).lottery)


def _power_mean(name: str) -> PowerMean:
    try:
        rule = PowerMean(float(name.removeprefix(_FAMILY)))
    except ValueError:
        raise UnknownRuleError(f"{name!r}: {_FAMILY}R needs a finite number R, as in power_mean_0.25") from None
    rule.name = name
    return rule


def words(kind: Kind) -> str:
    """What messages call one of this kind."""
    return kind if kind == "mechanism" else f"{kind} rule"


def _custom(kind: Kind, name: str, settings: Mapping[str, Any]) -> Any:
    module, _, attribute = name.partition(":")
    try:
        made = getattr(importlib.import_module(module), attribute)
        shape = _mechanism_like(made) if kind == "mechanism" else _SHAPES[kind]
        if isinstance(made, type) and not issubclass(made, shape):
            # gives it the defaults of what it leaves out
            made = type(made.__name__, (made, shape), {"__module__": module})
        rule = made(**settings)
    except (ImportError, AttributeError, TypeError) as error:
        raise UnknownRuleError(f"{words(kind)} {name!r} cannot be loaded: {error}") from error
    rule.name = name
    return rule


def _mechanism_like(made: Any) -> type:
    """Which of the two kinds of mechanism a class of the user's own is. Raises TypeError where it does not say."""
    shape = _MECHANISMS.get(getattr(made, "writers", ""))
    if shape is None:
        raise TypeError(f"it needs `writers = ...`, one of {', '.join(map(repr, _MECHANISMS))}")
    return shape


def misfit_over_words(kind: Kind, name: str) -> str:
    """Why an aggregation or a payment rule cannot be used over words, '' where it can.

    An agent gives the word that was drawn a probability; those of all the others are never known.
    """
    rule = find(kind, name)
    if rule.is_linear_mixture if kind == "aggregation" else rule.needs_drawn_alone:
        return ""
    fit = "linear and random_dictator" if kind == "aggregation" else "pay_your_bid and second_price"
    return (
        f"{name} needs the probabilities of all words, which cannot be listed; over words there are {fit} "
        "('alphabet: bytes' has every rule)"
    )


def misfit(payment: str, aggregation: tuple[str, ...], sampling: str, reserve: float) -> str:
    """Why a payment rule fits none of the aggregation rules, '' where it fits one."""
    rule, sampler = find("payment", payment), find("sampling", sampling)
    if any(rule.fits(find("aggregation", name), sampler, reserve) for name in aggregation):
        return ""
    terms = f"with {sampling} sampling" + (f" and a reserve of {reserve:g}" if reserve else "")
    return f"the payment rule {payment} is not defined for {' or '.join(aggregation)} {terms}"
