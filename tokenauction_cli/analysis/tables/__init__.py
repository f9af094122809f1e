"""Frames become tables, for people and for papers.

It orders, rounds and names; it estimates nothing.
"""
