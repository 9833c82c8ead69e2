import ast
import hashlib
from pathlib import Path

import pytest

from spdclust import source_digests
from spdclust.source_digests import SourceDigests, _write_tree

CODE = 'import json\nfrom spdclust.files import batches\n\ndef f(x):\n    """Say."""\n    return x + 1\n'


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SPDCLUST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def digest(tmp_path: Path, code: str) -> str:
    path = tmp_path / "module.py"
    path.write_text(code)
    return SourceDigests().of(path)[0]


def test_comments_docstrings_and_layout_do_not_count_and_code_does(tmp_path) -> None:
    same = "import json  # for text\nfrom spdclust.files import batches\ndef f( x ):\n    return (x + 1)\n"
    assert digest(tmp_path, CODE) == digest(tmp_path, same)
    assert digest(tmp_path, CODE) != digest(tmp_path, CODE.replace("+ 1", "+ 2"))


EVERY_KIND_OF_FIELD = (
    "@decorated\nclass A(B, key=1):\n    x: int = 0\n    async def f(self, *a: int, b=None, **c) -> None:\n"
    "        return f\"{a!r:>{b}}{{}} {c = }\" u'x' '\\u20ac\\U0001fae8' if a[1:, ...] else {**c, 'k': -1j}\n"
    "match x:\n    case [None, *rest] | {'a': 1}: pass\n"
)


def test_the_digest_is_the_same_on_every_version_of_python(tmp_path) -> None:
    # computed on 3.11; every other version must find it too
    assert digest(tmp_path, EVERY_KIND_OF_FIELD).startswith("854b69588c8db8ee")


def test_fields_and_parts_that_only_other_versions_write_do_not_count() -> None:
    def written(tree: ast.AST) -> str:
        made = hashlib.sha256()
        _write_tree(tree, made.update)
        return made.hexdigest()

    code = 'def f(x):\n    return f"a{x:}b"\n'
    here, elsewhere = ast.parse(code), ast.parse(code)
    function = elsewhere.body[0]
    function._fields = (*function._fields, "type_params", "added_later")
    function.type_params, function.added_later = [], None
    text = function.body[0].value
    text.values = [ast.Constant(""), ast.Constant("a"), text.values[1], ast.Constant("b"), ast.Constant("")]
    text.values[2].format_spec = ast.JoinedStr([ast.Constant("")])
    assert written(here) == written(elsewhere)
    text.values[1] = ast.Constant("c")
    assert written(here) != written(elsewhere)


def test_what_is_kept_is_what_would_be_computed(tmp_path, own_cache, monkeypatch) -> None:
    path = tmp_path / "module.py"
    path.write_text(CODE)
    first = SourceDigests()
    computed = first.of(path)
    first.keep()
    assert computed[1] == ("json", "spdclust.files", "spdclust.files.batches")
    monkeypatch.setattr("spdclust.source_digests._parse", lambda content: pytest.fail("parsed again"))
    assert SourceDigests().of(path) == computed


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": 1}', '{"a": [1]}', "\x00", "[" * 100_000])
def test_a_damaged_cache_is_made_again(tmp_path, own_cache, content) -> None:
    path = tmp_path / "module.py"
    path.write_text(CODE)
    first = SourceDigests()
    computed = first.of(path)
    first.keep()
    (kept,) = own_cache.rglob("*.json")
    kept.write_text(content)
    again = SourceDigests()
    assert again.of(path) == computed
    again.keep()
    assert SourceDigests().of(path) == computed


def test_other_versions_of_the_digesting_code_are_not_believed(tmp_path, own_cache, monkeypatch) -> None:
    """What a changed version keeps for the same bytes must not be taken by this one, nor the other way."""
    path = tmp_path / "module.py"
    path.write_text(CODE)
    computed = SourceDigests().of(path)
    with monkeypatch.context() as changed:
        other = tmp_path / "source_digests.py"
        other.write_text(Path(source_digests.__file__).read_text() + "\n# counts differently\n")
        changed.setattr(source_digests, "__file__", str(other))
        changed.setattr(source_digests, "_parse", lambda content: ("0" * 64, ()))
        digests = SourceDigests()
        assert digests.of(path) == ("0" * 64, ())
        digests.keep()
    assert len(list(own_cache.rglob("*.json"))) == 1
    assert SourceDigests().of(path) == computed
