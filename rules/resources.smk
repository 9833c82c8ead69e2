# Memory and time of jobs, from the size of their inputs, and which start first.
import os
from math import comb

from spdclust.core.errors import InputError
from spdclust.files.zip_files import batch_entries, batch_shape, history_length
from spdclust.merge.memory import merging_bytes

# Priority of the jobs that others wait for; figures fill the cores that are left.
FIRST = 1


def megabytes(files):
    """Size of files; `input.size_mb` is the same, and starts an event loop for every job of a plan."""
    return sum(os.path.getsize(file) for file in files) / 2**20


def merging_megabytes(wildcards, batches):
    """Memory of one merge, of which the largest batch decides."""
    try:
        n_components = max(batch_shape(file)[1] for file in batches)
        n_entries = max(batch_entries(file) for file in batches)
    except InputError:  # the merge has the better message
        n_components = n_entries = 0
    scalar = ensemble_of(wildcards).run.merge_config.activation_threshold is None
    return merging_bytes(n_components, n_entries, scalar=scalar) / 2**20


def grouping_megabytes(batches):
    """Memory of the groups: what is active where in all batches, or in one at a time where that is much, and three
    matrices of half the pairs of components in 4 bytes."""
    try:
        n_components = max(batch_shape(file)[1] for file in batches)
        sizes = [48 * batch_entries(file) / 2**20 for file in batches]
    except InputError:  # the stage has the better message
        n_components, sizes = 0, [0]
    entries = max(sizes) + min(sum(sizes), 1000)
    return 1000 + entries + 6 * n_components**2 / 2**20


def sampling_minutes(runs):
    """Half an hour for loading the model, and as much for each run, up to four hours: partitions have limits, and an
    attempt after a time-out goes on with the runs that are missing."""
    return lambda wildcards, attempt: min(30 + 30 * len(runs or [None]), 240) * attempt


def distances_megabytes(ensemble, histories, n_arrays):
    """Memory of arrays of distances: 8 bytes for each iteration and each two runs."""
    rows = max(history_length(file) for file in histories) // ensemble.stride
    return megabytes(histories) * 4 + 8 * rows * len(histories) ** 2 * n_arrays / 2**20


def walking_minutes(histories):
    """Time of comparing all runs along their merges: 0.2 s for each two runs of 13,000 merges that share little."""
    merges = max(history_length(file) for file in histories)
    seconds = 0.2 * len(histories) ** 2 / 2 * (merges / 13_000) ** 1.5
    return 5 + 2 * seconds / 60


def _pairs_and_merges(ensemble, merges):
    """Pairs of runs of one part of the distances, and the length of the runs, from the size of the aligned merges."""
    n_pairs = comb(ensemble.n_runs, 2) / ensemble.distances_jobs
    return n_pairs, os.path.getsize(merges) / (8 * ensemble.n_runs)


def part_megabytes(ensemble, merges):
    """Memory of one part of the distances: 8 bytes for each of its pairs, iteration and method, and for its runs."""
    n_pairs, n_merges = _pairs_and_merges(ensemble, merges)
    values = n_pairs * n_merges / ensemble.stride * len(ensemble.methods)
    return 8 * values / 2**20 + 4 * megabytes([merges])


def part_minutes(ensemble, merges):
    """Time of comparing the pairs of one part, see `walking_minutes`."""
    n_pairs, n_merges = _pairs_and_merges(ensemble, merges)
    return 5 + 2 * 0.2 * n_pairs * (n_merges / 13_000) ** 1.5 / 60


def joining_megabytes(histories):
    """Memory of joining the parts of the distances: a few iterations of all pairs, and the matrix of one."""
    return 256 + 24 * len(histories) ** 2 / 2**20


def joining_minutes(ensemble, histories):
    """Time of joining the parts of the distances: they are read once, the files written, a thousand MB a minute."""
    written = distances_megabytes(ensemble, histories, len(ensemble.methods))
    return 5 + 1.5 * written / 1000


def reading_minutes(files):
    """Time of jobs that read their input a few times; 20 MB a minute is what a slow file system gives."""
    return 5 + megabytes(files) / 20
