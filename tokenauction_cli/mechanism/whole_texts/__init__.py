"""Incentives over whole texts: exact on tables, estimated on models."""
