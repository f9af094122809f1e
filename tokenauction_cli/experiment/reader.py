"""From the text of a file to the checked parts of an experiment, every mistake reported at once.

The whole file is validated for its form; the parts whose form is right are then checked against each other, so that a
wrong type here does not hide a wrong name there.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from ..mechanism import registry
from ..system.errors import ExperimentError, Problem, UsageError
from ..system.wording import did_you_mean
from .checks.checks import check
from .checks.constraint_checks import check_readable, lay_constraint
from .checks.expectation_checks import FigureNames, check_points
from .checks.matrix_checks import settle_matrix
from .checks.mechanism_checks import check_winners
from .checks.queries import BID, NO_COLUMNS, VALUE, Columns, columns_of, rows_of
from .checks.sweep_checks import check_bids_of_queries
from .checks.text_audit_checks import check_deviations
from .format.agents import MAX_AGENTS, Adapters, AgentSection, Reference, Voice
from .format.auction import MAX_BYTES, MAX_TOKENS, SPACE, AuctionSection, CoveringSection
from .format.audit import Judge, TextAuditSection, Utilities
from .format.draft import Draft
from .format.expect import ExpectationSection
from .format.file_format import UNION_TAGS, ExperimentFile
from .format.judges import TextJudge
from .format.market import MarketSection, MarketValue
from .format.queries import QueryFile
from .format.runtime import Runtime
from .format.sweep import Sweep
from .format.values import Section, shown
from .resolved.market import wanted_of
from .resolved.mechanism_choice import resolved_mechanisms
from .resolved.sweep import SweepPoint, bidding, sweep_points, total_bid_of
from .rows.query_files import read_rows
from .source.located_yaml import KeyPath
from .source.source import Laid, Source, default_ids

MAX_REPORTED = 1_000


class Sections(NamedTuple):
    """The sections of a file whose names are resolved and whose defaults are filled in."""

    name: str
    seed: int
    queries: tuple[str, ...]
    rows: tuple[tuple[str, Columns], ...]  # of the file: a query may be there once for each time
    columns: Mapping[str, Columns]  # of the queries that have some
    has_large_table: bool  # whose rows a run folder has in a file of their own
    agents: tuple[AgentSection, ...]
    reference: Reference | None
    auction: AuctionSection
    sweep: Sweep
    runtime: Runtime
    expect: tuple[ExpectationSection, ...]
    expect_places: tuple[Problem, ...]
    text_audit: TextAuditSection  # filled in also where the file has none
    audits_texts: bool
    market: MarketSection | None
    judges: Mapping[str, TextJudge]
    blends: bool
    trust: tuple[str, ...]


AnySection = TypeVar("AnySection", bound=Section)
AnyJudge = TypeVar("AnyJudge", bound=TextJudge)
AnyVoice = TypeVar("AnyVoice", bound=Voice)


def read_experiment(
    text: bytes,
    file: str,
    overrides: Sequence[str] = (),
    trust: Sequence[str] = (),
    figures: FigureNames | None = None,
    *,
    carried: bytes | None = None,
    laid: Sequence[Laid] = (),
) -> Sections:
    """What `Experiment.of` is made of. Raises ExperimentError with all problems.

    `figures` are those that an expectation may name; without it their names are not looked at. A file that comes from
    a run folder has its rows in it, or they are `carried` along: it opens no other file, and was checked. `laid` are
    the values of a member of a matrix.
    """
    source = Source(text, file, overrides, laid)
    settle_matrix(source, overrides, laid)
    if trust:
        source.trust(trust)
    _limit_agents(source)
    is_large = _lay_queries(source, Path(file).parent, carried)
    if carried is None:
        lay_constraint(source, Path(file).parent)
    whole = _validated_file(source)
    draft = _draft(source)
    check(draft, figures)
    if carried is None:
        check_readable(draft)
    if source.problems or whole is None:
        raise ExperimentError(source.problems)
    sections = _resolved(draft, whole)._replace(has_large_table=is_large)
    bids = {query: columns.bids for query, columns in sections.columns.items()}
    check_bids_of_queries(draft, sections.agents, sections.sweep, bids)
    if source.problems:
        raise ExperimentError(source.problems)
    check_points(draft, _points(draft, sections))
    check_winners(draft, sections.agents, sections.auction, _points(draft, sections))
    check_deviations(draft, sections.agents, sections.auction, sections.sweep, sections.text_audit)
    if source.problems:
        raise ExperimentError(source.problems)
    return sections


def _points(draft: Draft, sections: Sections) -> Iterator[SweepPoint]:
    """The sweep points of every query, those by the agents' own bids once."""
    swept = draft.swept_agent(sections.sweep)
    own: dict[str, float] = {}
    bids = [sections.columns.get(query, NO_COLUMNS).bids for query in sections.queries]
    for of_query in [*([own] if not all(bids) else []), *filter(None, bids)]:
        yield from sweep_points(bidding(sections.agents, of_query), sections.sweep, swept)


