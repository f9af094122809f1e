"""Incentives: what bids and false reports gain, at a prefix and over whole texts.

It knows how texts are written and settled, not how findings are shown.
"""
