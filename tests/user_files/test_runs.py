"""Which user-supplied files belong to which run: shards, masks, hidden files, runs of another width."""

import logging

import numpy as np
import pytest
import torch
from new_interpreter import imported_by
from scipy import sparse

from spdclust.commands.cli import main
from spdclust.config.run import ClusteringRunConfig
from spdclust.core.errors import InputError
from spdclust.files.activation_batch import ActivationBatch
from spdclust.sampling.estimate import estimate
from spdclust.sampling.precompute import precompute_batches_for_ensemble
from spdclust.stages.merge import merge
from spdclust.user_files import tokens as token_files
from spdclust.user_files.folders import _run_files, files_of_run, files_of_runs
from spdclust.user_files.layout import group_shards
from spdclust.user_files.matrices import read_user_file
from spdclust.user_files.runs import describe_runs, header_of_user_file, read_user_batch

RNG = np.random.default_rng(0)
MASK = np.ones((20, 25), dtype=np.int64)


def activations(samples=40, components=6):
    return (RNG.random((samples, components)) * (RNG.random((samples, components)) < 0.3)).astype(np.float32)


def save(folder, **arrays):
    """Write `<name>.npy` for each array, `__` standing for a folder."""
    for name, array in arrays.items():
        path = folder / f"{name.replace('__', '/')}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, array)
    return folder


def shards(folder, total=3, start=0, width=5):
    given = [activations() for _ in range(total)]
    save(folder, **{f"acts_shard_{i + start:0{width}d}-of-{total:0{width}d}": a for i, a in enumerate(given)})
    return given


def config(folder, **settings):
    merge = {"activation_threshold": 0.1, "iters": 10} | settings.pop("merge_config", {})
    return ClusteringRunConfig.model_validate(
        {"precomputed_activations_dir": str(folder), "merge_config": merge} | settings
    )


def names(found):
    return [[file.name for file in batch] for batch in found.batches]


def written(settings, folder, n_runs=1):
    """Return the matrices of the batches of each run."""
    paths = precompute_batches_for_ensemble(settings, n_runs, folder / "batches")
    return [[ActivationBatch.load(path).matrix.toarray() for path in run] for run in paths]


@pytest.mark.parametrize(("start", "width"), [(0, 5), (1, 5), (1, 1)])
def test_files_numbered_of_n_are_shards_of_one_batch(tmp_path, start, width):
    given = shards(tmp_path / "own", start=start, width=width)
    settings = config(tmp_path / "own", n_batches=3)
    ((batch,),) = written(settings, tmp_path)
    np.testing.assert_array_equal(batch, np.concatenate(given))
    needs = estimate(settings)
    assert (needs.n_samples, needs.n_batches) == (120, 1)
    assert "n_batches: 3 is more than the 1 a run in the files" in needs.notes


def test_more_than_ten_shards_are_in_the_order_of_their_numbers(tmp_path):
    given = shards(tmp_path, total=12, width=1)
    batch = read_user_batch(_run_files(config(tmp_path)).files)
    np.testing.assert_array_equal(batch.matrix.toarray(), np.concatenate(given))
    np.testing.assert_array_equal(batch.maxima, np.concatenate(given).max(0))
    np.testing.assert_allclose(batch.means, np.concatenate(given).mean(0), rtol=1e-6)


@pytest.mark.parametrize(("total", "number"), [(3, 0), (3, 1), (3, 2), (12, 7)])
def test_a_missing_shard_is_named(tmp_path, total, number):
    shards(tmp_path, total)
    missing = f"acts_shard_{number:05d}-of-{total:05d}.npy"
    (tmp_path / missing).unlink()
    with pytest.raises(InputError, match=rf"a shard is missing .*{missing}"):
        _run_files(config(tmp_path))
    assert len(_run_files(config(tmp_path, shards=False, n_batches=total)).batches) == total - 1


def test_two_files_of_one_shard_are_named(tmp_path):
    shards(tmp_path)
    torch.save(torch.ones(4, 6), tmp_path / "acts_shard_00001-of-00003.pt")
    with pytest.raises(InputError, match=r"00001-of-00003\.pt: two files of one shard \(found: also acts_"):
        files_of_run(tmp_path)


