"""Evidence to alerts and incidents: pure decisions with named reasons."""
