"""What can be known of a form before a text is written: whether it can end in time, and whether agents can begin it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ...experiment.experiment import Agent, Experiment
from ...lm.base import Vocabulary, spelled
from ...lm.bytes.byte_model import ByteVocabulary
from ...lm.forms.constraint import Constraint
from ...lm.forms.form import Form
from ...lm.forms.shortest import fewest_tokens, is_too_long, shortest
from ...lm.table import ANY_TEXT, END, TableVocabulary
from ...system.errors import CellError, UsageError
from ..models.bidder_models import BidderModels, TableBidders

MOST_BYTES = 2_000  # of a text that is searched for


@dataclass(frozen=True)
class FormFacts:
    """A short text of the form and how many draws it takes, its end included; None where the search found none.

    The text may end within the limit of the experiment, or not: then it is not known whether another one does.
    """

    constraint: Constraint
    text: str | None
    n_draws: int | None


def form_facts(experiment: Experiment, bidders: BidderModels) -> FormFacts | None:
    """None where there is no form. Raises UsageError where no text can end in time, or an agent cannot begin."""
    constraint = experiment.auction.constraint
    if constraint is None:
        return None
    with _vocabulary(experiment, bidders) as vocabulary:
        if vocabulary is None:
            return FormFacts(constraint, None, None)
        pieces = [vocabulary.piece(token) for token in range(vocabulary.size)]
    small = vocabulary if isinstance(vocabulary, (ByteVocabulary, TableVocabulary)) else ByteVocabulary()
    form = Form(constraint, small)
    _check_length(experiment, constraint, pieces)
    _check_beginnings(experiment, form, pieces)
    found = shortest(form, MOST_BYTES)
    if found is None:
        return FormFacts(constraint, None, None)
    text = spelled(small, found)
    n_tokens = len(found) if small is vocabulary else fewest_tokens(text, pieces)
    return FormFacts(constraint, text.decode("utf-8", "replace"), None if n_tokens is None else n_tokens + 1)


@contextmanager
def _vocabulary(experiment: Experiment, bidders: BidderModels) -> Iterator[Vocabulary | None]:
    """That over which texts are drawn; None where it is known only with the models loaded."""
    if experiment.auction.alphabet != "tokens":
        yield ByteVocabulary()
    elif isinstance(bidders, TableBidders):
        yield bidders.vocabulary
    elif bidders.files is not None:
        from ...lm.llama.gguf import open_vocabulary

        with open_vocabulary(bidders.files.models[0].path) as vocabulary:
            yield vocabulary
    else:
        yield None


def _check_length(experiment: Experiment, constraint: Constraint, pieces: Sequence[bytes]) -> None:
    """Where every text has more characters than the draws before the end can write."""
    auction = experiment.auction
    most = (auction.max_draws - 1) * max(map(len, pieces))
    if is_too_long(constraint, ByteVocabulary(), most):
        raise UsageError(
            f"{experiment.path}: no text of auction.constraint can end: each has more than {most:,} characters, which "
            f"is all that auction.{auction.limit} ({auction.max_draws}, the end included) has room for; raise it, or "
            "shorten the form"
        )


def _check_beginnings(experiment: Experiment, form: Form, pieces: Sequence[bytes]) -> None:
    """Where a table gives nothing to what may stand at the beginning; a model gives something to every token."""
    vocabulary = form.vocabulary
    try:
        allowed = form.allowed(())
    except CellError as error:
        raise UsageError(f"{experiment.path}: no text can have the form of auction.constraint: {error}") from error
    may_begin = {vocabulary.piece(token) for token in range(vocabulary.size) if allowed[token]}
    for agent in experiment.agents:
        said = _first_pieces(agent, pieces)
        if isinstance(vocabulary, ByteVocabulary):
            said = {piece[:1] for piece in said}
        if not said & may_begin:
            raise UsageError(
                f"{experiment.path}: agent {agent.name!r} cannot begin: the form allows {len(may_begin):,} tokens or "
                f"bytes at the beginning of a text, and the agent gives a probability to none of them, but to "
                f"{len(said):,} others; change auction.constraint, or what the agent says first"
            )


def _first_pieces(agent: Agent, pieces: Sequence[bytes]) -> set[bytes]:
    """What an agent may say first; an end says nothing."""
    if agent.distributions is None:
        return set(pieces)
    row = agent.distributions.get("", agent.distributions.get(ANY_TEXT, {}))
    return {b"" if token == END else token.encode() for token, p in row.items() if p > 0}
