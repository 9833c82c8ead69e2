"""What an ensemble of merges agrees on. Pure computation, no files."""
