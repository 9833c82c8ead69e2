"""Files made to do harm, and the very files that damage first got past a reader with: each refused, none executed."""

import contextlib
import io
import json
import math
import pickle
import struct
import threading
import zipfile

import numpy as np
import pytest
import torch
from damage import little_memory, no_longer_than, npy_bytes, zip_bytes
from formats import (
    DENSE,
    FORMATS,
    a_batch,
    a_history,
    make_batch,
    make_distances,
    make_history,
    make_merge_checkpoint,
    make_reference_history,
    make_run,
    make_second_batch,
    make_snapshot,
    make_tokenizer,
    run_file,
    written,
)
from pydantic import TypeAdapter, ValidationError
from scipy import sparse

from spdclust.config.load import load_config, read_mapping
from spdclust.config.run import ClusteringRunConfig
from spdclust.core import safe_reading as opening
from spdclust.core.errors import InputError
from spdclust.files.activation_batch import ActivationBatch
from spdclust.files.archive import digest_of
from spdclust.files.batches import BatchedActivations
from spdclust.files.ensemble_folder import find_histories
from spdclust.files.ensembles import load_distance_rows
from spdclust.files.histories import load_merge_history
from spdclust.files.records import Count
from spdclust.files.torch_files import load_tensors
from spdclust.models.checkpoint import read_state_dict
from spdclust.models.component_model import load_model
from spdclust.user_files.folders import files_of_run
from spdclust.user_files.matrices import read_user_file
from spdclust.user_files.runs import header_of_user_file


def refusal(read, path):
    with no_longer_than(), little_memory(), pytest.raises(InputError) as caught:
        read(path)
    line = str(caught.value)
    assert "\n" not in line
    return line


def members_of(path):
    with zipfile.ZipFile(path) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def exchanged(path, changes, **options):
    """Pack a zip again with some members changed, and checksums that fit."""
    members = members_of(path) | changes
    path.unlink()
    return written(path, zip_bytes([(k, v) for k, v in members.items() if v is not None], **options))


def flipped(path, old, new, which=0):
    """Exchange bytes, the n-th time that they occur, without touching checksums."""
    content = path.read_bytes()
    at = -1
    for _ in range(which + 1):
        at = content.index(old, at + 1)
    return written(path, content[:at] + new + content[at + len(old) :])


# code


class Touch:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (open, (str(self.trace), "w"))


def _as_saved(value, path):
    torch.save(value, path)


def _as_pickle(value, path):
    path.write_bytes(pickle.dumps(value))


def _as_objects(value, path):
    np.savez(path.with_suffix(".npz"), activations=np.array([value], dtype=object))
    path.with_suffix(".npz").rename(path)


READERS = {
    "batch_0.pt": ActivationBatch.load,
    "x.pt": read_user_file,
    "x.npz": read_user_file,
    "x.npy": read_user_file,
    "model_1.pth": read_state_dict,
    "history.zip": load_merge_history,
    "distances.npz": load_distance_rows,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("write", [_as_saved, _as_pickle, _as_objects])
def test_code_in_a_file_is_never_executed(tmp_path, name, write):
    trace = tmp_path / "executed"
    write({"format": Touch(trace), "a": Touch(trace)}, tmp_path / name)
    refusal(READERS[name], tmp_path / name)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Touch(trace)))  # it does what it is said to do
    assert trace.exists()


def test_objects_in_a_history_are_never_unpickled(tmp_path):
    trace = tmp_path / "executed"
    stream = io.BytesIO()
    np.save(stream, np.array([Touch(trace)], dtype=object), allow_pickle=True)
    path = exchanged(make_history(tmp_path), {"mdl_loss.npy": stream.getvalue()})
    assert "mdl_loss.npy: not a readable member (found: array of Python objects" in refusal(
        load_merge_history, path
    )
    assert not trace.exists()


