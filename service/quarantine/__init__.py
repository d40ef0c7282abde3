"""Alerts and requests to state changes: pure decisions with named reasons."""
