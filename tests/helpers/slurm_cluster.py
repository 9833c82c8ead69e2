"""Where the Slurm of the tests is, and what it needs."""

import os
from pathlib import Path

FOLDER = Path("/tmp/spdclust_slurm")  # sockets need short paths
SLURM = {"SLURM_CONF": f"{FOLDER}/slurm.conf", "PATH": f"{FOLDER}/bin:{os.environ['PATH']}"}
"""Environment variables under which the clients find the cluster."""

NEEDED = ["slurmctld", "slurmd", "slurmdbd", "sbatch", "sacct", "munged", "mariadbd"]
