"""Ways to damage a file, all from one seed, and what must come of reading one.

A reader must end in an `InputError` of one line that names the file, or in a correct reading: never in another
error, a hang, or much memory. Where a format has checksums, a reading of damaged bytes must equal the whole one.
"""

import contextlib
import io
import json
import resource
import signal
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from spdclust.core.errors import InputError

SECONDS_AT_MOST = 30
"""CPU time after which a reader counts as hanging; the largest file here is read in far less than one second."""
BLOCKED = 600
"""Seconds after which one that takes no CPU time does."""
MEMORY_AT_MOST = 768 * 2**20
"""Bytes that all readings of one format may add to the process at its peak."""


class Hang(BaseException):
    """A reader took too long; no `except Exception` can mistake it for a damaged file."""


@dataclass(frozen=True)
class Format:
    """One kind of file: how a whole one is made in a folder, and how it is read.

    `read` returns anything that `==` compares. `verified`: has checksums, so damaged bytes never read as
    something else. `kind`: what is known of its inside, for damage that leaves the outside whole.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    kind: str = "bytes"
    verified: bool = False


@contextlib.contextmanager
def no_longer_than(seconds: float = SECONDS_AT_MOST) -> Iterator[None]:
    def ring(*_: Any) -> None:
        raise Hang

    timers = {signal.SIGPROF: (signal.ITIMER_PROF, seconds), signal.SIGALRM: (signal.ITIMER_REAL, BLOCKED)}
    before = {number: signal.signal(number, ring) for number in timers}
    for timer, limit in timers.values():
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        for number, (timer, _) in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


@contextlib.contextmanager
def little_memory(at_most: int = MEMORY_AT_MOST) -> Iterator[None]:
    """Check that the peak of resident memory rises by no more than `at_most` bytes."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown <= at_most, f"{grown / 2**20:.0f} MiB more at the peak"


def outcome(form: Format, path: Path, whole: Any = None) -> str:
    """Read a file and return `refused` or `read`; anything else is raised."""
    try:
        with no_longer_than():
            value = form.read(path)
    except InputError as error:
        line = str(error)
        assert "\n" not in line, line
        assert len(line) < 2000, line[:300]
        line.encode("utf-8")
        if error.file is None and path.name not in line:
            raise AssertionError(f"names no file: {line}") from error
        return "refused"
    if whole is not None and form.verified:
        assert value == whole, "read as something else"
    return "read"


def damaged(data: bytes, kind: str, rng: np.random.Generator) -> tuple[str, bytes, bool]:
    """Return one damage: its name, the new bytes, and whether checksums still fit (made anew)."""
    inside = {"zip": _repacked, "json": _other_json, "yaml": _other_yaml}.get(kind)
    if inside is not None and rng.random() < 0.5:
        name, new = inside(data, rng)
        return name, new, True
    name, new = _bytes(data, rng)
    return name, new, False


