"""Aggregation rules: bids make one distribution q of the agents' p_i.

They know distributions and weights; they do not know how a token is drawn from q, or what it costs.
"""
