"""The stages of the workflow, from files to files: what rules and the command line both call."""
