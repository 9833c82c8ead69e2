"""The same answers on models whose weights show which components serve one feature (see ground_truth.py)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from answers import answer_all, note
from ground_truth import ALWAYS, CHECKPOINTS, Mechanism, merge_settings, read_mechanism, sample
from partition_scores import members, score

from spdclust import ProcessedActivations

N_RUNS = 4


@dataclass(frozen=True)
class Known:
    """What weights say about the components of an ensemble; components by their number.

    Attributes:
        readers: components that read or write one feature, and are active in some run.
        features: the members of each feature with two components or more, as positions in `readers`.
        primary: feature of each of the readers.
        always: components of `mlp_out` that are active on more than a tenth of the samples.
    """

    readers: np.ndarray
    features: list[np.ndarray]
    primary: np.ndarray
    always: np.ndarray


def model_results(
    seeds: Sequence[int], only: Callable[[str], bool] = lambda name: True
) -> Iterator[dict[str, Any]]:
    """Score every answer on ensembles of four runs of every model that is there."""
    settings = merge_settings()
    for model, path in CHECKPOINTS.items():
        if not path.is_dir():
            note(f"{model} is left out: no {path}")
            continue
        mechanism = read_mechanism(path)
        for seed in seeds:
            batches = [sample(path, seed * N_RUNS + run) for run in range(N_RUNS)]
            runs = [batch.activations for batch in batches]
            known = known_components(runs, mechanism, settings.activation_threshold or 0.0)
            for (answer, mode), found in answer_all(runs, settings, only).items():
                record = {"model": model, "seed": seed, "answer": answer, "mode": mode}
                yield (
                    record | describe(found.groups, known, runs[0].labels) | {"cpu_s": round(found.cpu_s, 3)}
                )
            note(f"{model}, seed {seed}: done")


def known_components(runs: Sequence[ProcessedActivations], mechanism: Mechanism, threshold: float) -> Known:
    """Match what weights say with the components that are active in some run."""
    labels = runs[0].labels
    share = np.mean([np.asarray((run.matrix > threshold).mean(axis=0)).ravel() for run in runs], axis=0)
    readers = np.array([i for i, label in enumerate(labels) if share[i] > 0 and label in mechanism.feature])
    primary = np.array([mechanism.feature[labels[i]] for i in readers])
    features = [np.flatnonzero(primary == feature) for feature in np.unique(primary)]
    always = [i for i, label in enumerate(labels) if "mlp_out" in label and share[i] > ALWAYS]
    return Known(readers, [each for each in features if len(each) > 1], primary, np.array(always, dtype=int))


def describe(groups: np.ndarray, known: Known, labels: Sequence[str]) -> dict[str, Any]:
    """Return the scores over the components of one feature, and where the often active ones are.

    `wrong_pairs` counts pairs of components of different features in one group, `always` the largest number
    of often active components of `mlp_out` in one group, `beside_always` the other components of that group.
    A model in which no two components serve one feature has no other scores.
    """
    inside = groups[known.readers]
    scores = asdict(score(inside, known.features, known.primary))
    sizes = np.bincount(inside[inside >= 0]) if (inside >= 0).any() else np.zeros(0, dtype=int)
    reported = int((sizes * (sizes - 1) // 2).sum())
    record = scores if known.features else {}
    record |= {
        "wrong_pairs": reported - round(scores["precision"] * reported),
        "n_groups": int(groups.max(initial=-1)) + 1,
    }
    if len(known.always):
        counts = np.bincount(groups[known.always] + 1, minlength=2)[1:]
        largest = int(counts.argmax())
        together = int(counts[largest]) if counts[largest] else 1
        record |= {"always": together, "n_always": len(known.always)}
        record["beside_always"] = int((groups == largest).sum()) - together if counts[largest] else 0
    if len(labels) < 100:
        record["groups"] = [[labels[i] for i in each] for each in members(groups)]
    return record
