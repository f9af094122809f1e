"""What an experiment says, with every default filled in.

Frozen; it knows nothing of the file that it came from.
"""
