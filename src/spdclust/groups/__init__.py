"""Which groups are real: a tree of candidates, held-out evidence for each, and the best set of them."""
