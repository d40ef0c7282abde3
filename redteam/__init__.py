"""Attacks that run against a monitored model, and what the monitor saw of them."""
