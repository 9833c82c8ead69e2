"""Jobs: what a process of the workflow, or a profile, needs around its stage."""