def _limit_agents(source: Source) -> None:
    agents = source.get("agents")
    if isinstance(agents, list) and len(agents) > MAX_AGENTS:
        source.problem(("agents",), f"expected at most {MAX_AGENTS} agents, got {len(agents):,}", at_key=True)
        del agents[MAX_AGENTS:]


def _lay_queries(source: Source, folder: Path, carried: bytes | None) -> bool:
    """The rows of a file of queries in its place; whether they are many."""
    named = source.get("queries")
    if not isinstance(named, dict) and not (isinstance(named, str) and named):
        return False
    try:
        chosen = QueryFile.model_validate({"file": named} if isinstance(named, str) else named)
        found = read_rows(chosen, folder, carried)
    except ValidationError as error:
        _report_all(source, error, ("queries",), QueryFile)
        raise ExperimentError(source.problems) from None
    except ExperimentError as error:
        raise ExperimentError([*source.problems, *error.problems]) from None
    except UsageError as error:
        expected = "expected a list, or a file of queries (CSV, .jsonl, .parquet)"
        source.problem(("queries", "file"), f"{expected}, got {shown(chosen.file)}: {error}")
        raise ExperimentError(source.problems) from None
    source.lay_rows("queries", found.file, found.rows, found.lines)
    return found.is_large


def _validated_file(source: Source) -> ExperimentFile | None:
    try:
        return ExperimentFile.model_validate(source.data)
    except ValidationError as error:
        _report_all(source, error)
        return None


def _report_all(
    source: Source, error: ValidationError, at: KeyPath = (), model: type[BaseModel] = ExperimentFile
) -> None:
    """Of a file, or of the section `at` a path that has this model."""
    details = error.errors(include_url=False, include_context=True)
    for detail in details[:MAX_REPORTED]:
        _report(source, detail, at, model)
    if len(details) > MAX_REPORTED:
        source.problem((), f"and {len(details) - MAX_REPORTED:,} mistakes more")


def _report(source: Source, detail: Any, at: KeyPath, model: type[BaseModel]) -> None:
    path, at_key = _path(source.data, (*at, *detail["loc"]))
    found = shown(detail["input"])
    match detail["type"]:
        case "missing" if path[0] == "queries" and not at and path[-1] == "query" and len(detail["input"]) == 1:
            ((key, value),) = detail["input"].items()
            message = (
                f"{key}: {value!s:.60} is a mapping in YAML: put the query in quotes (or the key 'query' is missing)"
            )
            source.problem(path[:-1], message)
        case "missing":
            source.problem(path[:-1], f"the key {path[-1]!r} is missing")
        case "extra_forbidden":
            known = _keys(model, path[len(at) : -1])
            near = _homes(str(path[-1])) if len(path) == 1 else ""
            near = near or _nearest(str(path[-1]), known)
            source.problem(path, f"unknown key {shown(path[-1])}{near}", at_key=True)
        case "model_type" | "dict_type" | "model_attributes_type":
            source.problem(path, f"expected a mapping (key: value), got {found}")
        case "tuple_type" | "list_type":
            source.problem(path, f"expected a list, got {found}")
        case "too_short":
            if not detail["input"]:  # else its entries are wrong, which is reported already
                source.problem(path, f"expected at least one entry, got {found}")
        case "too_long":
            n_found, n_most = len(detail["input"]), detail["ctx"]["max_length"]
            source.problem(path, f"expected at most {n_most:,} entries, got {n_found:,}")
        case _:
            source.problem(path, detail["msg"], at_key)


def _path(data: Any, loc: Sequence[str | int]) -> tuple[KeyPath, bool]:
    """The path of the file that pydantic's location means, and whether it means the key."""
    path: list[str | int] = []
    for step in loc:
        inside = (isinstance(data, dict) and step in data) or (isinstance(data, list) and isinstance(step, int))
        is_of_a_list = isinstance(step, int) and isinstance(data, dict)  # that the file writes as its one entry
        if not inside and (step in UNION_TAGS or step == "[key]" or is_of_a_list or not isinstance(data, (dict, list))):
            continue
        path.append(step)
        data = data[step] if inside else None
    return tuple(path), loc[-1:] == ("[key]",)


