"""Attacks on the monitoring service itself, over its own HTTP interface: what should hold, and whether it does."""

from redteam.scenarios.registry import SCENARIOS

__all__ = ["SCENARIOS"]
