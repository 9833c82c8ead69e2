"""File formats: batches, histories, ensembles. Every writer goes through `core.atomic`."""
