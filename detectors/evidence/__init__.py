"""Betting against the baseline: bets, e-detectors, calibration, fusion."""
