"""The environment of all tests, doctests of `src/` among them; set before the package is imported."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

CACHE = Path(__file__).resolve().parent / ".pytest_cache" / "spdclust"
"""All caches of the package while tests run: in this checkout, so that kernels are compiled once for it."""

# inherited by all processes that tests start: no test reads or writes the cache of the user
os.environ["SPDCLUST_CACHE"] = str(CACHE)
os.environ.pop("NUMBA_CACHE_DIR", None)
# read when the libraries are first imported: no test may wait for the hub
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Iterator[None]:
    """Look for garbage neither while tests are collected nor, later, among what they and their modules hold.

    All of that lives as long as the process, and looking through it takes a third of a second each time.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.fixture(autouse=True)
def _for_examples(request, doctest_namespace, monkeypatch):
    """Give each doctest an empty folder, `folder`, and let none of them use W&B."""
    if isinstance(request.node, pytest.DoctestItem):
        doctest_namespace["folder"] = request.getfixturevalue("tmp_path")
        monkeypatch.setenv("WANDB_MODE", "disabled")
