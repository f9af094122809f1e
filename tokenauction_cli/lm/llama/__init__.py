"""llama.cpp: its libraries, its files, and logits by its batches.

It knows tokens and KV cells, no agent and no bid.
"""
