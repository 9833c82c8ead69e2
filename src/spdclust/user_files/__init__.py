"""User-supplied activations: which files belong to a run, and reading each format."""
