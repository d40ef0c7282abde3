"""Benign clients, ordinary ones and ones that look like attackers: what a monitor must not raise an alarm about."""

from redteam.benign.registry import WORKLOADS, Shape, SplitName, Workload, session_of, shape_of, workloads_for

__all__ = ["WORKLOADS", "Shape", "SplitName", "Workload", "session_of", "shape_of", "workloads_for"]
