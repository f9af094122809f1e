"""The keys that a file may have, section by section.

It knows each key alone; what must hold between keys is in `checks`.
"""
