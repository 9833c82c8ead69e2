"""Find the groups that the data support: a tree of candidates, held-out evidence, the best set of nodes."""
