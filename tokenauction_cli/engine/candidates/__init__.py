"""Mechanisms that settle on finished texts: their candidates, and who wins.

Candidates are written by the loop; settling evaluates nothing.
"""
