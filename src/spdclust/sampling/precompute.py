"""Write activation batches from a model or from user-supplied activations; reuse existing batches."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from spdclust.config.run import ClusteringRunConfig, run_settings_without_effect
from spdclust.core.arguments import checked, file_path, instance, optional, several, whole
from spdclust.core.code_fingerprint import stage_fingerprint
from spdclust.core.errors import InputError
from spdclust.files.archive import digest_of, digest_of_file
from spdclust.files.stored_batch import StoredBatch
from spdclust.merge.activations import check_threshold
from spdclust.sampling.batch_sampling import (
    draw_stored_batch,
    load_run_model,
    open_model_inputs,
    request_digest,
)
from spdclust.sampling.chunks import SamplingModel
from spdclust.sampling.settings import sampling_record
from spdclust.sampling.tokens import Tokenizer
from spdclust.user_files.folders import (
    OF_ANOTHER_RUN,
    RunFiles,
    files_beside,
    files_of_run,
    files_of_runs,
    run_numbers,
    shared_by_all_runs,
)
from spdclust.user_files.runs import (
    by_note,
    check_one_run,
    check_same_width,
    digest_of_batch,
    header_of_user_file,
    read_user_batch,
)

log = logging.getLogger(__name__)


def write_missing_batches(
    config: ClusteringRunConfig, model: SamplingModel, seeds: Sequence[int], paths: Sequence[Path]
) -> None:
    """Write one batch for each seed; an existing batch of the same request is kept.

    Example:
        >>> config = ClusteringRunConfig(model_path="resources/resid_mlp1", batch_size=4, device="cpu")
        >>> model = load_run_model(config)
        >>> first, second = folder / "batch_0.pt", folder / "batch_1.pt"
        >>> write_missing_batches(config, model, [0], [first])
        >>> written = first.stat().st_mtime_ns
        >>> write_missing_batches(config, model, [0, 1], [first, second])
        >>> first.stat().st_mtime_ns == written, second.is_file()
        (True, True)

    Raises:
        InputError: a batch cannot be computed or written.
    """
    requests = {
        path: (seed, request_digest(config, seed, model.digest))
        for seed, path in zip(seeds, paths, strict=True)
    }
    missing = {path: each for path, each in requests.items() if not _is_current(path, each[1])}
    if not missing:
        return
    # the model's data are opened once for all batches
    source = open_model_inputs(config, model)
    _warn_of_no_effect(config, None if model.task is None else model.task.name)
    for path, (seed, request) in tqdm(missing.items(), desc="batches", unit="batch", disable=None):
        batch = draw_stored_batch(config, model, source, seed, request)
        batch.save(path)
        density = batch.n_entries / max(1, batch.n_samples * batch.n_components)
        log.info(
            "seed %d: %d samples, %d components, %.2f %% of the causal importances above %g, %s",
            seed, batch.n_samples, batch.n_components, 100 * density, batch.threshold or 0, path,
        )  # fmt: skip


def _is_current(path: Path, request: str) -> bool:
    if not path.exists():
        return False
    try:
        found = StoredBatch.open(path).provenance.get("request")
    except InputError as error:
        log.warning("%s; it is sampled again", error)
        return False
    if found == request:
        log.info("%s already exists", path)
    return found == request


def _warn_of_no_effect(config: ClusteringRunConfig, task: str | None = None) -> None:
    for line in run_settings_without_effect(config, task=task):
        log.warning("%s", line)


def _find_user_batches(config: ClusteringRunConfig, run: int, n_batches: int) -> RunFiles:
    """Return the user-supplied files of a run after comparing their headers; log which are read."""
    folder = config.precomputed_activations_dir
    assert folder is not None
    found = files_of_run(folder, run, config.shards).needing(n_batches)
    if len(found.batches) < n_batches:
        raise InputError(
            f"run {run} has too few batches",
            file=found.folder,
            field="precomputed_activations_dir",
            found=len(found.batches),
            allowed=f"{n_batches}",
        )
    headers = check_one_run(found)
    # comparing every run with the first one finds any difference, and reads only two headers
    first = min(run_numbers(folder), default=0)
    if run != first and not shared_by_all_runs(folder, config.shards):
        others = files_of_run(folder, first, config.shards)
        check_same_width([header_of_user_file(others.batches[0][0]), headers[0]])
    for number, files in enumerate(found.batches):
        shards = "" if len(files) == 1 else f"{len(files)} shards: "
        log.info("run %d, batch %d: %s%s", run, number, shards, ", ".join(map(str, files)))
    for line in by_note(_unused(found)):
        log.warning("not read in %s: %s", found.folder, line)
    if shared_by_all_runs(folder, config.shards):
        log.info("every run reads these files: runs that share samples cannot confirm each other")
    return found


def convert_missing_batches(
    config: ClusteringRunConfig, own: RunFiles, seeds: Sequence[int], paths: Sequence[Path]
) -> None:
    """Write user-supplied activations as batches; existing batches are kept.

    Example:
        >>> from spdclust.files.activation_batch import ActivationBatch
        >>> import numpy as np
        >>> np.save(f"{folder}/latents.npy", np.array([[0.0, 0.5], [0.1, 0.0]]))
        >>> path = folder / "batches" / "batch_0.pt"
        >>> config = ClusteringRunConfig(precomputed_activations_dir=folder)
        >>> convert_missing_batches(config, _find_user_batches(config, 0, 1), [7], [path])
        >>> batch = ActivationBatch.load(path)
        >>> batch.seed, batch.labels, batch.provenance["source"]
        (7, ['latent:0', 'latent:1'], 'latents.npy')

    Raises:
        InputError: a file is missing, damaged or not a matrix, or shards have different components.
    """
    companions = [digest_of_file(file) for file in files_beside(own.files)]
    code = stage_fingerprint("precompute_batches")
    tokenizer = [] if config.dataset.tokenizer is None else [config.dataset.tokenizer]
    threshold = [] if config.keep_values else [config.sampling_threshold]
    _warn_of_no_effect(config)
    unused = "; ".join(by_note(_unused(own)))
    for files, seed, path in zip(own.batches, seeds, paths, strict=True):
        source = digest_of_batch(files)
        request = digest_of(source, *companions, str(seed), code, *tokenizer, *threshold)
        if _is_current(path, request):
            continue
        batch = read_user_batch(files, seed, token_texts=_token_texts(config) if tokenizer else None)
        if not config.keep_values:
            threshold_of_sets = config.sampling_threshold
            check_threshold(batch.threshold, threshold_of_sets, field="sampling_threshold", file=files[0])
            batch = replace(batch, activations=batch.activations.as_sets(threshold_of_sets))
        provenance = {"code": code, "request": request, "sampling": sampling_record(config)}
        provenance |= {"source": ", ".join(map(own.name_of, files)), "source_digest": source}
        if unused:
            provenance["unused"] = unused
        replace(batch, provenance=dict(batch.provenance) | provenance).save(path)
        log.info("%d samples, %d components, %s", batch.n_samples, batch.n_components, path)
        if batch.examples is not None:
            log.info("tokens of the first %d samples are stored with them", batch.examples.n_samples)


def _unused(own: RunFiles) -> dict[str, str]:
    return {own.name_of(file): why for file, why in own.unused().items() if why != OF_ANOTHER_RUN}


def _token_texts(config: ClusteringRunConfig) -> Callable[[Sequence[int]], list[str]]:
    """Return a function from token ids to their texts; it loads the tokenizer when it is called."""

    def texts(numbers: Sequence[int]) -> list[str]:
        assert config.dataset.tokenizer is not None
        return Tokenizer(config.dataset.tokenizer, vocab_size=None).texts(numbers)

    return texts


@checked(
    config=instance(ClusteringRunConfig, allowed="a ClusteringRunConfig"),
    n_runs=whole(at_least=1),
    folder=file_path,
    runs=optional(several(whole(at_least=0), "numbers of runs")),
)
def precompute_batches_for_ensemble(
    config: ClusteringRunConfig, n_runs: int, folder: str | Path, *, runs: Iterable[int] | None = None
) -> list[list[Path]]:
    """Write every run's batches as `<folder>/run_<r>/batch_<b>.pt`, loading the model once.

    With `precomputed_activations_dir` they are converted from the files there, without a model.

    Example:
        >>> import tempfile
        >>> config = ClusteringRunConfig(model_path="resources/resid_mlp1", batch_size=4, device="cpu")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     written = precompute_batches_for_ensemble(config, 2, folder)
        ...     [path.relative_to(folder).as_posix() for run in written for path in run]
        ['run_0/batch_0.pt', 'run_1/batch_0.pt']

    Args:
        config: the run's settings.
        n_runs: number of runs of the ensemble.
        folder: parent folder of `run_<r>/`.
        runs: only these runs.

    Raises:
        InputError: the model cannot be loaded, or a batch cannot be made or written.
    """
    chosen = range(n_runs) if runs is None else list(runs)
    if config.precomputed_activations_dir is None:
        numbers = [config.batches_needed() for _ in chosen]
    else:
        numbers = [len(own.batches) for own in files_of_runs(config, chosen)]
    paths = {
        run: [Path(folder) / f"run_{run}" / f"batch_{batch}.pt" for batch in range(number)]
        for run, number in zip(chosen, numbers, strict=True)
    }
    write_batches_of_runs(config, paths)
    return list(paths.values())


def write_batches_of_runs(config: ClusteringRunConfig, paths: Mapping[int, Sequence[Path]]) -> None:
    """Write the first batches of some runs; the model and its data are opened once.

    Batches that are there already, made in the same way, are kept.

    `paths` has, for each run, the path of each batch, from batch 0.

    Example:
        >>> from spdclust.files.activation_batch import ActivationBatch
        >>> config = ClusteringRunConfig(model_path="resources/resid_mlp1", batch_size=4, device="cpu")
        >>> path = folder / "batch_0.pt"
        >>> write_batches_of_runs(config, {3: [path]})
        >>> ActivationBatch.load(path).seed
        3000

    Raises:
        InputError: the model cannot be loaded, or a batch cannot be made or written.
    """
    seeds = {
        run: [config.batch_seed(run, batch) for batch in range(len(files))] for run, files in paths.items()
    }
    if config.precomputed_activations_dir is None:
        # all runs at once, as loading the model and its data takes longer than a small batch
        model = load_run_model(config)
        write_missing_batches(config, model, list(chain(*seeds.values())), list(chain(*paths.values())))
        return
    for run, files in paths.items():
        convert_missing_batches(config, _find_user_batches(config, run, len(files)), seeds[run], files)
