"""Hypothesis without its deadline: a busy machine is no failure of a law."""

from hypothesis import settings

settings.register_profile("mechanism", deadline=None)
settings.load_profile("mechanism")
