"""Subcommands of `spdclust`, by what they work on. Each imports what it needs when it runs."""
