"""The text of an experiment file, and where each key stands in it.

It knows YAML and places, no key's meaning.
"""
