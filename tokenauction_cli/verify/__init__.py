"""Computing again, and comparing with what was recorded.

It knows records and digests, not how a table of them looks.
"""