def test_a_tokenizer_cannot_name_code_of_its_own(tmp_path):
    from spdclust.sampling.tokens import Tokenizer

    folder = make_tokenizer(tmp_path).parent
    written(folder / "own.py", f"open({str(tmp_path / 'executed')!r}, 'w')\nclass Own: pass\n")
    settings = {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", None]}}
    written(folder / "tokenizer_config.json", json.dumps(settings))
    with no_longer_than(), contextlib.suppress(InputError):
        Tokenizer(str(folder), 512)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "text", ["!!python/object/apply:os.system ['touch executed']", "a: !!python/name:os.system"]
)
def test_yaml_cannot_name_code(tmp_path, text):
    assert "could not determine a constructor" in refusal(read_mapping, written(tmp_path / "a.yaml", text))


# sizes that a file announces


def _header(shape, dtype="<f8"):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue()


HUGE = (10**12,)


def test_headers_that_announce_terabytes_are_refused(tmp_path):
    assert "header announces 8000000000000 bytes, 16 are stored" in refusal(
        load_merge_history, exchanged(make_history(tmp_path), {"mdl_loss.npy": _header(HUGE) + bytes(16)})
    )
    assert "not a readable matrix" in refusal(
        read_user_file, written(tmp_path / "x.npy", _header((10**6, 10**6)) + bytes(64))
    )
    for shape, dtype in (((10**6, 10**6), "<f8"), ((10**12, 3), "<U0"), ((-1, 8), "<f8")):
        path = written(tmp_path / "x.npz", zip_bytes([("arr_0.npy", _header(shape, dtype) + bytes(64))]))
        assert "header announces" in refusal(read_user_file, path)
        assert "header announces" in refusal(header_of_user_file, path)


def test_zip_bombs_are_refused_before_they_are_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "LEAST_LIMIT", 2**20)
    bomb = _header((4 * 2**20,), "|u1") + bytes(4 * 2**20)
    small = zip_bytes([("distances.npy", bomb)], compressed=True)
    assert len(small) < 2**13
    path = written(tmp_path / "distances.npz", small)
    assert "distances.npy: header declares more data than the file contains" in refusal(
        load_distance_rows, path
    )
    own = written(tmp_path / "x.npz", small)
    assert "header declares more data than the file contains" in refusal(read_user_file, own)


def test_compressed_members_of_a_saved_tensor_are_refused(tmp_path):
    for name, make, read in (("b", make_batch, ActivationBatch.load), ("m", make_run, read_state_dict)):
        (tmp_path / name).mkdir()
        path = exchanged(make(tmp_path / name), {}, compressed=True)
        assert "member is compressed" in refusal(read, path)


def test_sparse_shapes_without_anything_in_them_are_refused(tmp_path):
    """A shape of 2^31 rows in a file of 1 kB once took 17 GB."""
    for shape in ((2**31 - 2, 3), (3, 2**31 - 2)):
        sparse.save_npz(tmp_path / "x.npz", sparse.coo_array((np.ones(1), ([0], [0])), shape=shape))
        assert "shape: header declares more data than the file contains" in refusal(
            read_user_file, tmp_path / "x.npz"
        )
        torch.save(torch.sparse_coo_tensor([[0], [0]], [1.0], shape), tmp_path / "x.pt")
        assert "header declares more data than the file contains" in refusal(
            read_user_file, tmp_path / "x.pt"
        )


def test_tensors_that_repeat_one_number_without_end_are_refused(tmp_path):
    tensor = torch.ones(1, 1).expand(10**6, 10**6)
    torch.save(tensor, tmp_path / "x.pt")
    assert "tensors: header declares more data than the file contains" in refusal(
        read_user_file, tmp_path / "x.pt"
    )
    torch.save({"a": tensor}, tmp_path / "model_1.pth")
    assert "tensors: header declares more data than the file contains" in refusal(
        read_state_dict, tmp_path / "model_1.pth"
    )


