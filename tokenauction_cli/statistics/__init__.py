"""Estimates on arrays: means and rates with intervals, differences of pairs, tests by sign flips, monotone curves.

It knows arrays alone: no experiment, no frame, no file.
"""
