"""An experiment and its models become records.

It knows plans, the token loop and the auctioneer, live auctions and recomputing; it does not know YAML,
tables or pages.
"""