def test_tensors_without_numbers_are_refused(tmp_path):
    torch.save({"a": torch.empty(3, device="meta")}, tmp_path / "model_1.pth")
    assert "a: not a plain tensor (found: meta" in refusal(read_state_dict, tmp_path / "model_1.pth")


YAML_BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))

MERGE_BOMB = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 60)
)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.yaml", YAML_BOMB, "once aliases are unfolded"),
        ("a.yaml", MERGE_BOMB, "once aliases are unfolded"),
        ("a.yaml", "a: &a [*a]", "recursive alias"),
        ("a.yaml", "[" * 2000, "maximum recursion depth"),
        ("a.json", "[" * 100000, "maximum recursion depth"),
        ("a.yaml", "n_runs: " + "9" * 5000, "digit"),
        ("a.json", '{"n_runs": ' + "9" * 5000 + "}", "digit"),
        ("a.yaml", "when: 2001-99-99", "month must be in 1..12"),
        ("a.yaml", "n_runs: 2\nn_runs: 3", "key given twice: n_runs"),
        ("a.json", '{"n_runs": 2, "n_runs": 3}', "key given twice: n_runs"),
        ("a.yaml", "#" * (2**20 + 1), "file is too large"),
        ("a.yaml", "a: \x00", "special characters are not allowed"),
    ],
)  # fmt: skip
def test_settings_made_to_hang_or_to_mean_two_things_are_refused(tmp_path, name, text, says):
    assert says in refusal(read_mapping, written(tmp_path / name, text))


@pytest.mark.parametrize(
    "value", ["0x" + "f" * 5000, "[" + "1, " * 2000 + "1]", "'" + "x" * 100000 + "'", ".nan", ".inf"]
)
def test_a_value_however_large_is_named_in_a_short_line(tmp_path, value):
    path = written(tmp_path / "run.yaml", f"model_path: m\nmerge_config: {{alpha: {value}}}")
    assert len(refusal(lambda path: load_config(ClusteringRunConfig, path), path)) < 600


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("tms_train_config.yaml", "n_hidden_layers: 0", "n_hidden_layers: 2147483648"),
        ("tms_train_config.yaml", "n_hidden: 2", "n_hidden: 10000000000000000000000"),
        ("tms_train_config.yaml", "n_features: 5", "n_features: 1000000000"),
        ("final_config.yaml", "C: 20", "C: 100000000000"),
    ],
)
def test_sizes_that_no_model_has_are_refused_before_anything_is_built(tmp_path, name, old, new):
    path = run_file(name)(tmp_path)
    assert old in path.read_text()
    written(path, path.read_text().replace(old, new))
    refusal(lambda path: load_model(path.parent, device="cpu"), path)


# names


