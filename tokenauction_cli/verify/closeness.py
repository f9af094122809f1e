"""How close an auction over bytes is to one that follows more spellings: q before every draw of some texts, twice.

The texts were drawn with one covering; two coverings are asked for q along them. By the chain rule

    TV(law of the text, law of the text with the other covering) <= E[sum over the text of TV(q, q of the other)]

where the text is drawn from either, so the sum of a text, in the mean, is what a whole text may be off by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from ..engine.loop.text_state import FAILED, bids_before
from ..engine.loop.token_loop import PromptSet
from ..engine.rules import Rules, terms_of
from ..experiment.experiment import Experiment
from ..lm.base import Logits, Request
from ..lm.bytes.byte_model import ByteModel
from ..lm.bytes.covering import Knobs
from ..mechanism.distributions import Array, Profile
from ..mechanism.outcome import Outcome
from ..runs.run_folder import Record
from ..system.errors import CellError

FINER = 0.01  # times the knobs: what a covering is compared with


@dataclass(frozen=True)
class Distances:
    """TV of q before every draw of each text."""

    of_texts: Sequence[Array]

    @property
    def each(self) -> Array:
        return np.concatenate(self.of_texts)

    @property
    def mean(self) -> float:
        return float(self.each.mean())

    @property
    def largest(self) -> float:
        return float(self.each.max())

    def quantile(self, share: float) -> float:
        return float(np.quantile(self.each, share))

    @property
    def per_text(self) -> float:
        """The sum over a text, in the mean."""
        return float(np.mean([text.sum() for text in self.of_texts]))

    @classmethod
    def between(cls, some: Sequence[Array], others: Sequence[Array]) -> Distances:
        return cls([np.abs(q - other).sum(axis=1) / 2 for q, other in zip(some, others, strict=True)])


def finer(knobs: Knobs) -> Knobs:
    """All of them at a hundredth: also that which says when pending spellings return."""
    return Knobs(*(FINER * share for share in knobs))


def complete(records: Sequence[Record]) -> list[Record]:
    """The records of texts that did not fail, and along which something was drawn."""
    return [record for record in records if record["end_reason"] != FAILED and record["tokens"]]


class Laws:
    """The q of an experiment's auctions over bytes, along texts that were written."""

    def __init__(self, experiment: Experiment, prompt_sets: Mapping[str, PromptSet]) -> None:
        self._experiment = experiment
        self._prompt_sets = prompt_sets
        self._rules = Rules.of(experiment).aggregation
        self._terms = terms_of(experiment)

    def along(self, records: Sequence[Record], model: ByteModel) -> list[Array]:
        """q before every draw of each text, (draws, 257): as many texts together as the model has slots."""
        slots = model.slots
        return list(
            chain.from_iterable(self._together(records[k : k + slots], model) for k in range(0, len(records), slots))
        )

    def _together(self, records: Sequence[Record], model: ByteModel) -> list[Array]:
        found: list[list[Array]] = [[] for _ in records]
        for n in range(max(record["tokens"] for record in records)):
            alive = [k for k, record in enumerate(records) if n < record["tokens"]]
            requests = [self._request(records[k], n, slot) for slot, k in enumerate(alive)]
            for k, answer in zip(alive, model.evaluate(requests), strict=True):
                if isinstance(answer, CellError):
                    raise answer
                found[k].append(self._q(records[k], n, answer))
        return [np.array(of_text) for of_text in found]

    def _request(self, record: Record, n: int, slot: int) -> Request:
        return Request(slot, self._prompt_sets[record["query"]].prompts, tuple(record["token_ids"][:n]))

    def _q(self, record: Record, n: int, log_p: Sequence[Logits]) -> Array:
        rows = [log_p[k] for k in self._prompt_sets[record["query"]].prompt_of_agent]
        profile = Profile(log_p=np.array(rows))
        bids = tuple(bids_before(self._experiment, record, n).tolist())
        return Outcome(self._rules[record["aggregation"]], profile, bids, self._terms).q.p.copy()
