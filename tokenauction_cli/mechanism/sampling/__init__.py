"""Sampling rules: a token from q, by random numbers that depend on keys alone.

They know outcomes; they do not know payments.
"""
