"""Scores: pure functions of an event that make something visible as a column. One file is one score, or its tools."""
