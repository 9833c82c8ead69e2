"""Stage: histories and the batches that they were merged on -> the groups that hold, with their evidence."""

import logging
from collections.abc import Sequence
from pathlib import Path

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import read_json
from spdclust.files.batches import kept_batches, merged_batches
from spdclust.files.ensemble_folder import GROUPS, EnsembleFolder, common_folder, find_histories
from spdclust.files.ensembles import ensemble_record
from spdclust.files.groups import load_groups, save_groups
from spdclust.files.histories import load_merge_histories
from spdclust.groups.find import find_groups
from spdclust.groups.found import FoundGroups

log = logging.getLogger(__name__)


def groups(
    histories: str | Path | Sequence[str | Path],
    folder: str | Path,
    *,
    ensemble: str,
    model: str = "",
    batches: Sequence[str | Path | Sequence[str | Path]] | None = None,
    threads: int | None = None,
) -> FoundGroups:
    """Write `groups.json`, its tables and `cluster_mapping_groups.json`, and return what they hold.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> ensemble = write_example_ensemble(folder)
        >>> batches = [ensemble.batches(0), ensemble.batches(1)]
        >>> found = groups(ensemble.folder, folder, ensemble=ensemble.name, batches=batches)
        >>> sorted(path.name for path in folder.glob("groups.*"))
        ['groups.csv', 'groups.json', 'groups.nwk']
        >>> sorted(found.members(group) for group in range(found.n_groups))[0]
        ['attn:0', 'attn:1', 'mlp:0']

    Args:
        histories: the ensemble's folder, or its histories.
        folder: output folder.
        ensemble: name of the ensemble in the mapping.
        model: the decomposed model, as in `model_path`, for the mapping.
        batches: for each run the folder of its batches, or the files in order. Without them there is no
            evidence, and the groups are those that most runs form.
        threads: how many may be used; the result does not depend on it.

    Raises:
        InputError: a file cannot be read or written, the runs do not fit together, or the batches are not
            those of the histories.
    """
    runs = load_merge_histories(histories)
    sources = None
    if batches is not None:
        if len(batches) != len(runs):
            raise InputError(
                "batches are needed for each run",
                file=common_folder(histories),
                field="batches",
                found=f"{len(batches)} for {len(runs)} runs",
                allowed="those of every run, in the order of the histories",
            )
        sources = [merged_batches(history, source) for history, source in zip(runs, batches, strict=True)]
    try:
        found = find_groups(runs, sources, threads=threads, progress=log.info)
    except InputError as error:
        raise error.located(file=common_folder(histories)) from error
    save_groups(found, folder, ensemble=ensemble, model=model, provenance=ensemble_record(histories))
    for line in found.warnings:
        log.warning("%s", line)
    log.info("%d groups hold, %d components belong to none", found.n_groups, found.n_alone)
    return found


def groups_of(
    folder: str | Path, *, model: str = "", again: bool = False, threads: int | None = None
) -> tuple[FoundGroups, bool]:
    """Return the groups of an ensemble's folder, and whether they were computed and written now.

    They are read from `groups.json` where that is of these very histories; otherwise computed from the
    histories and the batches, where those are still there.

    Example:
        >>> from spdclust.example_ensemble import write_example_ensemble
        >>> ensemble = write_example_ensemble(folder)
        >>> Path(ensemble.folder, "groups.nwk").unlink()
        >>> [groups_of(ensemble.folder)[1] for _ in range(2)]
        [True, False]

    Raises:
        InputError: as `groups`; or evidence that is there would be lost, since its batches are gone.
    """
    ensemble = EnsembleFolder(Path(folder))
    histories = find_histories(folder)
    record = ensemble.folder / GROUPS["record"]
    current = _is_of(record, histories)
    if current and not again and all((ensemble.folder / name).is_file() for name in GROUPS.values()):
        return load_groups(record), False
    batches = kept_batches(ensemble, histories)
    if batches is None and current and load_groups(record).bits:
        if again:
            raise InputError(
                "the batches were deleted, so the evidence cannot be recomputed",
                file=record,
                allowed="the existing groups, or new batches",
            )
        found = load_groups(record)
        save_groups(
            found, folder, ensemble=ensemble.name, model=model, provenance=read_json(record, "")["provenance"]
        )
        return found, True
    return groups(
        histories, folder, ensemble=ensemble.name, model=model, batches=batches, threads=threads
    ), True


def _is_of(record: Path, histories: Sequence[Path]) -> bool:
    """Return whether a `groups.json` is there and was computed from these histories."""
    if not record.is_file():
        return False
    content = read_json(record, "a groups.json")
    made_from = content.get("provenance") if isinstance(content, dict) else None
    return (
        isinstance(made_from, dict) and made_from.get("histories") == ensemble_record(histories)["histories"]
    )
