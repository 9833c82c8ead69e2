"""Are the groups those that theory says? Toy models whose mechanisms can be read off their weights.

    python benchmarks/ground_truth.py          prints the numbers of docs/ground-truth.md and draws its figure

What a component *does* is read from weights alone, never from activations: the feature whose embedding it
reads or writes (at least 5 times more than any other), or the neuron that it reads. The clustering sees
activations alone. The two-layer model is in the oracle folder; without it that part is left out.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from spdclust import ActivationBatch, ClusteringRunConfig, MergeConfig, MergeHistory, merge_iteration
from spdclust.models import load_model
from spdclust.models.checkpoint import COMPONENTS, TARGET, read_state_dict, resolve_checkpoint
from spdclust.models.modules import modernised
from spdclust.plotting.style import BLUE, GREY, ORANGE, save_figure
from spdclust.sampling.batch_sampling import process_data_batch

REPOSITORY = Path(__file__).resolve().parents[1]
ORACLE = REPOSITORY.parent / "shared" / "oracle"
CHECKPOINTS = {
    "tms": REPOSITORY / "tests/data/models/tms_5-2",
    "tms_identity": REPOSITORY / "tests/data/models/tms_5-2-idop",
    "resid_mlp1": REPOSITORY / "resources/resid_mlp1",
    "resid_mlp2": ORACLE / "resid_mlp2-shared/run",
}
CLEARLY = 5.0
N_SAMPLES = 20_000
ALWAYS = 0.1


@dataclass(frozen=True)
class Mechanism:
    """What each component does, from weights alone; components without a clear answer are left out.

    Attributes:
        feature: the one feature that a component reads or writes.
        features: the features that an inserted identity's component passes on.
        neuron: the one neuron that a component reads.
    """

    feature: dict[str, int]
    features: dict[str, set[int]]
    neuron: dict[str, int]


def read_mechanism(path: Path) -> Mechanism:
    """Read off the weights of a toy model what its components do."""
    tensors = modernised(read_state_dict(resolve_checkpoint(path).weights))
    state = {name: tensor.numpy() for name, tensor in tensors.items()}
    feature: dict[str, int] = {}
    features: dict[str, set[int]] = {}
    neuron: dict[str, int] = {}
    for key in [name.removeprefix(COMPONENTS).removesuffix(".V") for name in state if name.endswith(".V")]:
        module = key.replace("-", ".")
        reads, writes = state[f"{COMPONENTS}{key}.V"], state[f"{COMPONENTS}{key}.U"].T
        if module == "linear1":  # features by components
            feature |= _clear(module, reads)
        elif module == "linear2":
            feature |= _clear(module, writes)
        elif module.endswith("pre_identity"):
            passed = np.abs(state[f"{TARGET}linear2.weight"] @ reads)
            features |= {
                f"{module}:{i}": set(np.flatnonzero(each > each.max() / 2)) for i, each in enumerate(passed.T)
            }
        elif module.endswith("mlp_in"):
            feature |= _clear(module, state[f"{TARGET}W_E"] @ reads)
        else:
            neuron |= _clear(module, reads)
    return Mechanism(feature, features, neuron)


def _clear(module: str, strength: np.ndarray) -> dict[str, int]:
    """Return the strongest row of each column that is clearly stronger than the second."""
    order = np.sort(np.abs(strength), axis=0)
    clear = np.flatnonzero(order[-1] > CLEARLY * order[-2])
    return {f"{module}:{i}": int(np.abs(strength[:, i]).argmax()) for i in clear}


def sample(path: Path, run: int) -> ActivationBatch:
    """Sample the activations of one run."""
    config = ClusteringRunConfig(model_path=str(path), n_tokens=N_SAMPLES, batch_size=1000, device="cpu")
    return process_data_batch(config, load_model(path, device="cpu"), run=run, batch=0)


def merge_settings(alpha: float = 1.0) -> MergeConfig:
    """Return the settings of a greedy merge to the end."""
    return MergeConfig(
        activation_threshold=0.1, filter_dead_threshold=0.1, alpha=alpha, iters=None, min_groups=1,
        merge_pair_sampling_kwargs={"threshold": 0},
    )  # fmt: skip


def cluster(path: Path, run: int, alpha: float = 1.0) -> tuple[MergeHistory, dict[str, float]]:
    """Merge one run; also return how often each component is active."""
    batch = sample(path, run)
    shares = np.asarray((batch.matrix > 0.1).mean(axis=0)).ravel()
    return merge_iteration(batch.activations, merge_settings(alpha), run), dict(
        zip(batch.labels, shares.tolist(), strict=True)
    )


def groups_at(history: MergeHistory, iteration: int) -> list[set[str]]:
    """Return the groups as sets of labels."""
    at = history.at(iteration)
    return [set(at.members(group)) for group in range(at.k_groups)]


def pairs_along(history: MergeHistory, kind: dict[str, int]) -> np.ndarray:
    """Return for every iteration the pairs that are rightly together, together, and of one kind."""
    chosen = [i for i, label in enumerate(history.labels) if label in kind]
    kinds = np.array([kind[history.labels[i]] for i in chosen])
    true = np.triu(kinds[:, None] == kinds, 1)
    counts = []
    for iteration in range(history.n_iterations):
        assigned = history.group_idxs(iteration)[chosen]
        together = np.triu(assigned[:, None] == assigned, 1)
        counts.append(((true & together).sum(), together.sum(), true.sum()))
    return np.array(counts)


def scores(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return precision (1 where nothing is together yet), recall and their harmonic mean."""
    right, together, true = counts.T
    precision = np.where(together > 0, right / np.maximum(together, 1), 1.0)
    recall = right / np.maximum(true, 1)
    return precision, recall, 2 * precision * recall / np.maximum(precision + recall, 1e-12)