def test_several_sets_of_shards_are_several_batches(tmp_path):
    save(tmp_path, **{f"{b}-{i}-of-2": activations() for b in "ab" for i in range(2)})
    found = _run_files(config(tmp_path, n_batches=2))
    assert names(found) == [["a-0-of-2.npy", "a-1-of-2.npy"], ["b-0-of-2.npy", "b-1-of-2.npy"]]
    assert len(group_shards(files_of_run(tmp_path).files, True)) == 1


def test_shards_have_the_same_components(tmp_path):
    first, second = tmp_path / "x-0-of-2.pt", tmp_path / "x-1-of-2.pt"
    torch.save({"activations": torch.ones(2, 2), "labels": ["a:0", "a:1"]}, first)
    torch.save({"activations": torch.ones(2, 2), "labels": ["a:1", "a:0"]}, second)
    with pytest.raises(InputError, match=r"x-1-of-2\.pt: labels: shards have different components"):
        read_user_batch([first, second])


PARTS = {f"part_{number}": activations() for number in range(5)}


def test_several_files_and_one_batch_are_never_guessed(tmp_path):
    """All runs read part 0, and agreed with support 1.00."""
    save(tmp_path, **PARTS)
    with pytest.raises(InputError) as caught:
        files_of_runs(config(tmp_path), range(5))
    for said in ("5 files: part_0.npy", "shards: true", "shards: false", "'part_{run}.npy'", "run_<r>/"):
        assert said in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (True, [["part_0.npy", "part_1.npy", "part_2.npy", "part_3.npy", "part_4.npy"]]),
        ("part_[13].npy", [["part_1.npy", "part_3.npy"]]),
        ("part_{run}.npy", [["part_2.npy"]]),
        (False, [["part_0.npy"]]),
    ],
)
def test_the_setting_decides_what_several_files_are(tmp_path, setting, expected):
    save(tmp_path / "own", **PARTS)
    settings = config(tmp_path / "own", shards=setting)
    assert names(_run_files(settings, 2)) == expected
    ((batch,),) = written(settings, tmp_path, 3)[2:]
    np.testing.assert_array_equal(batch, np.concatenate([PARTS[name[:6]] for name in expected[0]]))


def test_files_of_other_runs_are_named_only_where_no_run_reads_them(tmp_path, caplog):
    save(tmp_path / "own", **PARTS, other=activations(), attention_mask=MASK)
    settings = config(tmp_path / "own", shards="part_{run}.npy")
    assert estimate(settings, 3).lines()[3:5] == [
        "not read: attention_mask.npy, other.npy (does not match part_{run}.npy)",
        "not read: part_3.npy, part_4.npy (file of another run)",
    ]
    paths = precompute_batches_for_ensemble(settings, 2, tmp_path / "out")
    unused = "attention_mask.npy, other.npy (does not match part_{run}.npy)"
    assert caplog.messages == [f"not read in {tmp_path}/own: {unused}"] * 2
    assert ActivationBatch.load(paths[1][0]).provenance["unused"] == unused


def test_the_number_of_a_run_may_have_leading_zeros(tmp_path):
    save(tmp_path, **{f"part_{number:02d}": activations() for number in range(11)})
    assert names(_run_files(config(tmp_path, shards="part_{run:02}.npy"), 7)) == [["part_07.npy"]]
    with pytest.raises(
        InputError, match=r"shards: no file matches the pattern \(found: part_00\.npy, .*part_11"
    ):
        _run_files(config(tmp_path, shards="part_{run:02}.npy"), 11)


@pytest.mark.parametrize("value", [3, 1, "yes", "", "sub/part_*.npy", ["a.npy"]])
def test_other_values_of_the_setting_are_rejected(tmp_path, value):
    with pytest.raises(InputError, match=r"shards: found .* \(allowed: true, false, null, or a pattern"):
        config(tmp_path, shards=value)


