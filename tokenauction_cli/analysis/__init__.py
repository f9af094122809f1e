"""Records become tidy frames, rates with intervals, trends, comparisons, tables and LaTeX.

It knows the columns of every table and their statistics; it does not know model files or where a table is shown.
"""
