"""Colours that people with any kind of colour vision tell apart (M. Okabe and K. Ito, 2008), and shapes besides.

The page defines the same colours, lighter ones for dark mode, as the CSS variables `--c0`, `--c1`, ...
"""

from __future__ import annotations

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#6B6B6B")
DARK = ("#56B4E9", "#E69F00", "#2FBF94", "#E39CC5", "#8FB8FF", "#F0E442", "#B5B5B5")
INK = -1  # what belongs to no agent
INK_COLOUR = "#333333"
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")


def colour(index: int) -> str:
    """The colour of the k-th agent or rule on white."""
    return INK_COLOUR if index == INK else COLOURS[index % len(COLOURS)]


def css_variable(index: int) -> str:
    """The same as the page names it."""
    return "var(--ink)" if index == INK else f"var(--c{index % len(COLOURS)})"


def shape(index: int) -> str:
    """The mark of the k-th series."""
    return "circle" if index == INK else SHAPES[index % len(SHAPES)]
