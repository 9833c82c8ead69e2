import ast
import hashlib
from pathlib import Path

import pytest

from spdclust.core import source_digests
from spdclust.core.source_digests import Source, SourceDigests, _Writer

CODE = 'import json\nfrom spdclust.files import batches\n\ndef f(x):\n    """Say."""\n    return x + 1\n'


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SPDCLUST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def digest(tmp_path: Path, code: str) -> str:
    path = tmp_path / "module.py"
    path.write_text(code)
    return str([(each.code, each.names) for each in SourceDigests().of(path).statements])


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
    assert (
        hashlib.sha256(digest(tmp_path, EVERY_KIND_OF_FIELD).encode())
        .hexdigest()
        .startswith("06e70166c78839de")
    )


def test_fields_and_parts_that_only_other_versions_write_do_not_count() -> None:
    def written(tree: ast.AST) -> str:
        made = hashlib.sha256()
        _Writer(made.update, set(), {}).write(tree)
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
    assert computed.imports == {"json": "json", "batches": "spdclust.files.batches"}
    monkeypatch.setattr("spdclust.core.source_digests._parse", lambda content: pytest.fail("parsed again"))
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
        changed.setattr(source_digests, "_parse", lambda content: Source([], {}, [], {}))
        digests = SourceDigests()
        assert digests.of(path) == Source([], {}, [], {})
        digests.keep()
    assert len(list(own_cache.rglob("*.json"))) == 1
    assert SourceDigests().of(path) == computed


MODULE = """
from package.other import helper as h
import numpy as np
if TYPE_CHECKING:
    from package.third import Kind

TABLE = np.zeros(3)
for i in range(3):
    TABLE[i] = i

def f(x: Kind):
    from package.inside import late
    return h(late(x)), np.linalg.norm(TABLE)

register(f)
if __name__ == "__main__":
    main()
"""


def test_statements_name_what_they_mention_and_make(tmp_path) -> None:
    path = tmp_path / "module.py"
    path.write_text(MODULE)
    source = SourceDigests().of(path)
    assert source.imports == {"h": "package.other.helper", "np": "numpy", "Kind": "package.third.Kind"}
    assert source.defines == {"TABLE": [0, 1], "i": [1], "f": [2]}
    assert source.effects == [3]
    assert source.statements[2].imports == {"late": "package.inside.late"}
    assert source.statements[2].names == ["Kind", "h", "late", "x", "np.linalg.norm", "TABLE"]


def test_names_of_imported_things_do_not_count_and_their_number_does(tmp_path) -> None:
    def code(text: str) -> list[str]:
        path = tmp_path / "module.py"
        path.write_text(text)
        return [each.code for each in SourceDigests().of(path).statements]

    one = "from a import f, g\ndef h(x): return f(x), g(x), k(x)\n"
    assert code(one) == code("from b.c import f as m, g\ndef h(x): return m(x), g(x), k(x)\n")
    assert code(one) != code("from a import f, g\ndef h(x): return f(x), f(x), k(x)\n")
    assert code(one) != code("from a import f, g\ndef h(x): return f(x), g(x), m(x)\n")
