"""Replay a file through the same detectors, without a server."""
