"""Provenance of results: fingerprints of code, the state of the work tree, the record in a history."""
