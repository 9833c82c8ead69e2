"""Decomposed models: from the files of a checkpoint to the causal importances of its components."""