def shuffled(kind: dict[str, int], seed: int) -> dict[str, int]:
    """Return the same kinds given to other components at random: what agreement by chance looks like."""
    labels = list(kind)
    order = np.random.default_rng(seed).permutation(len(labels))
    return {label: kind[labels[i]] for label, i in zip(labels, order, strict=True)}


@dataclass(frozen=True)
class NeuronCourse:
    """How the components of neurons come together, merge by merge.

    Attributes:
        gathered: largest number of often active components in one group.
        n_always: how many there are.
        wrong: pairs of components in one group that read different features.
    """

    gathered: np.ndarray
    n_always: int
    wrong: np.ndarray


def neuron_course(history: MergeHistory, shares: dict[str, float], mechanism: Mechanism) -> NeuronCourse:
    """Follow the components of neurons, active on more than a tenth of the samples, through the merges."""
    always = [i for i, label in enumerate(history.labels) if "mlp_out" in label and shares[label] > ALWAYS]
    gathered = np.array(
        [np.bincount(history.group_idxs(t)[always]).max() for t in range(history.n_iterations)]
    )
    right, together, _ = pairs_along(history, mechanism.feature).T
    return NeuronCourse(gathered, len(always), together - right)


def show_tms(name: str) -> None:
    """Print the groups of the shortest description, each component with the features that it serves."""
    mechanism = read_mechanism(CHECKPOINTS[name])
    history, _ = cluster(CHECKPOINTS[name], run=0)
    served = {label: {feature} for label, feature in mechanism.feature.items()} | mechanism.features
    for group in groups_at(history, history.best_iteration()):
        parts = [f"{label} {sorted(map(int, served.get(label, ())))}" for label in sorted(group)]
        print(f"{name}: {', '.join(parts)}")


def draw_one_layer(axes: Any, run: int) -> None:
    """Draw, and print, how components of neurons and of features come together in one sampling."""
    mechanism = read_mechanism(CHECKPOINTS["resid_mlp1"])
    history, shares = cluster(CHECKPOINTS["resid_mlp1"], run)
    course = neuron_course(history, shares, mechanism)
    merges = np.arange(1, history.n_iterations + 1)
    lines = {
        "components of neurons in one group": (course.gathered, BLUE),
        "pairs of different features in one group": (course.wrong, ORANGE),
    }
    for label, (values, color) in lines.items():
        axes.plot(merges, values, color=color, lw=1, label=None if run else label)
    done = int(np.argmax(course.gathered == course.n_always))
    first = int(np.argmax(course.wrong > 0))
    print(
        f"resid_mlp1, run {run}: {course.n_always} components of neurons together after {done + 1} merges; "
        f"first two features joined by merge {first + 1}"
    )


def draw_two_layers(axes: Any, run: int) -> None:
    """Draw, and print, how far the components of one feature come together in one sampling."""
    mechanism = read_mechanism(CHECKPOINTS["resid_mlp2"])
    history, _ = cluster(CHECKPOINTS["resid_mlp2"], run)
    counts = pairs_along(history, mechanism.feature)
    precision, recall, both = scores(counts)
    others = [pairs_along(history, shuffled(mechanism.feature, seed)) for seed in range(10)]
    chance = np.mean([scores(each)[0] for each in others], axis=0)
    some = counts[:, 1] > 0  # before that there is nothing to be precise about
    lines = {
        "precision": (precision, BLUE),
        "recall": (recall, ORANGE),
        "precision, labels shuffled": (chance, GREY),
    }
    for label, (values, color) in lines.items():
        axes.plot(history.k_groups[some], values[some], color=color, lw=1, label=None if run else label)
    top = int(both.argmax())
    print(
        f"resid_mlp2, run {run}: at {history.k_groups[top]} groups precision {precision[top]:.2f}, "
        f"recall {recall[top]:.2f} of {counts[0, 2]} pairs, F1 {both[top]:.2f}; "
        f"precision by chance {chance[top]:.3f}"
    )


def main() -> None:
    show_tms("tms")
    show_tms("tms_identity")
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    one, two = figure.subplots(1, 2)
    for run in range(4):
        draw_one_layer(one, run)
        if CHECKPOINTS["resid_mlp2"].is_dir():
            draw_two_layers(two, run)
    one.set(xlabel="merges", title="one layer: neurons together, features apart", ylim=(0, 80), xlim=(0, 130))
    two.set(xlabel="groups", title="two layers: the components of one feature", ylim=(0, 1.02))
    two.invert_xaxis()
    for axes in (one, two):
        axes.legend(fontsize=8)
    save_figure(figure, REPOSITORY / "docs/images/ground_truth.png")


if __name__ == "__main__":
    main()
