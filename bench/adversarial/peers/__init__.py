"""Published detectors, ported: each turns the requests of one client into a score after every request.

All are shown what the monitor is shown: exact repetitions are left out before they look, and their thresholds come from
the same calibration sessions by the same rule.
"""
