"""The base layer of the package: errors, argument checks, types, caches, threads, safe file access."""
