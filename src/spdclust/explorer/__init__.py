"""The page that shows one ensemble: what goes into it (pure), and the file."""
