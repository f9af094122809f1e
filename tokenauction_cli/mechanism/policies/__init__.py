"""How bidders choose their bids, round by round, in a market of repeated auctions.

`policy.py` has the protocol. Every other file is one policy, or one family of them.
"""
