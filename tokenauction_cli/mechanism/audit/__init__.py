"""Audits: what an agent prefers, and whether a rule keeps what it promises at one prefix.

They know all rules by what they compute; they do not know models, or how a finding is shown.
"""
