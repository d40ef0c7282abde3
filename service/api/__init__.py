"""The HTTP interface: thin endpoints, one error handler, and the two hot paths (events, gate)."""
