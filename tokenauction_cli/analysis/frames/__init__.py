"""Records become tidy frames, rates, comparisons and trends.

It knows columns and statistics, not how a table is printed.
"""
