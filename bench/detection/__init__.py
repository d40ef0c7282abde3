"""How often the evidence engine is wrong, how late, and how fast, beside peers: ``python -m bench.detection``."""