@pytest.mark.parametrize("name", ["/etc/passwd.npy", "../../outside.npy", "a/../../b.npy"])
def test_members_that_lead_out_of_the_folder_are_refused(tmp_path, name):
    path = exchanged(make_history(tmp_path), {name: npy_bytes(np.ones(1))})
    assert f"{name}: unusable name of a member" in refusal(load_merge_history, path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["history.zip"]


def test_a_member_given_twice_is_refused(tmp_path):
    path = make_history(tmp_path)
    members = [*members_of(path).items(), ("mdl_loss.npy", npy_bytes(np.zeros(4)))]
    path.unlink()
    assert "mdl_loss.npy: member given twice" in refusal(
        load_merge_history, written(path, zip_bytes(members))
    )


# what damage was once read as something else


def test_a_flipped_bit_in_a_maximum_is_noticed_without_reading_the_activations(tmp_path):
    """A component would have been dead, or alive, by one bit of a batch that is never loaded whole."""
    path = make_second_batch(tmp_path)
    maxima = a_batch().maxima.astype(np.float32).tobytes()
    flipped(path, maxima, maxima[:-1] + bytes([maxima[-1] ^ 1]))
    line = refusal(lambda path: BatchedActivations(path.parent).component_stats(), path)
    assert line.startswith(f"{path}: checksum does not match")


def test_a_renamed_tensor_of_a_batch_is_noticed(tmp_path):
    """Tokens of examples under another name would have been left out without a word."""
    path = make_batch(tmp_path)
    assert "checksum" in refusal(ActivationBatch.load, flipped(path, b"example_tokens", b"example_tokenz"))


def test_a_flipped_bit_in_a_weight_is_noticed(tmp_path):
    path = make_run(tmp_path)
    name, content = max(members_of(path).items(), key=lambda item: len(item[1]) if "data/" in item[0] else 0)
    flipped(path, content[:32], bytes([content[0] ^ 64]) + content[1:32])
    assert f"Bad CRC-32 for file '{name}'" in refusal(read_state_dict, path)


def test_weights_saved_without_checksums_are_still_read(tmp_path):
    path = make_run(tmp_path)
    whole = read_state_dict(path)
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(whole, path.with_name("model_9000.pth"))
    finally:
        torch.serialization.set_crc32_options(True)
    again = read_state_dict(path.with_name("model_9000.pth"))
    assert all(torch.equal(whole[name], again[name]) for name in whole)


@pytest.mark.parametrize("value", [math.inf, -math.inf, -1e-8])
def test_one_value_that_is_no_distance_is_enough(tmp_path, value):
    path = make_distances(tmp_path)
    iterations, read = load_distance_rows(path)
    distances = read.copy()
    distances[0, 0, 1] = -1e-12  # what rounding gives
    np.savez(path, distances=distances, iterations=iterations)
    np.testing.assert_array_equal(load_distance_rows(path)[1], distances)
    distances[0, 0, 1] = value
    np.savez(path, distances=distances, iterations=iterations)
    assert "not distances (found: a negative or infinite one" in refusal(load_distance_rows, path)


def test_counts_of_a_record_are_those_that_a_database_and_an_array_hold():
    counts = TypeAdapter(Count)
    assert [counts.validate_python(value) for value in (0, 2**63 - 1)] == [0, 2**63 - 1]
    for value in (-1, 2**63):
        with pytest.raises(ValidationError):
            counts.validate_python(value)


def test_an_optional_member_cannot_vanish_by_a_flipped_bit(tmp_path):
    """Distances of every 2nd iteration would have been those of iterations 0, 1, 2."""
    path = make_distances(tmp_path)
    assert load_distance_rows(path)[0].tolist() == [0, 2, 4]
    for which in (0, 1):
        path.unlink()
        path = flipped(make_distances(tmp_path), b"iterations.npy", b"iterbtions.npy", which)
        assert "differ" in refusal(load_distance_rows, path)


def test_a_member_cannot_vanish_as_the_comment_of_another(tmp_path):
    """Three changed bytes once made labels out of numbers: the list of members ended one too early."""
    np.savez(tmp_path / "x.npz", activations=np.eye(2), labels=np.array(["a", "b"]))
    data = bytearray((tmp_path / "x.npz").read_bytes())
    first = data.index(b"PK\1\2")
    second = data.index(b"PK\1\2", first + 4)
    data[first + 32 : first + 34] = (data.index(b"PK\5\6") - second).to_bytes(2, "little")
    (tmp_path / "x.npz").write_bytes(data)
    for read in (read_user_file, header_of_user_file):
        assert "members are missing (found: 1 of 2; allowed: a whole matrix)" in refusal(
            read, tmp_path / "x.npz"
        )


def test_an_archive_that_counts_its_members_in_64_bits_is_read(tmp_path):
    """As it must from 65,535 members on; some writers always do, with 65,535 in the place of the count."""
    np.savez(tmp_path / "x.npz", activations=np.eye(2))
    data = (tmp_path / "x.npz").read_bytes()
    at = data.index(b"PK\5\6")
    n, size, start = struct.unpack_from("<HII", data, at + 10)
    count = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, n, n, size, start)
    place = struct.pack("<4sIQI", b"PK\6\7", 0, at, 1)
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    (tmp_path / "x.npz").write_bytes(data[:at] + count + place + end)
    np.testing.assert_array_equal(read_user_file(tmp_path / "x.npz").matrix.toarray(), np.eye(2))


