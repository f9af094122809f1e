"""What must hold between the keys of a file, and the queries that it names.

Every mistake is found, each with its place.
"""
