"""The training task of a decomposed model, sufficient to generate more inputs of the same kind."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from spdclust.models.config import CheckpointSection

DataGenerationType = Literal[
    "at_least_zero_active",
    "exactly_one_active",
    "exactly_two_active",
    "exactly_three_active",
    "exactly_four_active",
    "exactly_five_active",
]


class ToyTask(CheckpointSection):
    """Sparse feature vectors, the inputs of `resid_mlp` and `tms` models.

    Example:
        >>> ToyTask(name="tms", n_features=5, feature_probability=0.05).data_generation_type
        'at_least_zero_active'
    """

    name: Literal["resid_mlp", "tms"]
    n_features: int = Field(ge=1)
    """Length of an input vector."""
    feature_probability: float = Field(ge=0, le=1)
    """Probability that a feature is active, if features are drawn independently."""
    data_generation_type: DataGenerationType = "at_least_zero_active"
    """Whether features are drawn independently, or a fixed number is active in every sample."""
    synced_inputs: list[list[int]] | None = None
    """Features that are active together: if one of a list is, all are."""

    @model_validator(mode="after")
    def _check_synced(self) -> "ToyTask":
        seen: set[int] = set()
        for feature in (feature for together in self.synced_inputs or [] for feature in together):
            if not 0 <= feature < self.n_features:
                raise ValueError(f"synced_inputs: found {feature} (allowed: 0 to {self.n_features - 1})")
            if feature in seen:
                raise ValueError(f"synced_inputs: found {feature} twice (allowed: each feature once)")
            seen.add(feature)
        return self


class LanguageTask(CheckpointSection):
    """Sequences of tokens, the inputs of language models."""

    name: Literal["lm"]
    vocab_size: int = Field(ge=1)
    """Tokens that the model knows."""
    folder: Path
    """Run folder, which relative paths below start from."""
    max_seq_len: int = Field(default=512, ge=1)
    """Tokens per sequence."""
    tokenizer_name: str | None = None
    """Hub name or folder of the tokenizer."""
    dataset_name: str | None = None
    """Hub name or folder of the dataset."""
    column_name: str = "story"
    """Column that holds the text or the tokens."""
    train_data_split: str = "train"
    """Split that the decomposition was trained on."""
    eval_data_split: str = "test"
    """Split that it was evaluated on."""
    is_tokenized: bool = False
    """Whether the column holds token numbers already."""
    streaming: bool = False
    """Whether the dataset was streamed from the hub."""


class InductionTask(CheckpointSection):
    """Sequences in which a random token after the induction token is to be repeated.

    Example:
        >>> InductionTask(name="induction_head", vocab_size=11, seq_len=8).prefix_window
        5
    """

    name: Literal["induction_head"]
    vocab_size: int = Field(ge=3)
    """Tokens that the model knows: 0 starts a sequence, the last is the induction token."""
    seq_len: int = Field(ge=5)
    """Tokens per sequence."""
    prefix_window: int = Field(default=0, ge=0)
    """The first induction token is drawn from the positions 2 to this one; 0 or null: as far as it fits."""

    @model_validator(mode="before")
    @classmethod
    def _fill_window(cls, values: Any) -> Any:
        if isinstance(values, dict) and not values.get("prefix_window") and "seq_len" in values:
            return values | {"prefix_window": values["seq_len"] - 3}
        return values

    @model_validator(mode="after")
    def _check_window(self) -> "InductionTask":
        if not 2 <= self.prefix_window <= self.seq_len - 3:
            raise ValueError(f"prefix_window: found {self.prefix_window} (allowed: 2 to {self.seq_len - 3})")
        return self


Task = ToyTask | LanguageTask | InductionTask