def test_indices_out_of_range_do_not_reach_scipy(tmp_path):
    """Both crashed the process."""
    path = make_snapshot(tmp_path)
    for name, values in (
        ("indptr", [0, 2, 3, 0]),
        ("indices", [1, 2**30, 0, 2]),
        ("indices", [1, -(2**30), 0, 2]),
    ):
        exchanged(path, {f"{name}.npy": npy_bytes(np.array(values, dtype=np.int32))})
        assert "not a readable matrix" in refusal(read_user_file, path)
        path.unlink()
        make_snapshot(tmp_path)


def test_torch_checks_a_file_while_another_thread_ends_reading_one(tmp_path, monkeypatch):
    """What turns on torch's checks turns them off for all threads when it ends."""
    first_reads, second_reads, checked = threading.Event(), threading.Event(), []

    def load(path, **_):
        if path.name == "first.pt":
            first_reads.set()
            second_reads.wait(0.2)
        else:
            second_reads.set()
            first.join(timeout=10)
            checked.append(torch.sparse.check_sparse_tensor_invariants.is_enabled())
        return {}

    for name in ("first.pt", "second.pt"):
        torch.save({}, tmp_path / name)
    monkeypatch.setattr(torch, "load", load)
    first = threading.Thread(target=load_tensors, args=(tmp_path / "first.pt", "batch", "a batch"))
    first.start()
    first_reads.wait()
    load_tensors(tmp_path / "second.pt", "batch", "a batch")
    assert checked == [True]


def test_indices_out_of_range_do_not_reach_torch(tmp_path):
    """A CSR tensor with another tensor's columns crashed the process."""
    for tensor in (torch.from_numpy(DENSE).to_sparse_csr(), torch.from_numpy(DENSE).to_sparse()):
        path = tmp_path / "x.pt"
        torch.save(tensor, path)
        big = np.full(16, 2**40, dtype=np.int64).tobytes()
        names = [
            name for name, content in members_of(path).items() if "/data/" in name and len(content) >= 32
        ]
        exchanged(path, {name: big[: len(members_of(path)[name])] for name in names})
        assert "not a readable matrix" in refusal(read_user_file, path)


# values


def resealed(path, **changes):
    """Change tensors or texts of a batch and give it checksums that fit, as only a program could."""
    from spdclust.files.batch_format import checksums

    payload = torch.load(path, weights_only=True)
    payload |= changes
    arrays = {k: v.numpy() for k, v in payload.items() if isinstance(v, torch.Tensor)}
    texts = {k: v for k, v in payload.items() if isinstance(v, str) and "checksum" not in k}
    path.unlink()
    torch.save(
        {**{k: torch.from_numpy(v) for k, v in arrays.items()}, **texts, **checksums(arrays, texts)}, path
    )
    return path


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"labels": "a:0\na:0\nb:0"}, "labels: label given twice (found: a:0"),
        (
            {"labels": "a:0\na:1"},
            "labels: one label per component is needed (found: 2 labels for 3 components",
        ),
        ({"shape": torch.tensor([-4, 3])}, "shape: arrays are inconsistent"),
        ({"shape": torch.tensor([4, 10**12])}, "shape: header declares more data than the file contains"),
        (
            {"indptr": torch.tensor([0, 2, 1, 4, 4])},
            "indptr: arrays are inconsistent (found: a decreasing one",
        ),
        (
            {"indptr": torch.tensor([0.0, 1, 2, 4, 4])},
            "indptr: arrays are inconsistent (found: float32 (5,)",
        ),
        (
            {"indices": torch.tensor([1, 0, 0, 3])},
            "indices: arrays are inconsistent (found: 0 to 3 of 3 components",
        ),
        ({"indices": torch.tensor([1, 0, 0, -1])}, "indices: arrays are inconsistent (found: -1 to 1"),
        ({"values": torch.tensor([1.0, np.nan, 1, 1])}, "a:0: activation is not a finite number (found: nan"),
        ({"maxima": torch.tensor([np.inf, 1, 1])}, "maxima: not a finite number (found: inf)"),
        ({"maxima": torch.tensor([1, 1, 1])}, "maxima: arrays are inconsistent (found: int64 (3,)"),
        ({"seed": "seven"}, "invalid literal for int()"),
        ({"example_texts": "[1, 2]"}, "example_tokens: tokens are inconsistent"),
        ({"example_samples": torch.tensor([[0, 5]])}, "example_tokens: tokens are inconsistent"),
        ({"format_version": "4"}, "format_version: unknown format version (found: 4; allowed: 1, 2, 3)"),
        (
            {"format_version": "3"},
            "threshold: not the threshold of sets (found: None, version 3, 4 values; allowed: 0 or more",
        ),
        ({"format_version": "3", "threshold": "0.1"}, "threshold: not the threshold of sets (found: 0.1, ve"),
        ({"threshold": "0.1"}, "threshold: not the threshold of sets (found: 0.1, version 2, 4 values"),
    ],
)
def test_a_batch_whose_parts_do_not_fit_names_them(tmp_path, changes, says):
    path = resealed(make_batch(tmp_path), **changes)
    assert says in refusal(ActivationBatch.load, path)


