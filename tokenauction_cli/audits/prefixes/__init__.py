"""What bidders gain at the prefixes that a run met.

The mechanism's audits do the mathematics; this room finds the prefixes and their distributions.
"""
