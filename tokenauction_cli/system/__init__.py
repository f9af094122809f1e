"""The machine: its processors, its memory, its environment, and text that is safe to print on it.

It knows nothing else of this project.
"""
