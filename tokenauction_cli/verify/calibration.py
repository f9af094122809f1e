"""What the knobs of a covering cost and lose: a row of figures for each of several, along the same texts.

The texts are those of an experiment, drawn with its own knobs. q along them is compared with that of knobs a hundred
times finer than the experiment's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from ..engine.models.bidder_models import BidderModels
from ..engine.models.prepare import prepare
from ..engine.plan import cells_of
from ..engine.rules import Rules
from ..engine.run import plan_of_cells
from ..engine.writing import writing
from ..experiment.experiment import Experiment
from ..experiment.resolved.mechanism_choice import TokenAuction
from ..lm.bytes.byte_model import ByteModel
from ..lm.bytes.covering import Knobs
from ..mechanism.distributions import Array
from ..runs.run_folder import Record
from ..system.errors import UsageError
from .closeness import Distances, Laws, complete, finer

GRID = ((0.01, 0.2), (0.01, 0.05), (0.001, 0.05), (0.001, 0.02), (0.0003, 0.01), (0.0001, 0.005))


@dataclass(frozen=True)
class Calibrated:
    """One covering along the texts; distances are TV of q at one byte, but for `distance_per_text`."""

    open: float
    merge: float
    texts: int
    draws: int
    evaluations_per_byte: float  # and agent
    mean_distance: float
    distance_99: float
    largest_distance: float
    distance_per_text: float
    unfollowed_per_text: float  # of the agent with most of it


def calibrate(experiment: Experiment) -> Iterator[Calibrated]:
    """A row for the experiment's own knobs, and for each of the grid. Raises UsageError for auctions of tokens."""
    if experiment.auction.alphabet != "bytes":
        raise UsageError(f"{experiment.path}: only an auction over bytes has a covering; set auction.alphabet: bytes")
    cells = [cell for cell in cells_of(experiment) if isinstance(cell.mechanism, TokenAuction)]
    if not cells:
        raise UsageError(f"{experiment.path}: a covering is judged by the token auction; add it to auction.mechanism")
    bidders = prepare(experiment, probe=True)
    plan = plan_of_cells(cells, bidders)
    laws = Laws(experiment, bidders.prompt_sets)
    with writing(experiment, Rules.of(experiment), bidders, plan.slots) as loaded:
        model = loaded.model
        assert isinstance(model, ByteModel)
        records = _drawn(experiment, list(chain.from_iterable(loaded.texts(plan).steps())))
        reference = laws.along(records, model.following(finer(model.knobs)))
        for knobs in sorted({model.knobs, *(Knobs(*pair) for pair in GRID)}, reverse=True):
            yield _row(model.following(knobs), bidders, laws, records, reference)


def _drawn(experiment: Experiment, records: Sequence[Record]) -> list[Record]:
    """The records along which q can be compared; raises UsageError where no text has a draw."""
    drawn = complete(records)
    if not drawn:
        why = next((record["error"] for record in records if "error" in record), "no byte was drawn")
        raise UsageError(f"{experiment.path}: a covering is judged along texts, and none was written; the first: {why}")
    return drawn


def _row(
    model: ByteModel, bidders: BidderModels, laws: Laws, records: Sequence[Record], reference: Sequence[Array]
) -> Calibrated:
    distances = Distances.between(laws.along(records, model), reference)
    return Calibrated(
        open=model.knobs.open,
        merge=model.knobs.merge,
        texts=len(records),
        draws=len(distances.each),
        evaluations_per_byte=model.n_evaluations / _asked(bidders, records),
        mean_distance=distances.mean,
        distance_99=distances.quantile(0.99),
        largest_distance=distances.largest,
        distance_per_text=distances.per_text,
        unfollowed_per_text=float(_unfollowed(model, bidders, records).max()),
    )


def _asked(bidders: BidderModels, records: Sequence[Record]) -> int:
    """How many (prompt, text) the auctions asked about, the prompts alone not counted."""
    return len(
        {
            (prompt, tuple(record["token_ids"][:n]))
            for record in records
            for n in range(1, record["tokens"])
            for prompt in bidders.prompt_sets[record["query"]].prompts
        }
    )


def _unfollowed(model: ByteModel, bidders: BidderModels, records: Sequence[Record]) -> Array:
    """What was left out of a text, in the mean, by agent."""
    asked = [(bidders.prompt_sets[record["query"]], tuple(record["token_ids"][:-1])) for record in records]
    shares = [[model.unfollowed(one.prompts[k], text) for k in one.prompt_of_agent] for one, text in asked]
    return np.asarray(np.mean(shares, axis=0))
