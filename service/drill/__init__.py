"""Drills: a version is quarantined on purpose, the chain up to a refusal is measured, and the version comes back."""