def test_files_that_a_merge_needs_several_of_are_batches(tmp_path):
    save(tmp_path, **PARTS)
    settings = config(tmp_path, merge_config={"iters": 10, "recompute_costs_every": 5})
    found = _run_files(settings)
    assert names(found) == [["part_0.npy"], ["part_1.npy"]]
    assert list(found.unused().values()) == ["the merge needs 2 batches a run"] * 3


def test_batches_by_name_are_batches(tmp_path):
    for number in range(3):
        ActivationBatch.from_dense(activations(), [f"m:{i}" for i in range(6)]).save(
            tmp_path / f"batch_{number}.pt"
        )
    assert names(_run_files(config(tmp_path))) == [["batch_0.pt"]]


@pytest.mark.parametrize(
    "name",
    ["attention_mask", "mask_0", "position_ids", "input_ids-0-of-1", "W_dec", "sae_b_enc", "weights"],
)
def test_files_named_as_something_else_are_not_read(tmp_path, name):
    own = save(tmp_path / "own", feature_acts=PARTS["part_0"].reshape(8, 5, 6), **{name: MASK})
    found = _run_files(config(own))
    assert names(found) == [["feature_acts.npy"]]
    assert found.unused()[own / f"{name}.npy"].startswith("named as ")
    np.testing.assert_array_equal(written(config(own), tmp_path)[0][0], PARTS["part_0"])
    (own / "feature_acts.npy").unlink()
    with pytest.raises(InputError, match=rf"no activations .*{name}\.npy \(named as .*shards: <pattern>"):
        _run_files(config(own))
    assert names(_run_files(config(own, shards=f"{name}.npy"))) == [[f"{name}.npy"]]


