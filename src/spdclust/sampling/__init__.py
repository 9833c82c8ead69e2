"""Activation batches of decomposed models: seeded inputs, sampling, and cost estimates.

Imports nothing: the workflow looks up data files at every start, which must not wait for numpy.
"""
