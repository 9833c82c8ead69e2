"""Configuration: pydantic models, one per section. Imports neither numpy nor torch."""
