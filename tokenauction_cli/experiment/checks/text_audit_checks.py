"""Mistakes in `audit.texts`: values that nobody can have, reports that nobody can make, bids of nobody."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from ...mechanism import registry
from ...system.wording import did_you_mean
from ..format.agents import AgentSection
from ..format.auction import TOKEN_AUCTION, AuctionSection
from ..format.audit import Judge, KeptBids, Reports, TextAuditSection, Utilities
from ..format.draft import Draft, PlacedTemplate
from ..format.sweep import Sweep
from ..format.values import shown
from ..resolved.sweep import total_bid_of
from ..resolved.text_audit import USER, TextAudit
from ..source.located_yaml import KeyPath
from .sweep_checks import MAX_CELLS, check_labels

TEXTS: KeyPath = ("audit", "texts")
BEYOND = 64  # times the value and the others' bids: the best bid is looked for so far
HONEST_ANYHOW = "it pays nothing and does not deviate"


def check_text_audit(draft: Draft) -> None:
    """Report the mistakes of the audit of whole texts; those of its models and templates are found with the agents'."""
    audit = draft.text_audit
    if audit is None:
        return
    _check_premises(draft)
    if audit.value is not None:
        _check_values(draft, audit.value)
    if audit.bids != "auto" and not any(audit.bids):
        draft.source.problem((*TEXTS, "bids"), "all bids to try are zero; expected some above 0, or auto")
    if audit.at is not None:
        _check_at(draft, audit.at)
    if audit.reports is not None:
        _check_reports(draft, audit, audit.reports)


def why_not_audited(alphabet: str, sampling: str, payments: Sequence[str], mechanisms: Sequence[str] = ()) -> str:
    """Why whole texts of such an auction cannot be audited, '' where they can; of a rule of one's own it is not known.

    What is audited is a text's value minus the expected payments: of payment rules at its prefixes, or of `mechanisms`
    that charge by themselves.
    """
    if not payments and not mechanisms:
        return "an audit of whole texts needs a payment rule; list one in auction.payments"
    if alphabet == "words":
        return "over words there are no expected payments, which an audit of whole texts needs; 'alphabet: bytes' has"
    if payments and not registry.is_lottery(sampling):
        return f"with {sampling} sampling there are no expected payments, which an audit of whole texts needs"
    return ""


def _check_premises(draft: Draft) -> None:
    auction = draft.auction
    if auction is None:
        return
    sampling = auction.sampling or registry.names("sampling")[0]
    payments = auction.payments if auction.auctions_tokens else ()
    others = [name for name in auction.mechanisms if name != TOKEN_AUCTION]
    why = why_not_audited(auction.alphabet or "tokens", sampling, payments, others)
    if why:
        draft.source.problem(TEXTS, why, at_key=True)


def _check_values(draft: Draft, value: dict[str, Utilities]) -> None:
    check_labels(draft, (*TEXTS, "value"), list(value), HONEST_ANYHOW)
    for label, utilities in value.items():
        path: KeyPath = (*TEXTS, "value", label)
        if not utilities.model_dump(exclude_none=True):
            draft.source.problem(path, f"expected one of {', '.join(Utilities.model_fields)}")
        if utilities.log_ratio is not None and draft.source.get("reference") is None:
            message = "log_ratio needs the key 'reference' at the top of the file: the model that gives l_0"
            draft.source.problem((*path, "log_ratio"), message, at_key=True)
        if isinstance(utilities.judge, dict) and (name := next(iter(utilities.judge))) not in draft.judges:
            near = did_you_mean(name, list(draft.judges)) or "; `judges` at the top of the file has the judges"
            draft.source.problem((*path, "judge", name), f"there is no judge {shown(name)}{near}", at_key=True)


def judges(draft: Draft) -> Iterator[tuple[KeyPath, str, Judge]]:
    """Where each judge of an agent's own stands, by the name or id of whose texts it judges."""
    value = None if draft.text_audit is None else draft.text_audit.value
    for label, utilities in (value or {}).items():
        if isinstance(utilities.judge, Judge):
            yield (*TEXTS, "value", label, "judge"), label, utilities.judge


def audit_templates(draft: Draft) -> Iterator[PlacedTemplate]:
    """The questions to judges, and the prompts of misreports."""
    for path, label, judge in judges(draft):
        yield PlacedTemplate((*path, "prompt"), judge.prompt, draft.name(label), is_question=True)
    reports = None if draft.text_audit is None else draft.text_audit.reports
    for label, prompts in ((reports and reports.prompts) or {}).items():
        for k, prompt in enumerate(prompts):
            yield PlacedTemplate((*TEXTS, "reports", "prompts", label, k), prompt, draft.name(label))


def audit_tables(draft: Draft) -> Iterator[tuple[KeyPath, Mapping[str, Mapping[str, float]]]]:
    """The tables of misreports."""
    reports = None if draft.text_audit is None else draft.text_audit.reports
    for label, tables in ((reports and reports.distributions) or {}).items():
        yield from (((*TEXTS, "reports", "distributions", label, k), rows) for k, rows in enumerate(tables))