@pytest.mark.parametrize("labels", ["a:0\na:0\nb:0", "a:0\n\nb:0", "a:0\na:1"])
def test_labels_that_do_not_fit_are_refused_by_merges_too(tmp_path, labels):
    path = resealed(make_batch(tmp_path), labels=labels)
    assert ": labels: " in refusal(BatchedActivations, [path])


def test_batches_of_version_1_are_read_and_verified(tmp_path):
    path = make_batch(tmp_path)
    payload = torch.load(path, weights_only=True)
    arrays = [value.numpy() for value in payload.values() if isinstance(value, torch.Tensor)]
    texts = {name: text for name, text in payload.items() if isinstance(text, str) and "checksum" not in name}
    texts["format_version"] = "1"
    old = {name: value for name, value in payload.items() if isinstance(value, torch.Tensor)} | texts
    torch.save(old | {"checksum": digest_of(*arrays, texts)}, path)
    batch = ActivationBatch.load(path)
    np.testing.assert_array_equal(batch.matrix.toarray(), DENSE)
    maxima, _ = BatchedActivations(tmp_path).component_stats()
    np.testing.assert_array_equal(maxima[0], DENSE.max(axis=0))
    flipped(path, DENSE.max(axis=0).tobytes(), bytes(12))
    assert "checksum does not match" in refusal(
        lambda path: BatchedActivations(path.parent).component_stats(), path
    )


def other_metadata(**changes):
    return lambda members: {
        "metadata.json": json.dumps(json.loads(members["metadata.json"]) | changes).encode()
    }