@pytest.mark.parametrize(
    "name", ["masked_acts", "acts_per_token", "latents", "encoder_acts", "mlp_out", "x_w"]
)
def test_activations_are_not_taken_for_something_else(tmp_path, name):
    save(tmp_path, **{name: activations()})
    assert names(_run_files(config(tmp_path))) == [[f"{name}.npy"]]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (MASK, r"other\.npy: whole numbers next to real ones.*found: integers, 25 columns"),
        (np.ones((40, 6), dtype=bool), r"other\.npy: whole numbers next to real ones"),
        (np.arange(40), r"other\.npy: not a matrix of numbers"),
        (activations(9, 7), r"other\.npy: number of columns differs from the other files .*6 columns, as a_0\.npy"),
        (activations(6, 40), r"other\.npy: number of columns.*found: 40 columns, 6 rows, transposed\?"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("used", [True, False])
def test_a_file_of_another_kind_is_rejected_by_name(tmp_path, other, message, used):
    own = save(tmp_path / "own", a_0=activations(), a_1=activations(), other=other)
    settings = config(own, shards=False, n_batches=3 if used else 1)
    for check in (lambda: estimate(settings), lambda: written(settings, tmp_path)):
        with pytest.raises(InputError, match=message):
            check()


def test_whole_numbers_alone_are_activations(tmp_path):
    own = save(tmp_path / "own", a=(activations() > 0).astype(np.int64))
    assert written(config(own), tmp_path)[0][0].max() == 1


HEADERS = {
    "real.npy": (lambda p: np.save(p, activations()), False, False),
    "whole.npy": (lambda p: np.save(p, MASK), True, False),
    "csr.npz": (lambda p: sparse.save_npz(p, sparse.csr_array(activations())), False, False),
    "labelled.npz": (lambda p: np.savez(p, activations=activations(), labels=list("abcdef")), False, True),
    "only.npz": (lambda p: np.savez(p, activations() > 0), True, False),
    "plain.pt": (lambda p: torch.save(torch.ones(3, 2), p), False, False),
    "sparse.pt": (lambda p: torch.save(torch.ones(3, 2).bool().to_sparse(), p), True, False),
    "dict.pt": (
        lambda p: torch.save({"activations": torch.ones(3, 2), "labels": ["a", "b"]}, p),
        False,
        True,
    ),
    "batch_0.pt": (lambda p: ActivationBatch.from_dense([[1.0]], ["m:0"]).save(p), False, True),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_tell_the_kind_of_numbers_and_whether_there_are_labels(tmp_path, name):
    write, whole_numbers, has_labels = HEADERS[name]
    write(tmp_path / name)
    header = header_of_user_file(tmp_path / name)
    assert (header.whole_numbers, header.has_labels) == (whole_numbers, has_labels)
    (tmp_path / "labels.txt").write_text("".join(f"m:{i}\n" for i in range(header.n_components)))
    assert header_of_user_file(tmp_path / name).has_labels


@pytest.mark.parametrize("name", ["._acts.npy", ".acts.npy", ".hidden/memberships.npz"])
def test_hidden_files_are_never_read(tmp_path, name):
    own = save(tmp_path, acts=activations())
    (own / name).parent.mkdir(exist_ok=True)
    (own / name).write_bytes(b"\0\5\26\7")
    for setting in (None, True, False, "*.npy"):
        found = _run_files(config(own, shards=setting))
        assert (names(found), found.unused()) == ([["acts.npy"]], {})


def oriented(folder):
    return save(folder, run_0__x=activations(40, 6), run_1__x=activations(6, 40), run_2__x=activations(40, 6))


def test_runs_of_another_orientation_are_rejected_if_labels_are_generated(tmp_path):
    own = oriented(tmp_path / "own")
    message = (
        r"run_1/x\.npy: number of columns differs from other runs \(found: 40 columns, 6 rows, transposed\?"
    )
    with pytest.raises(InputError, match=message):
        estimate(config(own), 3)
    with pytest.raises(InputError, match=message):
        written(config(own), tmp_path, 3)
    assert estimate(config(own), 1).n_components == 6


def test_runs_with_labels_of_their_own_may_have_other_components(tmp_path):
    own = oriented(tmp_path / "own")
    for run, width in enumerate((6, 40, 6)):
        (own / f"run_{run}/labels.txt").write_text("".join(f"m:{i}\n" for i in range(width)))
    assert [run[0].shape for run in written(config(own), tmp_path, 3)] == [(40, 6), (6, 40), (40, 6)]


def test_labels_of_the_other_axis_ask_whether_the_matrix_is_transposed(tmp_path):
    own = oriented(tmp_path / "own")
    (own / "labels.txt").write_text("".join(f"m:{i}\n" for i in range(6)))
    for check in (lambda: estimate(config(own), 3), lambda: written(config(own), tmp_path, 3)):
        with pytest.raises(
            InputError, match=r"6 labels; allowed: 40 labels, .*; transposed\? x\.npy has 6 rows"
        ):
            check()
    np.save(own / "run_1/x.npy", activations(7, 40))
    with pytest.raises(InputError, match=r"allowed: 40 labels, one for each column of x\.npy\)"):
        written(config(own), tmp_path, 3)


def test_runs_with_another_number_of_batches_are_rejected(tmp_path):
    save(tmp_path, run_0__a=activations(), run_0__b=activations(), run_1__a=activations())
    with pytest.raises(
        InputError, match=r"run_1: .*run 1 has another number of batches \(found: 1; allowed: 2"
    ):
        files_of_runs(config(tmp_path, n_batches=2), range(2))


def test_validate_lists_the_files_of_every_run(tmp_path, capsys):
    save(tmp_path, shared__feature_acts=activations(), shared__attention_mask=MASK)
    save(tmp_path, **{f"apart__run_{run}__x": activations() for run in range(3)}, apart__x=activations())
    (tmp_path / "apart/run_2/x.npy").rename(tmp_path / "apart/run_2/y.npy")
    for folder in ("shared", "apart"):
        (tmp_path / f"{folder}.yaml").write_text(
            f"clustering_run_config: {{precomputed_activations_dir: {tmp_path / folder}}}\nn_runs: 3\n"
        )
    assert main(["validate", str(tmp_path / "shared.yaml")]) == 0
    shown = capsys.readouterr().out
    assert "  every run reads feature_acts.npy\n  not read: attention_mask.npy (named as a mask)\n" in shown
    assert "  warning: runs 0, 1 and 2 read the same files: runs that share samples cannot confirm" in shown
    assert main(["validate", str(tmp_path / "apart.yaml")]) == 0
    shown = capsys.readouterr().out
    assert "  run 0 reads run_0/x.npy\n  run 1 reads run_1/x.npy\n  run 2 reads run_2/y.npy\n" in shown
    assert "  not read: x.npy (outside the folders run_<r>/)\n" in shown
    assert "warning" not in shown
    settings = config(tmp_path / "apart")
    path = precompute_batches_for_ensemble(settings, 1, tmp_path / "out")[0][0]
    assert ActivationBatch.load(path).provenance["unused"] == "../x.npy (outside the folders run_<r>/)"


def test_validate_checks_every_run_of_a_run_file_and_names_further_runs(tmp_path, capsys):
    own = oriented(tmp_path / "own")
    (tmp_path / "run.yaml").write_text(f"precomputed_activations_dir: {own}\n")
    assert main(["validate", str(tmp_path / "run.yaml")]) == 1
    assert "run_1/x.npy: number of columns differs from other runs" in capsys.readouterr().err
    save(own, run_1__x=activations())
    assert main(["validate", str(tmp_path / "run.yaml")]) == 0
    assert "samples: 3 runs" in capsys.readouterr().out
    assert "not read: run_1/, run_2/ (the ensemble has 1 run)" in estimate(config(own), 1).lines()


def test_a_folder_that_is_one_batch_of_its_run_has_its_own_name_in_reports(tmp_path):
    for run in range(2):
        folder = tmp_path / f"run_{run}/layers.4.mlp"
        folder.mkdir(parents=True)
        (folder / "0_9.safetensors").touch()
    shown = describe_runs(files_of_runs(config(tmp_path), range(2)))
    assert shown == ["run 0 reads run_0", "run 1 reads run_1"]


@pytest.mark.parametrize(
    ("total", "line"),
    [
        (2, "acts_shard_00000-of-00002.npy, acts_shard_00001-of-00002.npy"),
        (5, "5, acts_shard_00000-of-00005.npy to acts_shard_00004-of-00005.npy"),
    ],
)
def test_the_log_of_a_merge_names_the_files(tmp_path, caplog, total, line):
    shards(tmp_path / "own", total)
    settings = config(tmp_path / "own")
    (paths,) = precompute_batches_for_ensemble(settings, 1, tmp_path / "out")
    with caplog.at_level(logging.INFO):
        merge(
            paths,
            settings.merge_config.resolved(),
            (0, 0),
            history=tmp_path / "history.zip",
            metrics=tmp_path / "metrics.csv",
        )
    assert f"from user-supplied files: {line}" in caplog.messages


def test_validate_warns_if_nothing_can_be_merged(tmp_path):
    save(tmp_path, x=activations(components=3))
    assert "note: min_groups: 3, so none of 3 components are merged" in estimate(config(tmp_path), 1).lines()
    save(tmp_path, x=activations(components=4))
    assert not [line for line in estimate(config(tmp_path), 1).lines() if "min_groups" in line]


def test_links_to_one_file_are_the_same_samples(tmp_path):
    save(tmp_path, run_0__x=activations())
    (tmp_path / "run_1").mkdir()
    (tmp_path / "run_1/x.npy").symlink_to("../run_0/x.npy")
    shown = describe_runs(files_of_runs(config(tmp_path), range(2)))
    assert "warning: runs 0 and 1 read the same files" in shown[-1]


def test_the_log_and_the_batch_name_the_files(tmp_path, caplog):
    own = save(tmp_path / "own", run_0__a=activations(), run_0__mask=MASK)
    with caplog.at_level(logging.INFO):
        (paths,) = precompute_batches_for_ensemble(config(own), 1, tmp_path / "out")
    assert f"run 0, batch 0: {own}/run_0/a.npy" in caplog.messages
    assert f"not read in {own}/run_0: mask.npy (named as a mask)" in caplog.messages
    made = ActivationBatch.load(paths[0]).provenance
    assert (made["source"], made["unused"]) == ("a.npy", "mask.npy (named as a mask)")


def test_the_setting_has_no_effect_on_a_model():
    notes = estimate(ClusteringRunConfig(model_path="resources/resid_mlp1", shards=True)).notes
    assert "shards: no effect without precomputed_activations_dir" in notes


def test_the_setting_is_recorded_only_where_it_is_set():
    plain = ClusteringRunConfig(precomputed_activations_dir="a")
    assert "shards" not in plain.sampling()
    assert ClusteringRunConfig(precomputed_activations_dir="a", shards=True).sampling()["shards"] is True


@pytest.mark.parametrize("name", ["token_ids", "tokens", "input_ids"])
def test_tokens_are_used_and_have_to_fit(tmp_path, name):
    tokens = np.arange(40).reshape(8, 5)
    own = save(tmp_path / "own", feature_acts=PARTS["part_0"].reshape(8, 5, 6), **{name: tokens})
    found = _run_files(config(own))
    assert names(found) == [["feature_acts.npy"]]
    assert found.unused() == {}
    assert read_user_file(found.files[0]).examples.n_samples == 40
    np.save(own / f"{name}.npy", MASK)
    with pytest.raises(InputError, match=rf"{name}\.npy: tokens: not one token for each sample"):
        written(config(own), tmp_path)


def test_shards_have_the_tokens_with_their_numbers(tmp_path):
    dense = activations()
    for number, start in enumerate((0, 10)):
        np.save(tmp_path / f"acts_shard_0000{number}-of-00002.npy", dense[start : start + 10])
        np.save(tmp_path / f"tokens_shard_0000{number}-of-00002.npy", np.arange(start, start + 10)[None])
    found = _run_files(config(tmp_path))
    assert names(found) == [[f"acts_shard_0000{number}-of-00002.npy" for number in range(2)]]
    assert found.unused() == {}
    batch = read_user_batch(found.batches[0])
    np.testing.assert_array_equal(batch.matrix.toarray(), dense[:20])
    assert batch.examples.n_samples == 20
    for sample in (3, 13):
        texts, position = batch.examples.context(sample)
        assert texts[position] == str(sample)
    np.save(tmp_path / "tokens_shard_00001-of-00002.npy", np.array([["a"] * 10]))
    with pytest.raises(InputError, match=r"tokens: not tokens \(found: integers for some shards, texts for"):
        read_user_batch(found.batches[0])
    (tmp_path / "tokens_shard_00001-of-00002.npy").unlink()
    with pytest.raises(InputError, match=r"00001-of-00002\.npy: tokens: no tokens for this shard"):
        read_user_batch(found.batches[0])


def test_tokens_of_many_shards_are_stored_for_the_first_samples(tmp_path, monkeypatch):
    monkeypatch.setattr(token_files, "MOST_SAMPLES", 25)
    shards(tmp_path, 3)
    for number in range(3):
        own = np.arange(40).reshape(8, 5) + 100 * number
        np.save(tmp_path / f"tokens_shard_{number:05d}-of-00003.npy", own)
    batch = read_user_batch(_run_files(config(tmp_path)).batches[0])
    assert (batch.n_samples, batch.examples.n_samples) == (120, 25)
    monkeypatch.setattr(token_files, "MOST_SAMPLES", 60)
    batch = read_user_batch(_run_files(config(tmp_path)).batches[0])
    texts, position = batch.examples.context(47)
    assert (texts[position], batch.examples.n_samples) == ("107", 60)
    assert texts == [str(number) for number in range(105, 110)]


def test_validate_names_tokens_and_compares_their_number(tmp_path, capsys):
    own = save(tmp_path / "own", **{f"run_{run}__acts": activations() for run in range(2)})
    n_samples = len(activations())
    for run in range(2):
        np.save(own / f"run_{run}/tokens.npy", np.arange(n_samples))
    (tmp_path / "p.yaml").write_text(
        f"clustering_run_config: {{precomputed_activations_dir: {own}}}\nn_runs: 2\n"
    )
    assert main(["validate", str(tmp_path / "p.yaml")]) == 0
    assert "\n  tokens of run_0/acts.npy, run_1/acts.npy (tokens.npy)\n" in capsys.readouterr().out
    (own / "run_1/tokens.npy").unlink()
    for name, write in (
        ("tokens.npy", lambda path: np.save(path, np.arange(n_samples - 1))),
        ("tokens.json", lambda path: path.write_text(str(list(range(n_samples - 1))))),
    ):
        write(own / "run_1" / name)
        assert main(["validate", str(tmp_path / "p.yaml")]) == 1
        assert (
            f"run_1/{name}: tokens: not one token for each sample (found: {n_samples - 1} tokens, "
            f"{n_samples} samples; allowed: {n_samples} tokens)"
        ) in capsys.readouterr().err
        (own / "run_1" / name).unlink()


def test_names_of_columns_cannot_control_the_terminal(tmp_path, capsys):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    rows = activations().tolist()
    pq.write_table(
        pa.table({"activations": rows, "a\x1b[31m\n\u202e": [1.5] * len(rows)}), tmp_path / "a.parquet"
    )
    (tmp_path / "run.yaml").write_text(f"precomputed_activations_dir: {tmp_path}\n")
    assert main(["validate", str(tmp_path / "run.yaml")]) == 0
    assert r"not read: a\x1b[31m\n\u202e" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["tokens.npy", "tokens.json"])
def test_no_tokens_at_all_are_none_for_each_sample(tmp_path, capsys, name):
    np.save(tmp_path / "a.npy", activations())
    if name.endswith("npy"):
        np.save(tmp_path / name, np.zeros(0, dtype=np.int64))
    else:
        (tmp_path / name).write_text("[]")
    (tmp_path / "run.yaml").write_text(f"precomputed_activations_dir: {tmp_path}\n")
    assert main(["validate", str(tmp_path / "run.yaml")]) == 1
    assert f"{name}: tokens: not one token for each sample (found: 0 tokens, " in capsys.readouterr().err


def test_tokens_need_not_fit_files_that_no_run_reads(tmp_path, capsys):
    np.save(tmp_path / "a.npy", activations())
    np.save(tmp_path / "b.npy", np.repeat(activations(), 2, axis=0))
    np.save(tmp_path / "tokens.npy", np.arange(len(activations())))
    (tmp_path / "run.yaml").write_text(
        f"precomputed_activations_dir: {tmp_path}\nn_batches: 1\nshards: false\n"
    )
    assert main(["validate", str(tmp_path / "run.yaml")]) == 0
    printed = capsys.readouterr().out
    assert "not read: b.npy" in printed
    assert "tokens of a.npy (tokens.npy)" in printed


def test_validate_names_tokens_that_only_torch_can_count(tmp_path, capsys):
    np.save(tmp_path / "acts.npy", activations())
    torch.save(torch.arange(3), tmp_path / "tokens.pt")
    (tmp_path / "run.yaml").write_text(f"precomputed_activations_dir: {tmp_path}\n")
    command = ["validate", str(tmp_path / "run.yaml")]
    assert "torch" not in imported_by(f"from spdclust.commands.cli import main; main({command})")
    assert main(command) == 0
    assert "\n  tokens of acts.npy (tokens.pt, their number is not checked)\n" in capsys.readouterr().out


def test_validate_names_the_columns_of_tables(tmp_path, capsys):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    rows = activations().tolist()
    columns = {"activations": rows, "input_ids": list(range(len(rows))), "text": ["a"] * len(rows)}
    for run in range(2):
        (tmp_path / f"run_{run}").mkdir()
        pq.write_table(pa.table(columns | {"score": [0.5] * len(rows)}), tmp_path / f"run_{run}/a.parquet")
    (tmp_path / "run.yaml").write_text(f"precomputed_activations_dir: {tmp_path}\n")
    assert main(["validate", str(tmp_path / "run.yaml")]) == 0
    shown = capsys.readouterr().out
    assert "\n  tokens of run_0/a.parquet, run_1/a.parquet (in the file)\n" in shown
    assert (
        "\n  columns of run_0/a.parquet, run_1/a.parquet (read: activations, input_ids; not read: text, score)\n"
        in shown
    )
    pq.write_table(pa.table(columns | {"input_ids": [[1, 2]] * len(rows)}), tmp_path / "run_1/a.parquet")
    assert main(["validate", str(tmp_path / "run.yaml")]) == 1
    assert "run_1/a.parquet: tokens: not one token for each sample" in capsys.readouterr().err
