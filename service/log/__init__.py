"""The telemetry log: durable before it is acknowledged."""
