"""What every column is called and means.

It computes nothing.
"""
