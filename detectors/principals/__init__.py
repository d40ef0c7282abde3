"""What single clients do with a model: evidence of probing, of intent, and of extraction."""
