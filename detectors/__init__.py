"""Streaming detectors: pure numpy and scipy. No clock, no I/O, no logging, no randomness of their own."""
