"""Texts of a given form: which tokens may follow a prefix. It knows vocabularies, not models, agents or bids."""
