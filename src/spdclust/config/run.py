"""Settings of one run: activations, model and merge, and which of the settings have no effect."""

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from spdclust.config.base import PathText, Section
from spdclust.config.merge import MergeConfig, merge_settings_without_effect
from spdclust.config.reference_keys import current_run, same_model
from spdclust.core.errors import InputError

EXPERIMENTS: dict[str, str] = {
    "tms_5-2": "wandb:goodfire/spd/runs/s-38e1a3e2",
    "tms_5-2-id": "wandb:goodfire/spd/runs/s-a1c0e9e2",
    "tms_40-10": "wandb:goodfire/spd/runs/s-7387fc20",
    "tms_40-10-id": "wandb:goodfire/spd/runs/s-2a2b5a57",
    "resid_mlp1": "wandb:goodfire/spd/runs/s-62fce8c4",
    "resid_mlp2": "wandb:goodfire/spd/runs/s-a9ad193d",
}
"""Model of each `experiment_key`."""


RUN_NUMBER = re.compile(r"\{run(:0?\d+)?\}")
"""Placeholder in the pattern of `shards` for the number of the run, with an optional width: `{run:02}`."""

MOST_BATCHES = 1000
"""Batches a run can have before its seeds collide with the next run's."""

FREQUENCIES = {"wandb_log_frequency": "stat", "wandb_artifact_frequency": "artifact"}
"""Other names of logging intervals."""

_SAMPLING_KEYS = (
    "loader",
    "precomputed_activations_dir",
    "batch_size",
    "n_tokens",
    "n_tokens_per_seq",
    "dataset_seed",
    "dataset_streaming",
    "dataset",
    "keep_examples",
    "causal_importance",
    "device",
)

_UNUSED_WITH_FILES = (
    "batch_size",
    "n_tokens",
    "n_tokens_per_seq",
    "dataset",
    "dataset_streaming",
    "keep_examples",
    "causal_importance",
)

_UNUSED_WITHOUT_TEXT = ("n_tokens_per_seq", "dataset", "dataset_streaming", "keep_examples")

_UNUSED_BY_TASK = {
    "tms": (_UNUSED_WITHOUT_TEXT, "on a toy model, whose inputs are generated"),
    "resid_mlp": (_UNUSED_WITHOUT_TEXT, "on a toy model, whose inputs are generated"),
    "induction_head": (
        ("dataset", "dataset_streaming"),
        "on an induction transformer, whose inputs are generated",
    ),
}


DEVICES = "auto, cpu, cuda, mps, xpu, or one of these devices with its number, as cuda:1"
"""Devices that a model can run on, for messages."""


class LoggingIntervals(Section):
    """Intervals, in iterations, at which each kind of record is logged to W&B."""

    stat: int = Field(default=1, ge=1)
    """k, pair cost, description length."""
    tensor: int = Field(default=100, ge=1)
    """Statistics of the coactivation and cost matrices."""
    plot: int = Field(default=100, ge=1)
    """Figure of the merge state."""
    artifact: int = Field(default=100, ge=1)
    """Group assignments as an artifact."""


class DatasetConfig(Section):
    """Where the inputs of a language model come from; whatever is null comes from the checkpoint."""

    name: PathText | None = None
    """Name on the Hugging Face hub, or a local `.txt`, `.jsonl`, `.parquet` file or saved folder."""
    split: str | None = None
    """Split of the dataset."""
    column: str | None = None
    """Column that holds the text or the tokens."""
    tokenizer: PathText | None = None
    """Hub name or folder of the tokenizer."""
    n_ctx: int | None = Field(default=None, ge=1)
    """Tokens per sequence."""
    is_tokenized: bool | None = None
    """Whether the column holds token numbers already: a list of `n_ctx` or more in every record."""
    subset: str | None = None
    """Configuration of a hub dataset that has several."""
    lowercase: bool | None = None
    """Whether texts are lower-cased first; null does so for SimpleStories."""


