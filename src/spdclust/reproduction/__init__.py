"""Reproduce results from their provenance records."""
