"""What goes to Weights & Biases: the same records from a merge under way and from a finished history."""
