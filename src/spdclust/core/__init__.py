"""What everything else stands on: errors, checks of arguments, types, caches, threads, files read safely."""
