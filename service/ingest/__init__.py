"""Bytes to columns: decode, de-identify."""
