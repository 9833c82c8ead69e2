"""Inputs of the decomposed models: seeded batches of toy data or of tokens.

Imports nothing: the workflow looks up data files with each start, which must not wait for numpy.
"""
