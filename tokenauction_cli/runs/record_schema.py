"""What a record must be like, wherever it comes from: a run folder of a stranger, a worker.

`checked` gives back a record that is right as it is, with its columns in their order. It does not know of which
experiment the record is: whether it says of its cell what the cell is, `RunFolder.expecting` asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..experiment.format.values import shown

Record = dict[str, Any]
MOST_COLUMNS = 4_096  # 64 agents have 30 columns each, and some more
FAILED = "failed"
TEXTS = ("cell", "query", "mechanism", "aggregation", "sampling", "text", "end_reason", "error", "model", "question")

Count = Annotated[int, Field(ge=0, lt=2**63)]
Number = float | None
Row = list[Number]
Text = Annotated[str, Field(max_length=2**26)]


class RecordError(ValueError):
    """What is wrong with a record, and at which column."""


class _Columns(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", protected_namespaces=())


class _Candidates(_Columns):
    """Of one draw: what else could have been drawn."""

    tokens: list[str]
    log_p: list[Row]
    log_q: Row


class _Trace(_Columns):
    """See `engine/loop/trace.py`: a row per agent, an entry per draw."""

    pieces: list[str]
    log_p: list[Row]
    log_q: Row
    posterior: list[Row]
    payments: dict[str, list[Row]]
    switch: Row | None = None
    dictator: list[Count | None] | None = None
    candidates: list[_Candidates] | None = None


class _OfACell(_Columns):
    """A text, of a run, an audit or among candidates; all columns without a name here are numbers."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Number]

    cell: Annotated[str, Field(min_length=1, max_length=64)]
    query: Text
    mechanism: Annotated[str, Field(min_length=1)] = "-"
    aggregation: str
    point: Count
    relative_weight: Number
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)]
    sampling: str
    text: Text
    tokens: Count
    bytes: Count = 0
    end_reason: Literal["end", "stop", "length", "budget", "unsold", "segments", "failed"]
    candidate: Count = 0
    error: str = ""
    token_ids: list[Count]
    trace: _Trace | None = None


class _OfAJudge(_Columns):
    """What a judge said of one question."""

    model: str
    question: str
    score: Annotated[float, Field(ge=0, le=1)]


class _OfAJudgedText(_Columns):
    """What a judge of the file said of one text."""

    asked: str
    judge: str
    score: Annotated[float, Field(ge=0, le=1)]


_KINDS: Mapping[str, type[_Columns]] = {"cell": _OfACell, "question": _OfAJudge, "asked": _OfAJudgedText}


def checked(record: Any, key: str = "cell") -> Record:
    """The record itself, whatever was given; `key` names it: of a `cell`, the `question` of a judge, or what it
    was `asked` about a text.

    Raises RecordError.
    """
    if isinstance(record, dict) and len(record) > MOST_COLUMNS:
        raise RecordError(f"{len(record):,} columns; a record may have {MOST_COLUMNS:,}")
    try:
        found = _KINDS[key].model_validate(record)
    except ValidationError as error:
        raise RecordError(in_words(error)) from None
    if isinstance(found, _OfACell):
        _check_text(found)
    valid: Record = record
    return valid


def in_words(error: ValidationError) -> str:
    """The first mistake: where it is, what is there, what is expected."""
    first, *more = error.errors(include_url=False, include_context=False)
    place = ".".join(str(step) for step in first["loc"])
    also = f" (and {len(more)} mistakes more)" if len(more) > 1 else " (and another mistake)" if more else ""
    if first["type"] == "missing":
        return f"{place} is missing{also}"
    expected = first["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return f"{place or 'the whole'} is {shown(first['input'])}, expected {expected}{also}"


def _check_text(found: _OfACell) -> None:
    """What is asked of several columns together."""
    if found.end_reason == FAILED and "error" not in found.model_fields_set:
        raise RecordError("error is missing, which says why the text failed")
    texts = (found.query, found.text, found.error, *(found.trace.pieces if found.trace else ()))
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        raise RecordError("a text holds half a character (a lone surrogate)") from None
    if found.trace is not None:
        _check_trace(found.trace)


def _check_trace(trace: _Trace) -> None:
    """Every list has an entry per draw, and as many rows as there are agents."""
    n_draws, n_agents = len(trace.pieces), len(trace.log_p)
    by_agent = {"log_p": trace.log_p, "posterior": trace.posterior} | {
        f"payments.{column}": rows for column, rows in trace.payments.items()
    }
    for name, rows in by_agent.items():
        if len(rows) != n_agents or any(len(row) != n_draws for row in rows):
            raise RecordError(f"trace.{name} has not one row per agent with {n_draws} entries")
    per_draw = {name: getattr(trace, name) for name in ("log_q", "switch", "dictator", "candidates")}
    for name, values in per_draw.items():
        if values is not None and len(values) != n_draws:
            raise RecordError(f"trace.{name} has {len(values)} entries for {n_draws} draws")
    for number, one in enumerate(trace.candidates or ()):
        if len(one.log_p) != n_agents or any(len(row) != len(one.tokens) for row in (*one.log_p, one.log_q)):
            raise RecordError(f"trace.candidates.{number} has not one entry per token")
