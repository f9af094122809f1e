"""Prompts with `{{ query }}`, filled in.

It knows templates and values, no model.
"""
