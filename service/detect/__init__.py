"""Columns to evidence: the only stage that knows the detectors."""
