"""Writing: token by token, for all texts at once.

It knows prefixes, logits and rules; nothing of files, folders or models' formats.
"""
