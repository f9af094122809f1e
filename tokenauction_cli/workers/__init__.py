"""The same run on other processes and machines, by Dask.

It cuts, sends and collects; what is computed is the engine's.
"""
