"""Lazaretto: a production model-monitoring service. Start reading at ``service/pipeline.py``."""

__version__ = "0.1.0"
