"""Making results again from what they say they were made from."""
