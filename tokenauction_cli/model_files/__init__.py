"""A reference (alias, path, hub address) becomes a verified GGUF file on this machine.

It knows the hub, quantisations and digests; it does not know what the file is used for.
"""
