"""How much of adversarial use the monitor sees, whom it wrongs, and what it misses, beside published detectors."""
