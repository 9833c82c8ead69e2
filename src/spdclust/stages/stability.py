"""Stage: histories -> what the runs of an ensemble agree on."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from spdclust.core.errors import InputError
from spdclust.core.numbering import AUTOMATIC_CUTS, merges_done
from spdclust.files.ensemble_folder import common_folder
from spdclust.files.ensembles import ensemble_record, load_normalized
from spdclust.files.mapping import save_mapping
from spdclust.files.stability import save_stability
from spdclust.stability.analysis import Stability, analyze_stability
from spdclust.stages.mapping import consensus_record

log = logging.getLogger(__name__)

NULL_SEED = 0


def stability(
    histories: str | Path | Sequence[str | Path],
    methods: Sequence[str],
    folder: str | Path,
    *,
    stride: int = 1,
    threads: int = 1,
    iteration: int | None = None,
    n_groups: int | None = None,
    mapping_names: Mapping[str, str] | None = None,
    mapping_cuts: Sequence[str] = AUTOMATIC_CUTS,
) -> Stability:
    """Write `stability.json` and its tables, and return what they hold.

    Example:
        >>> import tempfile
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     place = write_example_ensemble(folder, n_runs=3)
        ...     found = stability(place.folder, ["matching_dist"], folder)
        ...     sorted(path.name for path in Path(folder).glob("stability*.csv"))
        ['stability_components.csv', 'stability_groups.csv', 'stability_iterations.csv',
         'stability_sizes.csv']
        >>> groups = found.cuts["least_mdl"].coclustering.consensus
        >>> groups.sizes.tolist(), groups.mean_support  # all three runs have the four concepts
        ([3, 3, 3, 3], 1.0)

    Args:
        histories: the ensemble's folder, or its histories.
        methods: distances to summarise; `adjusted_rand_dist` is always among them.
        folder: output folder.
        stride: look at every n-th iteration.
        threads: number of threads; the result does not depend on it.
        iteration: also cut at this iteration.
        n_groups: also cut every run at this number of groups.
        mapping_names: `ensemble` and `model`; where given, `cluster_mapping_consensus_<cut>.json` are written
            too.
        mapping_cuts: at which automatic cuts; those that there are not (`least_mdl` without description
            lengths) are left out.

    Raises:
        InputError: a history cannot be read, there is only one, the runs do not fit together, a cut does not
            exist, or a file cannot be written.
    """
    normalized = load_normalized(histories)
    try:
        found = analyze_stability(
            normalized,
            methods,
            iteration=iteration,
            n_groups=n_groups,
            stride=stride,
            n_workers=threads,
            seed=NULL_SEED,
        )
    except InputError as error:
        raise error.located(file=common_folder(histories)) from error
    made_from = ensemble_record(histories)
    save_stability(normalized, found, folder, stride=stride, seed=NULL_SEED, provenance=made_from)
    if mapping_names is not None:
        for name in mapping_cuts:
            if name not in found.cuts:
                continue
            at = found.cuts[name]
            groups = at.coclustering.consensus.group_idxs
            record = consensus_record(normalized, at.cut, groups, **mapping_names)
            save_mapping(record, Path(folder) / f"cluster_mapping_consensus_{name}.json")
    last = found.agreement.last_agreement
    log.info("all runs agree %s", "after no merge" if last is None else f"last after {merges_done(last)}")
    for name, at in found.cuts.items():
        log.info(
            "%s: %d to %d groups, %d consensus groups, mean support %.3g (shuffled runs: %.3g)",
            name, at.cut.n_groups.min(), at.cut.n_groups.max(), len(at.coclustering.consensus.sizes),
            at.coclustering.consensus.mean_support, at.null.mean("mean_support"),
        )  # fmt: skip
        for note in at.cut.notes:
            log.warning("%s: %s", name, note)
    return found
