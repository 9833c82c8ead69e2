"""Subcommands of `spdclust`, by subject. Each one defers its imports until it runs."""
