"""Payment rules: what each agent pays for one token.

They know outcomes and draws; they do not know budgets, texts or who reads the bill.
"""