def _keys(model: type[BaseModel], path: KeyPath) -> list[str]:
    """The keys that the mapping at the path may have."""
    for step in path:
        if isinstance(step, str):
            annotation = next((f.annotation for k, f in model.model_fields.items() if step in (k, f.alias)), None)
            model = next(_models_in(annotation), model)
    return [field.alias or key for key, field in model.model_fields.items()]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models_in(argument)


def _homes(name: str) -> str:
    """In which section of the file a key stands that was written outside of any."""
    sections: dict[str, type[BaseModel]] = {"auction": AuctionSection, "sweep": Sweep, "runtime": Runtime}
    homes = [f"{section}.{name}" for section, model in sections.items() if name in _keys(model, ())]
    return f"; it is {' or '.join(homes)}" if homes else ""


def _nearest(name: str, known: Sequence[str]) -> str:
    return did_you_mean(name, known) or f"; the keys here are {', '.join(known)}"


def _draft(source: Source) -> Draft:
    entries = source.get("agents")
    models = source.get("models")
    queries = source.get("queries")
    asked = [_query(query) for query in queries if _has_text(query)] if isinstance(queries, list) else []
    trust = source.get("trust")
    expect = source.get("expect")
    return Draft(
        source=source,
        entries=entries if isinstance(entries, list) else [],
        agents=[_section(AgentSection, entry) for entry in entries] if isinstance(entries, list) else [],
        models=models if isinstance(models, dict) else {},
        reference=_section(Reference, source.get("reference")),
        auction=_section(AuctionSection, source.get("auction") or {}),
        sweep=_section(Sweep, source.get("sweep") or {}),
        expect=[_section(ExpectationSection, one) for one in expect] if isinstance(expect, list) else [],
        text_audit=_section(TextAuditSection, source.get("audit", "texts")),
        market=_section(MarketSection, source.get("market")),
        judges={name: judge for name, one in _pairs(source.get("judges")) if (judge := _section(TextJudge, one))},
        queries=[query for query, _ in asked],
        query_rows=[row for _, row in asked],
        trust=[module for module in trust if isinstance(module, str)] if isinstance(trust, list) else [],
    )


def _pairs(section: Any) -> list[tuple[str, Any]]:
    return list(section.items()) if isinstance(section, dict) else []


def _has_text(query: Any) -> bool:
    return isinstance(query.get("query") if isinstance(query, dict) else query, str)


def _query(query: Any) -> tuple[str, dict[str, Any]]:
    """Its text, and what it has beside that."""
    if isinstance(query, str):
        return query, {}
    return query["query"], {key: value for key, value in query.items() if key != "query"}


def _section(model: type[AnySection], data: Any) -> AnySection | None:
    try:
        return model.model_validate(data)
    except ValidationError:
        return None


def _resolved(draft: Draft, whole: ExperimentFile) -> Sections:
    agents = tuple(_resolved_agent(draft, agent, i) for i, agent in enumerate(whole.agents))
    rows = rows_of(draft) or (("", NO_COLUMNS),)
    return Sections(
        name=whole.name,
        seed=whole.seed,
        queries=tuple(dict.fromkeys(query for query, _ in rows)),
        rows=rows,
        columns=columns_of(rows),
        has_large_table=False,
        agents=agents,
        reference=None if whole.reference is None else _resolved_voice(draft, whole.reference),
        auction=_resolved_auction(draft, whole.auction or AuctionSection()),
        sweep=_resolved_sweep(draft, whole.sweep or Sweep(), agents),
        runtime=whole.runtime or Runtime(),
        expect=tuple(_resolved_expectation(draft, one) for one in whole.expect),
        expect_places=tuple(draft.source.place(("expect", i)) for i in range(len(whole.expect))),
        text_audit=_resolved_audit(draft, TextAuditSection() if whole.audit is None else whole.audit.texts, agents),
        audits_texts=whole.audit is not None,
        market=None if whole.market is None else _resolved_market(draft, whole.market),
        judges={name: _with_model(draft, judge) for name, judge in whole.judges.items()},
        blends=whole.blends,
        trust=whole.trust,
    )


def _resolved_auction(draft: Draft, auction: AuctionSection) -> AuctionSection:
    filled: dict[str, Any] = {"sampling": auction.sampling or registry.names("sampling")[0]}
    filled |= {"separator": None if auction.separator == SPACE else auction.separator}
    filled |= resolved_mechanisms(draft, auction)
    if auction.alphabet in (None, "tokens"):
        filled |= {"alphabet": None, "max_tokens": auction.max_tokens or MAX_TOKENS}
    else:
        filled |= {"max_bytes": auction.max_bytes or MAX_BYTES, "covering": auction.covering or CoveringSection()}
    return auction.model_copy(update=filled)


