"""The one place where rules, mechanisms and policies of bidders are found by name.

A name is that of a rule of this package, of the family `power_mean_R` (the power mean of exponent R, as in
`power_mean_2`), of a rule that an installed package adds (`system/installed.py`), or `package.module:Name` for one of
the user's own.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

from ..system.errors import UnknownRuleError
from ..system.installed import Addition, additions
from .aggregation.dictatorship import RandomDictator, WinnerTakeAll
from .aggregation.power_mean import PowerMean
from .aggregation.rules import AggregationRule, Linear, LogLinear
from .alternatives.mechanisms import CandidateMechanism, TokenMechanism, WriterMechanism
from .alternatives.mosaic import Mosaic
from .alternatives.segment import Segment
from .alternatives.text_pool import TextPool
from .alternatives.whole_text import Highest, Lottery
from .payments.clarke import Clarke
from .payments.myerson_tv import MyersonTV
from .payments.rules import PayBidTimesInfluence, PaymentRule, PayYourBid
from .payments.second_price import SecondPrice
from .policies.best_reply import BestReply
from .policies.exp3 import Exp3
from .policies.fixed import Fixed
from .policies.hedge import Hedge
from .policies.multiple import Multiple, Shading, Truthful
from .policies.pacing import Pacing
from .policies.policy import Policy
from .sampling.rules import Greedy, Gumbel, InverseCdf, SamplingRule
from .sampling.stable import Stable

Kind = Literal["aggregation", "payment", "sampling", "mechanism", "policy"]

_RULES: dict[Kind, tuple[Any, ...]] = {
    "aggregation": (Linear, LogLinear, WinnerTakeAll, RandomDictator, PowerMean),
    "sampling": (Stable, InverseCdf, Gumbel, Greedy),
    "payment": (PayYourBid, SecondPrice, Clarke, MyersonTV, PayBidTimesInfluence),
    "mechanism": (TokenMechanism, Mosaic, Segment, Lottery, Highest, TextPool),
    "policy": (Truthful, Fixed, Multiple, Shading, Hedge, Exp3, BestReply, Pacing),
}
_SHAPES: dict[Kind, type] = {
    "aggregation": AggregationRule,
    "sampling": SamplingRule,
    "payment": PaymentRule,
    "policy": Policy,
}
_MECHANISMS: dict[str, type] = {shape.writers: shape for shape in (CandidateMechanism, WriterMechanism)}
_GROUPS: dict[Kind, str] = {
    "aggregation": "tokauction.aggregation",
    "sampling": "tokauction.sampling",
    "payment": "tokauction.payments",
    "mechanism": "tokauction.mechanisms",
    "policy": "tokauction.policies",
}
_FAMILY = "power_mean_"


def names(kind: Kind) -> tuple[str, ...]:
    """The names of the rules of one kind: built-in ones in the order of the documentation, then those of packages.

    >>> names("sampling")[:4]
    ('stable', 'inverse_cdf', 'gumbel', 'greedy')
    """
    return tuple(dict.fromkeys([*(rule.name for rule in _RULES[kind]), *additions(_GROUPS[kind])]))


def is_built_in(kind: Kind, name: str) -> bool:
    """Whether a rule or a family of this package has this name.

    >>> is_built_in("aggregation", "power_mean_2"), is_built_in("payment", "gain:PayBidTimesGain")
    (True, False)
    """
    is_family = kind == "aggregation" and name.startswith(_FAMILY)
    return is_family or any(rule.name == name for rule in _RULES[kind])


def addition(kind: Kind, name: str) -> Addition | None:
    """The rule with this name that an installed package adds, None for any other.

    >>> addition("aggregation", "linear") is None
    True
    """
    return None if is_built_in(kind, name) else additions(_GROUPS[kind]).get(name)


def label(name: str) -> str:
    """The name of a rule or of a payment's column as people say it; that of a user's own rule as it is.

    >>> label("log_linear"), label("second_price")
    ('log-linear', 'second price')
    """
    if is_custom(name):
        return name
    labels = {rule.name: rule.label for kind in _RULES if kind != "sampling" for rule in _RULES[kind]}
    return labels.get(name) or name.replace("_", " ")


def about(kind: Kind, name: str) -> str:
    """What a rule is in one line: the first of its docstring, and which installed package adds it.

    >>> about("payment", "pay_your_bid")
    'The bid, for every token: b_i.'
    """
    said = (inspect.getdoc(type(find(kind, name))) or "").partition("\n\n")[0]
    added = addition(kind, name)
    return " ".join([*said.split(), *([f"({added.origin})"] if added else [])])


def is_custom(name: str) -> bool:
    """Whether a name reaches outside the package, as in `my_rules.pooling:Median`.

    >>> is_custom("my_rules.pooling:Median"), is_custom("linear")
    (True, False)
    """
    return ":" in name


def find(kind: Kind, name: str, settings: Mapping[str, Any] | None = None) -> Any:
    """The rule object with this name, made with its settings, if it takes any. Raises UnknownRuleError.

    `settings` are a mechanism's, as in the experiment file; of a policy the `number` that it takes.

    >>> find("aggregation", "power_mean_2").exponent
    2.0
    >>> find("mechanism", "mosaic", {"tau": 1.0}).tau
    1.0
    """
    if is_custom(name):
        return _made(kind, name, lambda: _of_a_module(name), settings or {})
    for rule in _RULES[kind]:
        if rule.name == name:
            return rule(**(settings or {}))
    if is_built_in(kind, name):
        return _power_mean(name)
    if added := addition(kind, name):
        return _made(kind, name, added.load, settings or {})
    raise UnknownRuleError(f"unknown {words(kind)} {name!r}; is the package that adds it installed here?")


def is_known(kind: Kind, name: str) -> bool:
    """Whether `find` would know a name: a rule of this package, one of a family, or an installed package's.

    >>> is_known("payment", "vcg"), is_known("payment", "vgc")
    (True, False)
    """
    return not is_custom(name) and not why_unknown(kind, name)


def why_unknown(kind: Kind, name: str) -> str:
    """Why `find` knows no such rule, '' where it does.

    >>> why_unknown("payment", "vgc")
    "unknown payment rule 'vgc'; is the package that adds it installed here?"
    """
    try:
        find(kind, name)
    except UnknownRuleError as error:
        return str(error)
    return ""


def is_lottery(sampling: str) -> bool:
    """Whether tokens are drawn by chance; a rule of the user's own, which is not loaded for this, is taken for one.

    >>> is_lottery("gumbel"), is_lottery("greedy")
    (True, False)
    """
    return not is_known("sampling", sampling) or bool(find("sampling", sampling).lottery)


def _power_mean(name: str) -> PowerMean:
    try:
        rule = PowerMean(float(name.removeprefix(_FAMILY)))
    except ValueError:
        raise UnknownRuleError(f"{name!r}: {_FAMILY}R needs a finite number R, as in power_mean_0.25") from None
    rule.name = name
    return rule


def words(kind: Kind) -> str:
    """What messages call one of this kind.

    >>> words("payment"), words("mechanism")
    ('payment rule', 'mechanism')
    """
    return kind if kind in ("mechanism", "policy") else f"{kind} rule"


def _of_a_module(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _made(kind: Kind, name: str, load: Callable[[], Any], settings: Mapping[str, Any]) -> Any:
    """A rule from outside, made with its settings; it gets the defaults of what it leaves out."""
    try:
        made = load()
        shape = _mechanism_like(made) if kind == "mechanism" else _SHAPES[kind]
        if isinstance(made, type) and not issubclass(made, shape):
            made = type(made.__name__, (made, shape), {"__module__": made.__module__})
        rule = made(**settings)
    except (ImportError, AttributeError, TypeError) as error:
        raise UnknownRuleError(f"{words(kind)} {name!r} cannot be loaded: {error}") from error
    rule.name = name
    return rule


def _mechanism_like(made: Any) -> type:
    """Which of the two kinds of mechanism a class from outside is. Raises TypeError where it does not say."""
    shape = _MECHANISMS.get(getattr(made, "writers", ""))
    if shape is None:
        raise TypeError(f"it needs `writers = ...`, one of {', '.join(map(repr, _MECHANISMS))}")
    return shape


def misfit_over_words(kind: Kind, name: str) -> str:
    """Why an aggregation or a payment rule cannot be used over words, '' where it can.

    An agent gives the word that was drawn a probability; those of all the others are never known.

    >>> misfit_over_words("payment", "second_price")
    ''
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
    """Why a payment rule fits none of the aggregation rules, '' where it fits one.

    >>> misfit("second_price", ("log_linear",), "stable", 0.0)
    'the payment rule second_price is not defined for log_linear with stable sampling'
    """
    rule, sampler = find("payment", payment), find("sampling", sampling)
    if any(rule.fits(find("aggregation", name), sampler, reserve) for name in aggregation):
        return ""
    terms = f"with {sampling} sampling" + (f" and a reserve of {reserve:g}" if reserve else "")
    return f"the payment rule {payment} is not defined for {' or '.join(aggregation)} {terms}"
