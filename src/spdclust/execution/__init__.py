"""Support for the jobs of a workflow: logging, progress, the Slurm queue."""
