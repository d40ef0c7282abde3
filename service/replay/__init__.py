"""Run a file through the detectors, without a server."""
