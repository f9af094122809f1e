"""Incentives over whole texts, exact on tables and estimated on models: what bids and reports bring.

A text's utility to an agent is its worth less the sum, over its draws, of the expected payment at each prefix.
"""
