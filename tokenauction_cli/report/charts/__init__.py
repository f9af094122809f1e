"""Charts as Vega-Lite, for the page and for papers.

It knows frames and marks, not HTML.
"""
