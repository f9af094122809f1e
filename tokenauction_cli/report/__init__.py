"""The report: the frames of one run or several become one HTML page, and figures for a paper.

It knows charts, prose and the page; it does not know how texts are made, and computes no number of its own.
"""
