"""Which groups are real: candidate trees, held-out evidence for every node, and the best set of disjoint nodes."""