class ClusteringRunConfig(Section):
    """One sampling of activations from one model, and the merge of it.

    Example:
        >>> run = ClusteringRunConfig(model_path="resources/resid_mlp1", batch_size=128)
        >>> run.samples_per_batch, run.batches_needed(), run.batch_seed(run=2, batch=1)
        (128, 1, 2001)
    """

    model_path: PathText | None = None
    """Local run directory, local `model_<step>.pth`, or `wandb:entity/project/run_id`."""
    loader: str | None = None
    """Function that loads the model, if this package cannot: `package.module:function`, a name registered by
    an installed package, or `spd` for the reference implementation's."""
    experiment_key: str | None = None
    """Short name of a published run, instead of `model_path`."""
    precomputed_activations_dir: PathText | None = None
    """Folder of user-supplied activation batches or matrices, instead of a model."""
    shards: bool | str | None = None
    """Whether the files of a run in `precomputed_activations_dir` are the shards of one batch: true, false
    (each file is a batch), or the pattern of their names, such as `part_{run}.npy`, where `{run}` is the
    number of the run; null takes names that end in `-<i>-of-<N>` as shards."""
    allow_different_models: bool = False
    """Accept batches and runs of different models, according to the digests of their checkpoints; possible
    only with batches in `precomputed_activations_dir`."""
    batch_size: int = Field(default=128, ge=1)
    """Rows (toy models) or sequences (language models) that one forward pass takes, and the size of a batch
    of activations where `n_tokens` is null."""
    n_tokens: int | None = Field(default=None, ge=1)
    """Samples in a batch of activations: rows, or tokens; null takes what `batch_size` rows or sequences
    give."""
    n_tokens_per_seq: int | None = Field(default=None, ge=1)
    """Random positions taken from each sequence; null takes all."""
    dataset_seed: int = Field(default=0, ge=0)
    """Batch b of run r is drawn with seed `dataset_seed + 1000·r + b`."""
    dataset_streaming: bool = False
    """Stream the dataset from the hub instead of downloading it."""
    dataset: DatasetConfig = DatasetConfig()
    """Overrides of the checkpoint's dataset."""
    keep_examples: int = Field(default=0, ge=0)
    """Sequences of each batch whose tokens are kept with it, so that the tokens that activate a group can be
    shown; language models only."""
    causal_importance: Literal["lower_leaky", "upper_leaky"] = "lower_leaky"
    """Which causal importances are clustered; they differ where they exceed 1."""
    keep_values: bool = True
    """Whether batches hold the causal importances; false keeps only the sets of components that are above
    `sampling_threshold` on each sample, in a third of the space."""
    sampling_threshold: float = Field(default=0.01, ge=0, lt=1, allow_inf_nan=False)
    """Threshold of the sets with `keep_values: false`: the only `activation_threshold` that merges of these
    batches can have, and their default."""
    n_batches: int | None = Field(default=None, ge=1, le=1000)
    """Batches per run; null takes as many as `iters` and `recompute_costs_every` use."""
    keep_batches: bool = True
    """Whether the workflow keeps batches of activations once all merges and the groups have read them."""
    runs_per_batches_job: int | None = Field(default=None, ge=1)
    """Largest number of runs whose batches one job of the workflow samples; it loads the model once for all
    of them. null takes all runs where the model may use a GPU, and one with `device: cpu`."""
    device: str = "auto"
    """Where the model runs: auto, cpu, cuda, mps or xpu; with a number, as cuda:1, on one of several."""
    merge_config: MergeConfig = MergeConfig()
    """How components are merged."""
    logging_intervals: LoggingIntervals = LoggingIntervals()
    """How often each kind of record is logged to W&B."""
    wandb_project: str | None = None
    """W&B project; null logs nothing."""
    wandb_entity: str | None = None
    """W&B entity."""
    wandb_enabled: bool | None = None
    """Whether anything is logged to W&B; null: only if a project is named. True without one
    uses the project `spd-cluster`."""
    wandb_log_frequency: int | None = Field(default=None, ge=1)
    """Another name of `logging_intervals.stat`."""
    wandb_artifact_frequency: int | None = Field(default=None, ge=1)
    """Another name of `logging_intervals.artifact`."""

    @model_validator(mode="before")
    @classmethod
    def _take_reference_keys(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        values = current_run(values)
        given = values.get("logging_intervals")
        given = {} if given is None else given
        if not isinstance(given, dict):
            return values  # an error, which its own field reports
        for name, interval in FREQUENCIES.items():
            frequency = values.get(name)
            if frequency is None:
                continue
            if given.get(interval, frequency) != frequency:
                raise ValueError(
                    f"{name}: found {frequency} (allowed: {given[interval]}, as in "
                    f"logging_intervals.{interval}, or one of the two)"
                )
            given = given | {interval: frequency}
        return values | {"logging_intervals": given} if given else values

    @field_validator("shards", mode="before")
    @classmethod
    def _check_shards(cls, value: Any) -> Any:
        is_pattern = isinstance(value, str) and re.search(r"[.*?\[]", value) and "/" not in value
        if value is None or isinstance(value, bool) or is_pattern:
            return value
        raise ValueError(
            f"found {value!r} (allowed: true, false, null, or a pattern of file names, as part_{{run}}.npy)"
        )

    @field_validator("device")
    @classmethod
    def _check_device(cls, value: str) -> str:
        if re.fullmatch(r"auto|(cpu|cuda|mps|xpu)(:\d+)?", value):
            return value
        raise ValueError(f"found {value!r} (allowed: {DEVICES})")

    @model_validator(mode="after")
    def _check_source(self) -> "ClusteringRunConfig":
        given = [
            name
            for name in ("model_path", "experiment_key", "precomputed_activations_dir", "loader")
            if getattr(self, name) is not None
        ]
        if not given:
            raise ValueError(
                "model_path: missing (allowed: a run directory, a model_<step>.pth, or "
                "wandb:entity/project/run_id; else experiment_key or precomputed_activations_dir)"
            )
        if self.experiment_key is not None and self.experiment_key not in EXPERIMENTS:
            raise ValueError(
                f"experiment_key: found {self.experiment_key!r} (allowed: {', '.join(EXPERIMENTS)})"
            )
        if "model_path" in given and "experiment_key" in given:
            published = EXPERIMENTS[str(self.experiment_key)]
            if not same_model(str(self.model_path), published):
                raise ValueError(
                    f"experiment_key: found {self.experiment_key}, which is {published}, with another "
                    f"model_path, {self.model_path} (allowed: one of the two, or the same run)"
                )
        return self

    @model_validator(mode="after")
    def _check_threshold(self) -> "ClusteringRunConfig":
        if self.keep_values:
            return self
        merge = self.merge_config
        if "activation_threshold" not in merge.model_fields_set:
            followed = merge.model_copy(update={"activation_threshold": self.sampling_threshold})
            object.__setattr__(self, "merge_config", followed)
        elif merge.activation_threshold != self.sampling_threshold:
            level = merge.activation_threshold
            other = "" if level is None or level >= 1 else f", or sampling_threshold: {level!r}"
            raise ValueError(
                f"merge_config.activation_threshold: found {'null' if level is None else level} (allowed: "
                f"{self.sampling_threshold!r}, the sampling_threshold, with keep_values: false{other}, "
                "or keep_values: true)"
            )
        return self

    @property
    def model_source(self) -> str | None:
        """Path of the model, `experiment_key` resolved."""
        return EXPERIMENTS[self.experiment_key] if self.experiment_key else self.model_path

    @property
    def may_use_gpu(self) -> bool:
        """Whether a model is sampled, on a device other than `cpu`."""
        return self.precomputed_activations_dir is None and self.device != "cpu"

    @property
    def samples_per_batch(self) -> int:
        """Samples in a batch: `n_tokens`, or `batch_size` rows."""
        return self.n_tokens or self.batch_size

    def batch_seed(self, run: int, batch: int) -> int:
        """Return the seed that one batch of one run is drawn with.

        Example:
            >>> ClusteringRunConfig(model_path="m", dataset_seed=5).batch_seed(run=1, batch=0)
            1005
        """
        return self.dataset_seed + 1000 * run + batch

    def batches_needed(self) -> int:
        """Return how many batches each run has.

        With `iters: null` the number of merges depends on the number of components, which is not known yet.

        Example:
            >>> merge = MergeConfig(iters=100, recompute_costs_every=20)
            >>> ClusteringRunConfig(model_path="m", merge_config=merge).batches_needed()
            5

        Raises:
            InputError: it cannot be known, or more than 1,000 would be needed, whose seeds would collide with
                the next run's.
        """
        merge = self.merge_config
        if self.n_batches is not None:
            return self.n_batches
        if merge.recompute_costs_every == 1:
            return 1
        if merge.iters is None:
            raise InputError(
                "missing",
                field="n_batches",
                allowed="1 to 1000; it is needed where iters is null and recompute_costs_every is above 1",
            )
        needed = -(-merge.iters // merge.recompute_costs_every)
        if needed > MOST_BATCHES:
            raise InputError(
                f"{needed} batches a run are needed",
                field="merge_config.recompute_costs_every",
                allowed=f"at most {MOST_BATCHES}; raise it, or set n_batches to reuse batches in turn",
            )
        return needed

    def batches_used(self, available: int) -> int:
        """Return how many of a run's available batches its merge uses: the first ones, in order.

        Every caller that merges batches, or makes them for a merge, gets the number here.

        Example:
            >>> merge = MergeConfig(iters=100, recompute_costs_every=20)
            >>> run = ClusteringRunConfig(precomputed_activations_dir="own", merge_config=merge)
            >>> run.batches_used(available=9), run.batches_used(available=3)
            (5, 3)

        Raises:
            InputError: as `batches_needed`.
        """
        return min(self.batches_needed(), available)

    def sampling(self) -> dict[str, Any]:
        """Return the settings that determine the batches, and nothing else.

        Example:
            >>> a = ClusteringRunConfig(model_path="m", merge_config=MergeConfig(alpha=2))
            >>> a.sampling() == ClusteringRunConfig(model_path="m").sampling()
            True
        """
        settings = self.model_dump(mode="json", include=set(_SAMPLING_KEYS))
        if self.shards is not None:  # left out by default, so that records of other runs stay as they are
            settings["shards"] = self.shards
        if not self.keep_values:  # likewise
            settings |= {"keep_values": False, "sampling_threshold": self.sampling_threshold}
        return settings | {"model_path": self.model_source}

    def resolved(self) -> dict[str, Any]:
        """Return all settings with every value filled in, as `clustering_run_config.json` holds them.

        Example:
            >>> ClusteringRunConfig(model_path="m").resolved()["merge_config"]["merge_pair_sampling_kwargs"]
            {'threshold': 0.05}
        """
        return self.model_dump(mode="json") | {"merge_config": self.merge_config.resolved()}


def run_settings_without_effect(run: ClusteringRunConfig, *, task: str | None = None) -> list[str]:
    """Return a line for each setting of a run that differs from its default and changes nothing.

    Example:
        >>> run_settings_without_effect(ClusteringRunConfig(model_path="m", n_tokens_per_seq=3), task="tms")
        ['n_tokens_per_seq: no effect on a toy model, whose inputs are generated']
    """
    names: tuple[str, ...] = ()
    reason = ""
    if run.precomputed_activations_dir is not None:
        names, reason = _UNUSED_WITH_FILES, "with precomputed_activations_dir, whose files hold the samples"
    elif task in _UNUSED_BY_TASK:
        names, reason = _UNUSED_BY_TASK[task]
    fields = type(run).model_fields
    if run.precomputed_activations_dir is not None:  # its tokenizer gives the texts of user-supplied tokens
        run = run.model_copy(update={"dataset": run.dataset.model_copy(update={"tokenizer": None})})
    lines = [f"{name}: no effect {reason}" for name in names if getattr(run, name) != fields[name].default]
    if run.keep_values and run.sampling_threshold != fields["sampling_threshold"].default:
        lines.append("sampling_threshold: no effect with keep_values: true, whose batches have no threshold")
    if run.precomputed_activations_dir is None and run.shards is not None:
        lines.append("shards: no effect without precomputed_activations_dir")
    if run.precomputed_activations_dir is not None and run.runs_per_batches_job is not None:
        lines.append("runs_per_batches_job: no effect with precomputed_activations_dir: no model is loaded")
    return lines + [f"merge_config.{line}" for line in merge_settings_without_effect(run.merge_config)]
