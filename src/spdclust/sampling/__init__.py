"""Activation batches of the decomposed models: seeded inputs, the samples drawn from them, their cost.

Imports nothing: the workflow looks up data files with each start, which must not wait for numpy.
"""