def _bytes(data: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    size = len(data)
    at, other = (int(n) for n in rng.integers(0, size + 1, 2))
    length = int(min(size, rng.integers(1, 65)))
    kinds = ["truncation", "bit flip", "byte flips", "zeros", "ones", "noise", "hole", "doubled", "inserted",
             "tail", "swapped"]  # fmt: skip
    name = kinds[
        int(rng.choice(len(kinds), p=[0.22, 0.18, 0.14, 0.07, 0.05, 0.09, 0.07, 0.05, 0.05, 0.03, 0.05]))
    ]
    noise = rng.bytes(length)
    if name == "truncation":
        return name, data[:at]
    if name in ("bit flip", "byte flips") and size:
        new = bytearray(data)
        for _ in range(1 if name == "bit flip" else int(rng.integers(1, 9))):
            new[int(rng.integers(size))] ^= (
                1 << int(rng.integers(8)) if name == "bit flip" else int(rng.integers(1, 256))
            )
        return name, bytes(new)
    if name in ("zeros", "ones", "noise"):
        fill = {"zeros": b"\x00" * length, "ones": b"\xff" * length, "noise": noise}[name]
        return name, data[:at] + fill + data[at + length :]
    if name == "hole":
        return name, data[: min(at, other)] + data[max(at, other) :]
    if name == "doubled":
        return name, data[: max(at, other)] + data[min(at, other) :]
    if name == "inserted":
        return name, data[:at] + noise + data[at:]
    if name == "tail":
        return name, data + noise
    low, high = min(at, other), max(at, other)
    return "swapped", data[high:] + data[low:high] + data[:low]


NAMES = ["", "/etc/passwd", "../../outside.npy", "a\x00b.npy", "x" * 300, "labels.txt", "data.pkl", "é.npy"]


def _repacked(data: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """Damage what is inside a zip and pack it again, so that its checksums fit."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    at = int(rng.integers(len(members)))
    name, content = members[at]
    kinds = [
        "inside",
        "member renamed",
        "member missing",
        "member twice",
        "array exchanged",
        "text exchanged",
    ]
    kind = kinds[int(rng.choice(len(kinds), p=[0.3, 0.08, 0.08, 0.06, 0.33, 0.15]))]
    if kind == "inside":
        how, content = _bytes(content, rng)
        kind = f"{how} inside"
    elif kind == "member renamed":
        name = NAMES[int(rng.integers(len(NAMES)))]
    elif kind == "member missing":
        del members[at]
    elif kind == "member twice":
        members.append((name, members[int(rng.integers(len(members)))][1]))
    elif kind == "array exchanged" and name.endswith(".npy"):
        content = npy_bytes(other_array(_array(content), rng))
    elif name.endswith(".json"):
        kind, content = _other_json(content, rng)
    elif name.endswith(".txt"):
        lines = content.split(b"\n")
        lines[int(rng.integers(len(lines)))] = [b"", lines[0], b"\xff\xfe", b"x" * 3000, b"\r"][
            int(rng.integers(5))
        ]
        content = b"\n".join(lines)
    if kind != "member missing":
        members[at] = (name, content)
    return kind, zip_bytes(members, compressed=rng.random() < 0.3)


def zip_bytes(members: list[tuple[str, bytes]], *, compressed: bool = False) -> bytes:
    stream = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    import warnings

    with zipfile.ZipFile(stream, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names given twice
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name.replace("\x00", "\x01")), content, method)
    return stream.getvalue()


def npy_bytes(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def _array(content: bytes) -> np.ndarray:
    return np.load(io.BytesIO(content), allow_pickle=False)


def other_array(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an array of another type, shape or content."""
    kind = int(rng.integers(14))
    if kind < 6 and array.size and array.dtype.kind in "iuf":
        new = array.copy()
        values: list[Any] = [-1, 0, 1, np.iinfo(np.int32).max, -(2**31)]
        if array.dtype.kind == "f":
            values += [np.nan, np.inf, -np.inf, 1e300]
        value = values[int(rng.integers(len(values)))]
        with np.errstate(all="ignore"):
            new.flat[int(rng.integers(array.size))] = np.array(value).astype(array.dtype)
        return new
    if kind == 6 and array.size > 1:
        return array.reshape(-1)[::-1].reshape(array.shape)
    types = ["<f8", "<f2", "<c16", "?", "<U3", "S2", "<M8[s]", "<i8", "<u8", "i1", ">i4", ">f8", "V4"]
    if kind < 10:
        with np.errstate(all="ignore"), contextlib.suppress(Exception):
            return array.astype(types[int(rng.integers(len(types)))])
    shapes = [array[:-1] if array.ndim else array, array[None], array.reshape(-1), np.zeros((0,), array.dtype),
              np.zeros((), array.dtype), np.zeros((3, 0, 2), array.dtype), np.concatenate([array.reshape(-1)] * 2)]  # fmt: skip
    return shapes[int(rng.integers(len(shapes)))]


ODD_VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**40, 0.5, -0.5, 1e308, float("nan"), float("inf"), "", "x", "1",
    "nan", "../../etc/passwd", "a\nb", "\u202eabc", "x" * 5000, "a\x00b", [], {}, [[]], [None], ["a", "a"], [-1],
    {"a": 1}, [float("nan")], [[1, 2], [3]], {"": None}, [1] * 200,
]  # fmt: skip
"""What a field may hold instead."""


def _other_json(data: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    try:
        content = json.loads(data)
    except ValueError:
        return _bytes(data, rng)
    return "field exchanged", json.dumps(_changed(content, rng)).encode()


def _other_yaml(data: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    return "field exchanged", yaml.safe_dump(_changed(yaml.safe_load(data), rng)).encode()


def _changed(content: Any, rng: np.random.Generator) -> Any:
    """Exchange, remove or double one value somewhere inside."""
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            places.append((value, key))
            if isinstance(value[key], dict | list):
                walk(value[key])

    if not isinstance(content, dict | list) or rng.random() < 0.02:
        return ODD_VALUES[int(rng.integers(len(ODD_VALUES)))]
    walk(content)
    if not places:
        return None
    inside, key = places[int(rng.integers(len(places)))]
    kind = int(rng.integers(8))
    if kind == 0:
        del inside[key]
    elif kind == 1 and isinstance(inside, list):
        inside.insert(key, inside[key])
    elif kind == 1:
        inside[f"{key}s"] = inside.pop(key)
    elif kind == 2:
        other, place = places[int(rng.integers(len(places)))]
        inside[key] = json.loads(json.dumps(other[place])) if json.dumps(other[place]) else None
    else:
        inside[key] = ODD_VALUES[int(rng.integers(len(ODD_VALUES)))]
    return content


@dataclass
class Tally:
    """How many damaged files were tried, refused, and read."""

    tried: int = 0
    refused: int = 0
    read: int = 0


def try_many(form: Format, folder: Path, seed: int, count: int) -> Tally:
    """Damage a whole file `count` times and read each; raise at the first that is neither refused nor read."""
    folder.mkdir(parents=True, exist_ok=True)
    path = form.make(folder)
    data = path.read_bytes()
    whole = form.read(path)
    tally = Tally()
    with little_memory():
        for number in range(count):
            rng = np.random.default_rng((seed, number))
            name, new, anew = damaged(data, form.kind, rng)
            # a new file each time: the old one may still be mapped into memory
            path.unlink()
            path.write_bytes(new)
            try:
                result = outcome(form, path, None if anew else whole)
            except BaseException as error:
                raise AssertionError(
                    f"seed ({seed}, {number}), {name}: {type(error).__name__}: {str(error)[:300]}"
                ) from error
            tally.tried += 1
            setattr(tally, result, getattr(tally, result) + 1)
    return tally