def other_pairs(pairs):
    return lambda members: {"selected_pairs.npy": npy_bytes(np.array(pairs))}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (other_metadata(n_iters_current=-1), "metadata.json: n_iters_current: not a number of merges (found: -1"),
        (other_metadata(n_iters_current="4"), "n_iters_current: not a number of merges (found: 4; allowed: 0 to 6"),
        (other_metadata(n_iters_current=10**40), "n_iters_current: not a number of merges"),
        (other_metadata(c_components=7), "metadata.json: c_components: differs from labels.txt (found: 7"),
        (other_metadata(merge_config=[1]), "metadata.json: merge_config: not allowed"),
        (other_metadata(merge_config={"alpha": float("nan")}), "metadata.json: merge_config.alpha: not allowed"),
        (lambda members: {"labels.txt": b"a\nb\nb\nc\nd\ne"}, "labels: label given twice (found: b"),
        (lambda members: {"labels.txt": b"\xff"}, "labels.txt: not a readable member"),
        (lambda members: {"metadata.json": b"[" * 10**5}, "metadata.json: not JSON"),
        (lambda members: {"metadata.json": b'{"n_iters_current": ' + b"9" * 5000 + b"}"}, "metadata.json: not JSON"),
        (other_pairs([[0, 1], [0, 9]] + [[0, 1]] * 4), "selected_pairs[1]: pair names a group that does not exist"),
        (other_pairs([[0, -3]] * 6), "selected_pairs[0]: pair names a group that does not exist"),
        (other_pairs([[0.5, 1.0]] * 6), "selected_pairs.npy: wrong shape (found: float64 (6, 2)"),
        (other_pairs([0, 1]), "selected_pairs.npy: wrong shape"),
    ],
)  # fmt: skip
def test_a_history_of_the_reference_whose_parts_do_not_fit_names_them(tmp_path, change, says):
    path = make_reference_history(tmp_path)
    assert load_merge_history(path).n_iterations == a_history().n_iterations
    assert says in refusal(load_merge_history, exchanged(path, change(members_of(path))))


def test_labels_that_are_no_texts_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", DENSE)
    for content in ('{"a": 1, "b": 2, "c": 3}', '"abc"', "[1, 2, true]", '[1, 2, "c"]', '["a", "b", null]'):
        written(tmp_path / "labels.json", content)
        assert "not a list of labels" in refusal(read_user_file, tmp_path / "x.npy")
    (tmp_path / "labels.json").unlink()
    torch.save({"activations": torch.from_numpy(DENSE), "labels": "abc"}, tmp_path / "x.pt")
    assert "labels: no labels" in refusal(read_user_file, tmp_path / "x.pt")


def test_complex_numbers_do_not_lose_their_imaginary_part(tmp_path):
    torch.save(torch.full((2, 2), 1 + 2j), tmp_path / "x.pt")
    assert "not a matrix of numbers (found: complex64" in refusal(read_user_file, tmp_path / "x.pt")


def test_links_that_lead_nowhere_are_not_passed_over(tmp_path):
    """A purged scratch disk would have left an ensemble, or a run, with fewer members."""
    np.save(tmp_path / "x_0.npy", DENSE)
    (tmp_path / "x_1.npy").symlink_to("gone.npy")
    assert len(files_of_run(tmp_path).files) == 2
    for run in (0, 1):
        (tmp_path / f"runs/run_{run}").mkdir(parents=True)
    make_history(tmp_path / "runs/run_0")
    (tmp_path / "runs/run_1/history.zip").symlink_to("gone.zip")
    assert len(find_histories(tmp_path)) == 2


def test_an_encrypted_member_is_refused(tmp_path):
    path = make_history(tmp_path)
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02")
    content[at + 8] |= 1
    assert "member is encrypted" in refusal(load_merge_history, written(path, bytes(content)))


def test_a_member_of_another_length_than_announced_is_refused(tmp_path):
    """The local sizes of a member say less than its central ones: NumPy alone would read past it."""
    path = make_merge_checkpoint(tmp_path)
    log = members_of(path)["log.npy"]
    content = path.read_bytes()
    at = content.rindex(b"log.npy") - 46
    size = struct.unpack_from("<II", content, at + 20)
    assert size == (len(log), len(log))
    longer = content[: at + 20] + struct.pack("<II", len(log) + 8, len(log) + 8) + content[at + 28 :]
    whole = FORMATS["merge checkpoint"]
    assert "not used" in refusal(whole.read, written(path, longer))


def test_a_panic_of_the_tokenizer_is_one_line(tmp_path):
    from spdclust.sampling.tokens import Tokenizer

    path = make_tokenizer(tmp_path)
    content = json.loads(path.read_text())
    content["model"]["vocab"] = {"a": 2**32}
    written(path, json.dumps(content))
    assert str(path.parent) in refusal(lambda path: Tokenizer(str(path.parent), 512), path)