def _resolved_agent(draft: Draft, agent: AgentSection, i: int) -> AgentSection:
    named = {"id": default_ids(draft.entries)[i], "mentions": agent.mentions or (agent.name,)}
    return _resolved_voice(draft, agent).model_copy(update=named)


def _resolved_voice(draft: Draft, voice: AnyVoice) -> AnyVoice:
    """With its model resolved, and one form of its table."""
    filled: dict[str, Any] = {
        "model": None if voice.model is None else draft.model(voice.model),
        "adapter": _resolved_adapters(draft, voice.adapter),
        "distribution": None,
        "distributions": voice.distributions if voice.distribution is None else {"*": voice.distribution},
        "top_k": voice.top_k or None,
        "top_p": None if voice.top_p == 1 else voice.top_p,
        "min_p": voice.min_p or None,
    }
    return voice.model_copy(update=filled)


def _resolved_adapters(draft: Draft, adapters: Adapters | None) -> Adapters | None:
    return adapters and tuple(one.model_copy(update={"file": draft.model(one.file)}) for one in adapters)


def _resolved_sweep(draft: Draft, sweep: Sweep, agents: Sequence[AgentSection]) -> Sweep:
    """The sweep with agents named by id and its defaults filled in."""
    filled: dict[str, Any] = {"agent": agents[draft.swept_agent(sweep)].id}
    if sweep.relative_weight is not None and not any(key.startswith(BID) for row in draft.query_rows for key in row):
        filled["total_bid"] = total_bid_of(agents, sweep)
    if sweep.bids is not None:
        filled["bids"] = tuple(map(draft.by_id, sweep.bids))
    if sweep.grid is not None:
        filled["grid"] = draft.by_id(sweep.grid)
    return sweep.model_copy(update=filled)


def _resolved_expectation(draft: Draft, expectation: ExpectationSection) -> ExpectationSection:
    at = expectation.at
    if at is not None and at.bids is not None:
        at = at.model_copy(update={"bids": draft.by_id(at.bids)})
    share = 1.0 if expectation.text is not None and expectation.share is None else expectation.share
    return expectation.model_copy(update={"at": at, "share": share})


def _resolved_audit(draft: Draft, audit: TextAuditSection, agents: Sequence[AgentSection]) -> TextAuditSection:
    """The audit with agents named by id, models resolved and a value for somebody."""
    value = audit.value or {agent.id: Utilities(mention=agent.bid) for agent in agents if not agent.reference}
    reports, at = audit.reports, audit.at
    if reports is not None:
        named = {key: draft.by_id(getattr(reports, key) or {}) or None for key in ("prompts", "distributions")}
        reports = reports.model_copy(update=named)
    if at is not None and at.bids is not None:
        at = at.model_copy(update={"bids": draft.by_id(at.bids)})
    resolved = {label: _resolved_utilities(draft, utilities) for label, utilities in draft.by_id(value).items()}
    return audit.model_copy(update={"value": resolved, "reports": reports, "at": at})


def _resolved_market(draft: Draft, market: MarketSection) -> MarketSection:
    """The market with agents named by id, also where a column is that of an agent's values."""
    named = {key: draft.by_id(getattr(market, key) or {}) or None for key in ("policies", "budgets")}
    values = {agent: value.model_copy(update=_columns_by_id(draft, value)) for agent, value in market.values.items()}
    return market.model_copy(update=named | {"values": draft.by_id(values)})


def _columns_by_id(draft: Draft, value: MarketValue) -> dict[str, Any]:
    wanted = wanted_of(value)
    if not isinstance(wanted.value, str) or not wanted.value.startswith(VALUE):
        return {}
    ((agent, _),) = draft.by_id({wanted.value.removeprefix(VALUE): None}).items()
    column = f"{VALUE}{agent}"
    return {wanted.kind: {wanted.judge: column} if wanted.judge else column}


def _resolved_utilities(draft: Draft, utilities: Utilities) -> Utilities:
    judge = utilities.judge
    if judge is None:
        return utilities
    if not isinstance(judge, Judge):
        ((name, value),) = judge.items()
        judge = Judge(**dict(draft.judges[name]), value=value)
    return utilities.model_copy(update={"judge": _with_model(draft, judge)})


def _with_model(draft: Draft, judge: AnyJudge) -> AnyJudge:
    """With the references of its model and its adapters."""
    named = {"model": draft.model(judge.model), "adapter": _resolved_adapters(draft, judge.adapter)}
    return judge.model_copy(update=named)
