"""A model of tokens as a model of bytes: its exact law over every tokenisation.

It knows vocabularies and logits, no auction.
"""
