"""Every agent writes a text of its own; bids choose whose is taken.

    mechanism  whose text                          it pays                                     in the mean
    lottery    agent i's with probability b_i / B  S w / (1 - w), w = u b_i / B, u uniform     H(b_i, S)
    highest    that of the highest bid             the second highest bid                      the same

with S = B - b_i and H(b, S) = S ln(1 + b / S) - b S / (S + b), as in `payments/second_price.py`. (d) i wins at the bid
z with probability z / (S + z), and S w / (1 - w) has the distribution of the bid at which it began to. So a fixed value
v of writing is best bid as v, whatever others bid; H is the integral of z d(z / (S + z)) up to b_i.

The lottery is the token auction by `linear` that looks at the text as a whole: its texts have the distribution of
tokens drawn one by one from the p_i(. | x) with the weights b_i p_i(x) of the text x so far (d).

One number of the seed decides who writes at all bids; whoever wins goes on winning as its bid rises. Of equal highest
bids the first listed is taken, and pays its bid. With a reserve bids below it count as 0, and who writes pays at least
the reserve, alone as well: truth stays best.
"""

from __future__ import annotations

import numpy as np

from ..payments.second_price import lottery_price, runner_up, unit_prices
from ..sampling.randomness import DrawKey, Purpose
from ..sampling.rules import drawn_agent
from ..terms import Bidding
from .mechanisms import Expected, Settled, WriterMechanism, due, paid_by


class Lottery(WriterMechanism):
    """One agent writes the whole text, drawn by bid.

    `lottery_expected` is what everybody pays in the mean.

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> mean = Lottery().expected(salon(bids=(1, 3)).bidding)
    >>> mean.chances.tolist(), mean.payments.round(4).tolist()
    ([0.25, 0.75], [0.113, 0.6363])
    """

    name = "lottery"
    truthful_for = frozenset({"writing"})
    takes_reserve = True

    @property
    def payments(self) -> tuple[str, ...]:
        return (self.name, f"{self.name}_expected")

    def expected(self, bidding: Bidding) -> Expected:
        return Expected(bidding.weights, unit_prices(bidding))

    def settle(self, bidding: Bidding, draw_key: DrawKey) -> Settled:
        writer = drawn_agent(bidding.weights, draw_key.uniform(Purpose.LOTTERY))
        paid = paid_by(bidding, writer, lottery_price(bidding, draw_key, writer))
        amounts = dict(zip(self.payments, (paid, unit_prices(bidding)), strict=True))
        return Settled(writer, amounts, {"welfare": float(bidding.bids[writer])})


class Highest(WriterMechanism):
    """The highest bidder writes, and pays the next bid.

    Vickrey's auction of one text. Nothing is random.

    Source: W. Vickrey, "Counterspeculation, auctions, and competitive sealed tenders" (1961).

    >>> from tokenauction_cli.mechanism.testing import salon
    >>> mean = Highest().expected(salon(bids=(1, 3)).bidding)
    >>> mean.chances.tolist(), mean.payments.tolist()
    ([0.0, 1.0], [0.0, 1.0])
    """

    name = "highest"
    label = "highest bid"
    truthful_for = frozenset({"writing"})
    takes_reserve = True

    def expected(self, bidding: Bidding) -> Expected:
        writer = _highest(bidding)
        chances = np.zeros(len(bidding.bids))
        chances[writer] = 1.0
        return Expected(chances, due(bidding, chances * runner_up(bidding, writer)))

    def settle(self, bidding: Bidding, draw_key: DrawKey) -> Settled:
        writer = _highest(bidding)
        return Settled(writer, {self.name: self.expected(bidding).payments}, {"welfare": float(bidding.bids[writer])})


def _highest(bidding: Bidding) -> int:
    """The agent with the highest bid, of equal ones the first listed."""
    return int(np.argmax(bidding.bids))
