"""Incentives over whole texts: what bids and reports bring where an agent values a text, not a token.

A text's utility to an agent is its worth less the sum, over its draws, of the expected payment at each prefix.
"""
