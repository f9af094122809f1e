"""The passes over the tokens in C, their build and their binding; without them NumPy computes the same.

They know arrays; they do not know rules.
"""
