"""Hunks: the pieces that the difference of two trees falls into, each named so that a recipe can pick some of them.

A hunk is a run of lines that were taken away, added or replaced, without context. Its name is `NUMBER:DIGEST`: its
place in its file, from 1, and the head of a hash over the lines. A file that only one tree has, or that is not text, is
one hunk. A recipe that names hunks holds no line of anybody's code, and says when the releases are not what it was made
of.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from swegym.errors import TaskError
from swegym.tasks import repository

_HEADER = re.compile(rb"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", re.MULTILINE)
_LARGEST_TEXT = 4 << 20  # bytes; a larger file is one hunk


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines `start` to `end` of the old file (from 0, half open) become `added`, which stand at `place` of the new one.

    Of a `whole` file `added` is all that becomes of it, and an `end` of -1 says that it goes.
    """

    path: str
    name: str  # NUMBER:DIGEST
    start: int
    end: int
    added: tuple[bytes, ...]
    place: int = 0
    whole: bool = False  # the file is only in one of the trees, or no text

    @property
    def lines(self) -> int:
        """How many lines it takes away and adds."""
        return self.end - self.start + len(self.added)


def tree_hunks(old: Path, new: Path, paths: Iterable[str], exclude: Collection[str], scratch: Path) -> tuple[Hunk, ...]:
    """All hunks between two trees under `paths` and not under `exclude`, by path and place.

    Git compares, in `scratch`, a folder that does not exist yet.
    """
    repository.create(scratch)
    wanted = tuple(paths)
    names = sorted({*_files(old, wanted, exclude), *_files(new, wanted, exclude)})
    found: list[Hunk] = []
    for name in names:
        sides = [(tree / name).read_bytes() if (tree / name).is_file() else None for tree in (old, new)]
        if sides[0] != sides[1]:
            found += _file_hunks(name, sides[0], sides[1], scratch)
    return tuple(found)


def chosen(hunks: Sequence[Hunk], names: Mapping[str, Iterable[str]]) -> tuple[Hunk, ...]:
    """The hunks that a recipe names, in order. Raises TaskError for one that the trees do not have."""
    known = {(hunk.path, hunk.name): hunk for hunk in hunks}
    wanted = [(path, name) for path, several in names.items() for name in several]
    for path, name in wanted:
        if (path, name) not in known:
            near = ", ".join(hunk.name for hunk in hunks if hunk.path == path) or "none"
            raise TaskError(f"the releases differ by no hunk {name} of {path} (hunks there: {near}). Mine them again.")
    return tuple(hunk for key, hunk in known.items() if key in set(wanted))


def names_of(hunks: Iterable[Hunk]) -> dict[str, tuple[str, ...]]:
    """As a recipe writes them: names by path."""
    grouped: dict[str, list[str]] = defaultdict(list)
    for hunk in hunks:
        grouped[hunk.path].append(hunk.name)
    return {path: tuple(names) for path, names in grouped.items()}


def patched(old: Path, hunks: Iterable[Hunk]) -> dict[str, bytes | None]:
    """What the files of the old tree become with these hunks; None for a file that goes."""
    by_path: dict[str, list[Hunk]] = defaultdict(list)
    for hunk in hunks:
        by_path[hunk.path].append(hunk)
    files: dict[str, bytes | None] = {}
    for path, several in by_path.items():
        if several[0].whole:
            gone = not several[0].added and several[0].end < 0
            files[path] = None if gone else b"".join(several[0].added)
            continue
        lines = _lines((old / path).read_bytes()) if (old / path).is_file() else []
        for hunk in sorted(several, key=lambda hunk: (hunk.start, hunk.end), reverse=True):
            lines[hunk.start : hunk.end] = hunk.added
        files[path] = b"".join(lines)
    return files


def patch_tree(tree: Path, new: Path, hunks: Sequence[Hunk]) -> None:
    """Apply hunks to `tree`, which is the old one; modes of files that come in are those of `new`."""
    for path, data in patched(tree, hunks).items():
        place = tree / path
        if data is None:
            place.unlink()
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        existed = place.exists()
        place.write_bytes(data)
        if not existed and (new / path).exists():
            shutil.copymode(new / path, place)


def _file_hunks(path: str, old: bytes | None, new: bytes | None, scratch: Path) -> list[Hunk]:
    if old is None or new is None or b"\0" in old + new or len(old) + len(new) > _LARGEST_TEXT:
        added = () if new is None else tuple(_lines(new))
        digest = _digest([] if old is None else [old], [] if new is None else [new])
        return [Hunk(path, f"1:{digest}", 0, -1 if new is None else 0, added, whole=True)]
    sides = (old, new)
    blobs = []
    for number, data in enumerate(sides):
        file = scratch / f"side-{number}"
        file.write_bytes(data)
        blobs.append(repository.git(scratch, "hash-object", "-w", "--no-filters", str(file)).strip().decode())
    options = ("-U0", "--no-color", "--no-ext-diff", "--text", "--diff-algorithm=histogram", "--indent-heuristic")
    patch = repository.git(scratch, "diff", *options, *blobs)
    before, after = _lines(old), _lines(new)
    found = []
    for number, match in enumerate(_HEADER.finditer(patch), 1):
        start, end = _range(match[1], match[2])
        first, last = _range(match[3], match[4])
        digest = _digest(before[start:end], after[first:last])
        found.append(Hunk(path, f"{number}:{digest}", start, end, tuple(after[first:last]), first))
    return found


def _range(start: bytes, count: bytes | None) -> tuple[int, int]:
    """A range of a hunk's header, from 0 and half open; an empty one is named by the line before it."""
    length = 1 if count is None else int(count)
    first = int(start) - 1 if length else int(start)
    return first, first + length


def _lines(data: bytes) -> list[bytes]:
    """Lines as git sees them: only a newline ends one."""
    *ended, rest = data.split(b"\n")
    return [line + b"\n" for line in ended] + ([rest] if rest else [])


def _digest(removed: Iterable[bytes], added: Iterable[bytes]) -> str:
    total = hashlib.sha256()
    for sign, lines in ((b"-", removed), (b"+", added)):
        for line in lines:
            total.update(sign + len(line).to_bytes(8, "big") + line)
    return total.hexdigest()[:12]


def _files(tree: Path, paths: Iterable[str], exclude: Collection[str]) -> set[str]:
    found = set()
    for path in paths:
        place = tree / path
        for file in place.rglob("*") if place.is_dir() else [place]:
            name = file.relative_to(tree).as_posix()
            inside = any(name == folder or name.startswith(folder + "/") for folder in exclude)
            compiled = file.suffix in (".pyc", ".pyo") or ".egg-info/" in name
            if file.is_file() and not file.is_symlink() and not inside and not compiled:
                found.add(name)
    return found
