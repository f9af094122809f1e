"""A stand-in for a model: it sleeps before every token, so that many of them fit on few processors."""

from __future__ import annotations

import time

from tokenauction_cli.mechanism.outcome import Outcome
from tokenauction_cli.mechanism.sampling.randomness import DrawKey
from tokenauction_cli.mechanism.sampling.rules import Draw, InverseCdf

SECONDS = 0.01


class Asleep(InverseCdf):
    """Inverse CDF sampling, after a while."""

    def draw(self, outcome: Outcome, draw_key: DrawKey) -> Draw:
        time.sleep(SECONDS)
        return super().draw(outcome, draw_key)