def _check_at(draft: Draft, at: KeptBids) -> None:
    if at.bids is None:
        return
    if at.relative_weight is not None:
        message = "expected one of relative_weight and bids, got both"
        draft.source.problem((*TEXTS, "at", "bids"), message, at_key=True)
    check_labels(draft, (*TEXTS, "at", "bids"), list(at.bids), "its bid stays fixed")


def _check_reports(draft: Draft, audit: TextAuditSection, reports: Reports) -> None:
    path: KeyPath = (*TEXTS, "reports")
    names = [f"{temperature:g}" for temperature in reports.temperature or ()]
    for k, name in enumerate(names):
        if name in names[:k]:
            draft.source.problem((*path, "temperature", k), f"the temperature {name} is here twice")
    for key in ("prompts", "distributions"):
        labels = list(getattr(reports, key) or ())
        if not check_labels(draft, (*path, key), labels, HONEST_ANYHOW):
            continue
        for label in labels:
            why = _no_report(draft, audit, key, draft.require_agent(label))
            if why:
                draft.source.problem((*path, key, label), why, at_key=True)


def _no_report(draft: Draft, audit: TextAuditSection, key: str, index: int) -> str:
    """Why this agent cannot make such reports, '' where it can, or where its own mistakes are reported already."""
    agent = draft.agents[index]
    if agent is None:
        return ""
    name, is_table = shown(agent.name), agent.model is None
    if audit.value is not None and index not in map(draft.agent, audit.value):
        return f"{name} has no value in audit.texts.value, so nothing is tried for it"
    if key == "distributions":
        return "" if is_table else f"{name} has a model and no table; use prompts"
    if is_table:
        return f"{name} is a table and has no prompt; use distributions"
    silent = agent.messages is not None and USER not in [message.role for message in agent.messages]
    return f"no message of {name} is its user's, whose last one a prompt would replace" if silent else ""


def check_deviations(
    draft: Draft, agents: Sequence[AgentSection], auction: AuctionSection, sweep: Sweep, section: TextAuditSection
) -> None:
    """Report deviations that are no auction, and more than can be run; of sections whose names are resolved."""
    if draft.text_audit is None:
        return
    swept = draft.swept_agent(sweep)
    others = [agent.bid for i, agent in enumerate(agents) if i != swept and not agent.reference]
    weight = None if section.at is None else section.at.relative_weight
    if weight is not None and weight < 1 and not sum(others):
        message = f"the bids of all agents but {shown(agents[swept].name)} are zero: they cannot share the rest"
        draft.source.problem((*TEXTS, "at", "relative_weight"), message, at_key=True)
        return
    audit = TextAudit.honest(section, agents, swept, total_bid_of(agents, sweep))
    if not any(utility.value for utilities in audit.utilities.values() for utility in utilities):
        path = (*TEXTS, "value") if draft.text_audit.value is not None else TEXTS
        draft.source.problem(path, "all values are zero: no text is worth anything to anybody", at_key=True)
        return
    for i in audit.utilities:
        _check_deviations_of(draft, agents[i], i, audit, auction.max_bytes or auction.max_tokens or 1)
    _check_size(draft, agents, auction, section, audit)


def _check_deviations_of(draft: Draft, agent: AgentSection, i: int, audit: TextAudit, n_draws: int) -> None:
    """Where this agent bids 0, somebody else bids; and what a text of so many draws costs is not infinite."""
    others = sum(bid for j, bid in enumerate(audit.at) if j != i)
    bids = _bids(audit, i)
    path = (*TEXTS, "at") if draft.text_audit is not None and draft.text_audit.at is not None else TEXTS
    if not others and 0 in bids:
        message = f"where {shown(agent.name)} bids 0 all bids are zero: no distribution can be made of them"
        draft.source.problem(path, f"{message}; let another agent bid, or list 'bids' above 0", at_key=True)
    elif math.isinf((others + max(bids)) * BEYOND * n_draws):
        message = f"the bids are too large where {shown(agent.name)} bids {max(bids):g}: a text would cost more than "
        message += "a number can be; use smaller ones"
        draft.source.problem(path, message, at_key=True)


def _bids(audit: TextAudit, i: int) -> set[float]:
    """Every bid that is tried for an agent, for whichever of its utilities."""
    return {bid for utility in audit.utilities[i] for bid in audit.grid(utility.value)}


def _check_size(
    draft: Draft, agents: Sequence[AgentSection], auction: AuctionSection, section: TextAuditSection, audit: TextAudit
) -> None:
    reports = [1 + _n_misreports(section.reports, agent.id) for agent in agents]
    n_deviations = sum(len(_bids(audit, i)) * reports[i] for i in audit.utilities)
    n_queries, n_rules = draft.n_queries, auction.n_kinds
    n_cells = n_queries * n_rules * n_deviations * audit.seeds
    if n_cells > MAX_CELLS:
        factors = f"{n_queries:,} queries x {n_rules} rules x {n_deviations:,} deviations x {audit.seeds:,} seeds"
        message = f"expected at most {MAX_CELLS:,} texts, got {n_cells:,} ({factors})"
        draft.source.problem((*TEXTS, "seeds"), message, at_key=True)


def _n_misreports(reports: Reports | None, agent: str) -> int:
    if reports is None:
        return 0
    by_agent = (reports.prompts or {}, reports.distributions or {})
    return len(reports.temperature or ()) + sum(len(tried.get(agent, ())) for tried in by_agent)
