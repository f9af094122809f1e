"""Hypothesis without its deadline: a busy machine is no failure of a law."""

from hypothesis import settings

settings.register_profile("mechanism", deadline=None, max_examples=600)
settings.load_profile("mechanism")
