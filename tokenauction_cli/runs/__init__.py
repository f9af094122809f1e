"""The run folder: append records, read them back, lock, say with what a run was made, keep a log.

It knows files and their digests; it does not know what the numbers in them mean.
"""
