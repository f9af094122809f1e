"""Around a run: how much is left, where texts begin, what a signal does.

It knows no text and no number of one.
"""
