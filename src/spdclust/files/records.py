"""Schemas of the JSON records that are read back: required keys and allowed values."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from spdclust.config.base import Section
from spdclust.config.load import validate
from spdclust.core.safe_reading import read_json

Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
"""A count or an index; databases and arrays cannot hold larger ones."""

Interval = Annotated[list[float], Field(min_length=2, max_length=2)]
"""A least and a greatest value."""


class Record(Section, extra="allow", strict=True):
    """A part of a record: what readers use is checked, the rest is kept."""


class NullRange(Record):
    """The least and the greatest value over shuffles."""

    mean_support: Interval
    mean_contestedness: Interval


class NullAtCut(Record):
    """What shuffled runs give at a cut, means over shuffles."""

    histogram: list[Annotated[float, Field(ge=0)]]
    mean_support: float
    mean_contestedness: float
    range: NullRange | None = None


class Contested(Record):
    """One component that runs group differently."""

    component: str
    contestedness: float = Field(ge=0)


class Cut(Record):
    """Where the runs are cut."""

    n_groups: list[Count] = Field(min_length=1)
    notes: list[str] = Field([])


class AtCut(Record):
    """What the runs say at a cut."""

    cut: Cut
    iteration: Count | None
    histogram: list[Count]
    n_consensus_groups: Count
    mean_support: float
    n_contested_components: Count
    most_contested: list[Contested]
    null: NullAtCut


CutName = Literal["least_mdl", "stability_drop", "iteration", "n_groups"]


class StabilityRecord(Record):
    """`stability.json`, see `stability_record`."""

    n_runs: Count
    methods: list[str] = Field(min_length=1)
    last_agreement: Count | None
    cuts: dict[CutName, AtCut] = Field(min_length=1)

    @model_validator(mode="after")
    def _check_histograms(self) -> "StabilityRecord":
        for name, at in self.cuts.items():
            for field, histogram in (("histogram", at.histogram), ("null.histogram", at.null.histogram)):
                if len(histogram) != self.n_runs + 1:
                    raise ValueError(
                        f"cuts.{name}.{field}: found {len(histogram)} counts (allowed: {self.n_runs + 1}, of "
                        "pairs that 0, 1, … all runs put together)"
                    )
        return self


class SummarizedCut(Record):
    """A cut as the summary has it."""

    n_groups: list[Count] = Field(min_length=1)
    n_contested_components: Count
    mean_support: float
    null_mean_support: float
    notes: list[str] = Field([])


class SummarizedStability(Record):
    """The stability analysis as the summary has it."""

    last_agreement: Count | None
    cuts: dict[str, SummarizedCut]


class SummarizedDistances(Record):
    """Distances of one method as the summary has them."""

    iteration: Count
    mean: float
    min: float
    max: float


class SummarizedGroups(Record):
    """The groups that hold, as the summary has them."""

    n_groups: Count
    n_alone: Count
    n_shared_members: Count
    expected_false: float | None
    expected_busy: float | None
    bits_alone: float | None
    bits_answer: float | None
    warnings: list[str]


class SummaryRecord(Record):
    """`summary.json`, see `summarize`."""

    n_runs: Count
    n_components: list[Count] = Field(min_length=1)
    n_groups_at_least_mdl: list[Count] = Field([], min_length=1)
    least_mdl: list[float] = Field([], min_length=1)
    largest_group_at_least_mdl: list[Count] = Field([], min_length=1)
    distances: dict[str, SummarizedDistances]
    stability: SummarizedStability | None = None
    groups: SummarizedGroups | None = None

    @model_validator(mode="after")
    def _check_least_mdl(self) -> "SummaryRecord":
        if self.least_mdl and not (self.n_groups_at_least_mdl and self.largest_group_at_least_mdl):
            raise ValueError(
                "least_mdl: given without n_groups_at_least_mdl and largest_group_at_least_mdl "
                "(allowed: all three or none)"
            )
        return self


class SharedMember(Record):
    """A component of another group that is also active with this one."""

    label: str
    bits: float
    share: float


class FoundGroup(Record):
    """One group of `groups.json`; its columns are checked with those of the others."""

    group: Count
    members: list[str] = Field(min_length=2)
    shared_members: list[SharedMember]
    bits_saved_runs: list[float | None]


class FoundTree(Record):
    """The tree that groups were chosen from."""

    children: list[Annotated[list[Count], Field(min_length=2, max_length=2)]]
    height: list[float]
    bits: list[float | None]
    bits_se: list[float | None]
    chosen: list[Literal[0, 1]]
    group: list[Count | None] | None = None


class PairSimilarity(Record):
    """How similar the activity of two components is, over many pairs."""

    mean: float | None
    median: float | None
    never: float | None


class GroupsRecord(Record):
    """`groups.json`, see `groups_record`."""

    format: Literal["spdclust groups"]
    format_version: Literal[1]
    settings: dict[str, Any]
    warnings: list[str]
    labels: list[str]
    n_groups: Count
    n_alone: Count
    expected_false: float | None
    null_groups: list[Count]
    null_groups_busy: list[Count]
    bits: dict[str, float | None]
    cohesion: dict[str, PairSimilarity]
    groups: list[FoundGroup]
    in_no_group: list[str]
    tree: FoundTree | None


class SweepPoint(Record):
    """One point in the comparison of a sweep."""

    name: str
    n_runs: Count
    n_groups_min: Count
    n_groups_max: Count
    n_distinct: Count
    mean_support: float
    null_mean_support: float
    n_groups_found: Count | None = None
    expected_false: float | None = None
    bits_alone: float | None = None
    bits_answer: float | None = None
    bits_formed_by_most: float | None = None
    bits_least_mdl: float | None = None


class SweepRecord(Record):
    """`sweep.json`, see `compare_points`."""

    swept: list[str]
    points: list[SweepPoint] = Field(min_length=1)
    distances: dict[str, Any]


class RegisteredRun(Record):
    """One run in `registered.json`, and its row in the registry."""

    run: Count
    history: str
    digest: str
    n_components: Count
    n_merges: Count
    merge_seed: str = Field(pattern=r"^\[\d+(, \d+)*\]$")
    batch_seeds: str = Field(pattern=r"^\[(\d+(, \d+)*)?\]$")
    package_version: str | None


class RegisteredEnsemble(Record):
    """One ensemble in `registered.json`, and its row in the registry."""

    ensemble: str
    n_runs: Count
    configuration: str
    model: str | None
    base_seed: Count
    dataset_seed: Count
    package_version: str | None
    git_commit: str | None
    git_dirty: Count | None
    runs: list[RegisteredRun]


def read_record(model: type[Record], path: str | Path, allowed: str) -> dict[str, Any]:
    """Read a JSON record and check the parts that are used.

    Example:
        >>> _ = (folder / "stability.json").write_text('{"n_runs": -1}')
        >>> read_record(StabilityRecord, folder / "stability.json", "stability.json")
        Traceback (most recent call last):
        ...
        spdclust.InputError: ...stability.json: n_runs: not allowed (found: -1; allowed: greater than
        or equal to 0)

    Raises:
        InputError: the file does not exist or is not JSON, a key is missing, or a value is of the wrong type.
    """
    return checked_record(model, read_json(path, allowed), path)


def checked_record(model: type[Record], content: Any, path: str | Path) -> dict[str, Any]:
    """Check a record that has been read, and return it with numbers converted to the types of the model.

    Example:
        >>> distances = {"iteration": 7, "mean": 0.5, "min": 0.0, "max": 1.0, "median": 0.4}
        >>> checked_record(SummarizedDistances, distances, "summary.json") == distances
        True
        >>> checked_record(SummarizedDistances, {**distances, "mean": "none"}, "summary.json")
        Traceback (most recent call last):
        ...
        spdclust.InputError: summary.json: mean: ...

    Raises:
        InputError: a key is missing, or a value is of the wrong type.
    """
    return validate(model, content, file=path).model_dump(exclude_unset=True)
