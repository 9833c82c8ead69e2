"""Inputs of the decomposed models: seeded batches of toy data or of tokens."""
