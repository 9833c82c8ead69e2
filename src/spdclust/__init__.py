"""Find, and learn how far to trust, the groups of components inside decomposed neural networks."""
