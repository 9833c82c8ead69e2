"""Files that figures are drawn from, each defined once. Imports nothing slow."""

from spdclust.files.ensemble_folder import GROUPS, SWEEP_FILES
from spdclust.plotting.registry.entries import FOLDERS, FigureInput
from spdclust.stability.names import STABILITY_FILES

_ENSEMBLE, _SWEEP = FOLDERS["ensemble"], FOLDERS["sweep"]
_STABILITY = {what: f"{_ENSEMBLE}/{name}" for what, name in STABILITY_FILES.items()}
_READ_BATCH = "spdclust.files.batches:ActivationBatch.load"

INPUTS: dict[str, FigureInput] = {
    "batch": FigureInput(
        _READ_BATCH, ("activations",), "{run_config}/precomputed_batches/run_{run}/batch_0.pt"
    ),
    # without one, where batches are temporary, figures do without
    "kept_batch": FigureInput(_READ_BATCH, ("activations",)),
    "batches": FigureInput("spdclust.files.batches:BatchedActivations", ("batches",), several=True),
    "history": FigureInput(
        "spdclust.files.histories:load_merge_history",
        ("history",),
        f"{_ENSEMBLE}/runs/run_{{run}}/history.zip",
    ),
    "histories": FigureInput("spdclust.files.histories:load_merge_histories", ("histories",), several=True),
    "distances": FigureInput(
        "spdclust.files.ensembles:load_distance_rows",
        ("iterations", "distances"),
        f"{_ENSEMBLE}/distances_{{method}}.npz",
    ),
    "groups": FigureInput("spdclust.files.groups:load_groups", ("found",), f"{_ENSEMBLE}/{GROUPS['record']}"),
    "stability": FigureInput(
        "spdclust.files.stability_reading:load_stability_record", ("record",), _STABILITY["record"]
    ),
    "stability_iterations": FigureInput(
        "spdclust.files.stability_reading:load_stability_iterations", ("table",), _STABILITY["iterations"]
    ),
    "stability_components": FigureInput(
        "spdclust.files.stability_groups:load_components", ("components",), _STABILITY["components"]
    ),
    "stability_groups": FigureInput(
        "spdclust.files.stability_groups:load_groups", ("groups",), _STABILITY["groups"]
    ),
    "stability_coclustering": FigureInput(
        "spdclust.files.stability_groups:load_coclusterings",
        ("labels", "frequencies"),
        _STABILITY["coclustering"],
    ),
    "sweep": FigureInput(
        "spdclust.files.sweeps:load_sweep", ("record",), f"{_SWEEP}/{SWEEP_FILES['record']}"
    ),
}
"""By the name of the rule's input."""
