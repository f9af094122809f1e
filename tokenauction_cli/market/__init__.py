"""A market: many rounds of the auctions of a finished run, among bidders that learn and have budgets.

A round is a look-up: for its query, its seed and the bids that were made the run has the text and every payment. So a
market evaluates no model. `game.py` is what is looked up, made of records by `records.py`; `rounds.py` plays;
`outcomes.py` and `hindsight.py` measure what was played.
"""
