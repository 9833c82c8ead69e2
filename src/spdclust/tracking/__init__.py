"""Logging to Weights & Biases: a running merge and a finished history give the same records."""
