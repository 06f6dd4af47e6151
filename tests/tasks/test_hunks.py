"""Hunks put together again give the new tree, their names are the same everywhere, and a wrong name is refused."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from swegym.errors import TaskError
from swegym.tasks import hunks


def trees(folder: Path, old: dict[str, bytes], new: dict[str, bytes]) -> tuple[Path, Path]:
    for name, files in (("old", old), ("new", new)):
        for path, data in files.items():
            place = folder / name / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        (folder / name).mkdir(exist_ok=True)
    return folder / "old", folder / "new"


@pytest.mark.parametrize("seed", range(6))
def test_all_hunks_together_are_the_whole_difference(tmp_path: Path, seed: int) -> None:
    generator = random.Random(seed)
    lines = [generator.choice([b"a\n", b"b\n", b"\n", b"c\r\n", b"d\x0c\n"]) for _ in range(40)]
    changed = [line for line in lines if generator.random() > 0.2]
    for number in range(5):
        changed.insert(generator.randrange(len(changed)), b"new %d\n" % number)
    old = {"f.py": b"".join(lines) + b"end", "gone.py": b"x = 1\n", "pic.bin": b"\0\1"}
    new = {"f.py": b"".join(changed), "come.py": b"", "pic.bin": b"\0\2"}
    first, second = trees(tmp_path, old, new)
    found = hunks.tree_hunks(first, second, ["."], [], tmp_path / "scratch.git")
    hunks.patch_tree(first, second, found)
    left = {path.relative_to(first).as_posix(): path.read_bytes() for path in first.rglob("*") if path.is_file()}
    assert left == new


def test_a_part_of_the_hunks_changes_only_that_part(tmp_path: Path) -> None:
    old = b"one\ntwo\nthree\nfour\nfive\n"
    first, second = trees(tmp_path, {"f.py": old}, {"f.py": b"1\ntwo\nthree\nfour\n5\n"})
    found = hunks.tree_hunks(first, second, ["."], [], tmp_path / "scratch.git")
    assert [hunk.lines for hunk in found] == [2, 2]
    assert hunks.patched(first, found[1:]) == {"f.py": b"one\ntwo\nthree\nfour\n5\n"}
    assert hunks.chosen(found, hunks.names_of(found[:1])) == found[:1]


def test_a_name_that_no_hunk_has_is_refused_with_those_there_are(tmp_path: Path) -> None:
    first, second = trees(tmp_path, {"f.py": b"a\n"}, {"f.py": b"b\n"})
    found = hunks.tree_hunks(first, second, ["."], [], tmp_path / "scratch.git")
    with pytest.raises(TaskError, match=rf"no hunk 1:000000000000 of f.py \(hunks there: {found[0].name}\)"):
        hunks.chosen(found, {"f.py": ["1:000000000000"]})


def test_tests_are_no_part_of_the_sources(tmp_path: Path) -> None:
    first, second = trees(
        tmp_path, {"p/a.py": b"a\n", "p/tests/t.py": b"a\n"}, {"p/a.py": b"b\n", "p/tests/t.py": b"b\n"}
    )
    found = hunks.tree_hunks(first, second, ["p"], ["p/tests"], tmp_path / "scratch.git")
    assert [hunk.path for hunk in found] == ["p/a.py"]
