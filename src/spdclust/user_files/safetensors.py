"""Read `.safetensors` files, and the feature caches that delphi splits over several of them.

Such a cache is a folder `<module>/` for each module with files `<first>_<last>.safetensors`, one for each
range of latents. Each holds `locations` `(n, 3)` (sequence, position, latent counted from the first one of
the file), `activations` `(n,)` and, if they were kept, the `tokens` `(sequences, positions)`.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spdclust.core.errors import InputError
from spdclust.core.safe_reading import as_input_error, regular_file
from spdclust.user_files.arrays import coordinates
from spdclust.user_files.contents import UserContent, beside_each_other, describe
from spdclust.user_files.layout import cache_files, natural
from spdclust.user_files.tokens import UserTokens

EXTRA = "pip install 'spdclust[formats]'"

_ALLOWED_CACHE = "a feature cache as delphi writes it: locations (n, 3), activations (n,) and perhaps tokens"


def read_safetensors(path: str | Path) -> dict[str, Any]:
    """Return the tensors of a file by name, in natural order, mapped into memory.

    Example:
        >>> import torch
        >>> from safetensors.torch import save_file
        >>> save_file({"layer.10": torch.ones(1), "layer.9": torch.zeros(1)}, f"{folder}/a.safetensors")
        >>> read_safetensors(f"{folder}/a.safetensors")
        {'layer.9': tensor([0.]), 'layer.10': tensor([1.])}

    Raises:
        InputError: the file does not exist or is damaged, or the safetensors package is missing.
    """
    allowed = "a .safetensors file"
    path = regular_file(path, allowed)
    try:
        from safetensors import safe_open
    except ImportError:
        raise InputError(
            ".safetensors files require the safetensors package", file=path, allowed=EXTRA
        ) from None
    with as_input_error("not a readable .safetensors file", path, allowed), safe_open(path, "pt") as stored:
        return {name: stored.get_tensor(name) for name in sorted(stored.keys(), key=natural)}


def cache_content(folder: Path) -> UserContent:
    """Return the activations of a feature cache, with the splits and the modules side by side.

    The number of samples is that of the tokens; if they were not kept, that of the largest locations.

    Example:
        >>> import torch
        >>> from safetensors.torch import save_file
        >>> (folder / "mlp").mkdir()
        >>> split = {"locations": torch.tensor([[0, 1, 0]]), "activations": torch.ones(1)}
        >>> save_file(split, f"{folder}/mlp/0_1.safetensors")
        >>> cache_content(folder).rows().toarray().tolist()
        [[0.0, 0.0], [1.0, 0.0]]

    Raises:
        InputError: a split is missing or damaged, or the splits are not of the same samples.
    """
    files = cache_files(folder)
    stored = [_read_split(file) for file in files]
    tokens = stored[0].get("tokens")
    for file, arrays in zip(files, stored, strict=True):
        _check_tokens(file, arrays.get("tokens"), files[0], tokens)
    if tokens is not None:
        leading = list(tokens.shape)
    else:
        largest = [arrays["locations"].numpy().max(axis=0, initial=0) for arrays in stored]
        leading = [int(n) + 1 for n in np.max(largest, axis=0)[:-1]]
    modules: dict[str, list[UserContent]] = {}
    ends: dict[str, int] = {}
    for file, arrays in zip(files, stored, strict=True):
        start, end = _range(file)
        module = file.parent.name
        if start != ends.get(module, -1) + 1 or end < start:
            raise InputError(
                "a split of the cache is missing",
                file=file.parent,
                found=", ".join(each.name for each in files if each.parent == file.parent),
                allowed="ranges of latents without gaps from 0: 0_9.safetensors, 10_19.safetensors, …",
            )
        ends[module] = end
        width = end - start + 1
        content = coordinates(arrays["locations"], arrays["activations"], file, leading=leading, width=width)
        modules.setdefault(module, []).append(content)
    tensors = {
        module: beside_each_other({str(number): part for number, part in enumerate(parts)})
        for module, parts in modules.items()
    }
    stored_tokens = None if tokens is None else UserTokens.of(tokens, files[0])
    return replace(beside_each_other(tensors), tokens=stored_tokens)


def _read_split(file: Path) -> dict[str, Any]:
    arrays = read_safetensors(file)
    shapes = {name: tuple(value.shape) for name, value in arrays.items()}
    locations = shapes.get("locations", ())
    if set(shapes) - {"tokens"} != {"locations", "activations"} or len(locations) != 2:
        raise InputError(
            "not a split of a feature cache, although its name has the form <first>_<last>.safetensors",
            file=file,
            found=", ".join(f"{name} {describe(value)}" for name, value in arrays.items()) or "no tensors",
            allowed=f"{_ALLOWED_CACHE}; other files under another name",
        )
    return arrays


def _range(file: Path) -> tuple[int, int]:
    first, last = file.stem.split("_")
    return int(first), int(last)


def _check_tokens(file: Path, tokens: Any, first: Path, expected: Any) -> None:
    same = tokens is None if expected is None else tokens is not None and tokens.equal(expected)
    if not same:
        raise InputError(
            "the tokens differ between the files of the cache",
            file=file,
            field="tokens",
            found="none" if tokens is None else describe(tokens),
            allowed=f"those of {first.parent.name}/{first.name}: files of one cache, made in one go",
        )
