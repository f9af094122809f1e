"""One HTML page of a run, and the data that it carries.

It knows frames and charts, not how either is made.
"""
