"""Application: a patch becomes the changes that count, without touching any file system.

git applies the text to the base tree in an index of our own; what changed there is read back and put before the rules
of `rules.py`. What the patch's headers claim decides nothing.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from swegym.errors import PatchError
from swegym.grading.links import leaving
from swegym.grading.rules import PathRules, rules_for
from swegym.grading.scratch import EXECUTABLE, GITLINK, LINK, REGULAR, Entry, GitFailed, ScratchRepository
from swegym.types import Task

LARGEST_PATCH = 64 << 20
LARGEST_CONTENT = 192 << 20  # of all files that a patch makes; compressed, or copied a thousand times, it may claim any
MOST_FILES = 20_000
MOST_FOLDERS = 400_000  # in the paths of all files together; each folder of each path is looked at
LONGEST_NAME, LONGEST_PATH = 255, 4000  # bytes; git's trees hold longer ones, and file systems do not
_MOST_NOTES = 40
_BINARY_SIZE = re.compile(rb"^(literal|delta) (\d+)\r?$", re.MULTILINE)  # one repetition: a line may be long


@dataclass(frozen=True, slots=True)
class Change:
    """What a path becomes. `data` is None when it is deleted; of a link it is the target."""

    data: bytes | None
    mode: str = REGULAR  # git's: 100644, 100755, 120000


@dataclass(frozen=True, slots=True)
class AppliedPatch:
    """The changes that count, by path, and one note for each that does not, naming the rule."""

    changes: Mapping[str, Change] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def without(self, paths: Collection[str], reason: str) -> AppliedPatch:
        """The patch without its changes of `paths`, of folders around them and of what would take their place.

        These do not count for a reason.
        """
        around = {*paths, *(parent for path in paths for parent in _parents(path))}
        set_aside = frozenset(paths)
        dropped = {path for path in self.changes if path in around or not set_aside.isdisjoint(_parents(path))}
        kept = {path: change for path, change in self.changes.items() if path not in dropped}
        return AppliedPatch(kept, (*self.notes, *_notes(dict.fromkeys(sorted(dropped), reason))))


def apply_patch(task: Task, patch: str) -> AppliedPatch:
    """Apply `patch` to the task's base tree on paper. Raises `PatchError` with git's reason when it does not apply."""
    try:
        text = patch.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise PatchError(f"the patch is no text: {error}") from None
    text += b"" if text.endswith(b"\n") else b"\n"
    if len(text) > LARGEST_PATCH:
        raise PatchError(f"the patch has {len(text)} bytes; at most {LARGEST_PATCH} are taken")
    sizes = [_size(digits) for _, digits in _BINARY_SIZE.findall(text)]
    if any(size > LARGEST_PATCH for size in sizes):
        raise PatchError(f"the patch holds a binary file of more than {LARGEST_PATCH} bytes")
    if sum(sizes) > 2 * LARGEST_CONTENT:  # there and back
        raise PatchError(f"the binary files of the patch have {sum(sizes)} bytes; at most {LARGEST_CONTENT} are taken")
    rules = rules_for(task)
    with ScratchRepository(task.pristine, task.base_commit) as scratch:
        try:
            scratch.git("apply", "--cached", "--whitespace=nowarn", "-", stdin=text)
            staged = scratch.staged()
            blobs = [entry.blob for entry in staged.values() if entry is not None and entry.mode != GITLINK]
            _refuse_bombs(staged, blobs, scratch)
            contents = scratch.read_blobs(blobs)
        except GitFailed as error:
            raise PatchError(error.reason) from error
    notes: dict[str, str] = {}
    kept: dict[str, Entry | None] = {}
    for path, entry in staged.items():
        reason = rules.against(path) or _odd_mode(entry) or _unfit(path, entry, contents)
        if reason:
            notes[path] = reason
        else:
            kept[path] = entry
    _drop_leaving_links(kept, contents, rules, notes)
    _drop_collisions(kept, rules, notes)
    changes = {
        path: Change(None) if entry is None else Change(contents[entry.blob], entry.mode)
        for path, entry in kept.items()
    }
    return AppliedPatch(changes, _notes(notes))


def _notes(reasons: Mapping[str, str]) -> tuple[str, ...]:
    shown = [f"{_shown(path)}: {reason}; set aside" for path, reason in list(reasons.items())[:_MOST_NOTES]]
    more = [f"{len(reasons) - _MOST_NOTES} more notes"] if len(reasons) > _MOST_NOTES else []
    return (*shown, *more)


def _size(digits: bytes) -> int:
    """What a patch claims; of more digits than a number has that fits anywhere, the first few."""
    return int(digits.lstrip(b"0")[:18] or b"0")


def _refuse_bombs(paths: Collection[str], blobs: list[str], scratch: ScratchRepository) -> None:
    if len(paths) > MOST_FILES:
        raise PatchError(f"the patch changes {len(paths)} files; at most {MOST_FILES} are taken")
    if (folders := sum(path.count("/") for path in paths)) > MOST_FOLDERS:
        raise PatchError(f"the paths of the patch name {folders} folders; at most {MOST_FOLDERS} are taken")
    sizes = scratch.sizes(blobs)
    total = sum(sizes[blob] for blob in blobs)
    if total > LARGEST_CONTENT:
        raise PatchError(f"the files that the patch makes have {total} bytes; at most {LARGEST_CONTENT} are taken")


def _odd_mode(entry: Entry | None) -> str | None:
    if entry is None or entry.mode in (REGULAR, EXECUTABLE, LINK):
        return None
    return "a nested repository" if entry.mode == GITLINK else f"a file of mode {entry.mode}"


def _unfit(path: str, entry: Entry | None, contents: Mapping[str, bytes]) -> str | None:
    """What git's trees can hold and no file system can: writing it would fail, as if the machine had."""
    if entry is None:
        return None
    name = path.encode("utf-8", "surrogateescape")
    if len(name) > LONGEST_PATH or any(len(part) > LONGEST_NAME for part in name.split(b"/")):
        return "a name that is too long for a file"
    if entry.mode == LINK and (not (target := contents[entry.blob]) or len(target) > LONGEST_PATH or b"\0" in target):
        return "a link to what no path can be"
    return None


def _drop_leaving_links(
    kept: dict[str, Entry | None], contents: Mapping[str, bytes], rules: PathRules, notes: dict[str, str]
) -> None:
    links = {path: target for path, target in rules.base_links.items() if path not in kept}
    added = {
        path: contents[entry.blob].decode("utf-8", "surrogateescape")
        for path, entry in kept.items()
        if entry is not None and entry.mode == LINK
    }
    links |= added
    for path in leaving(added, links):
        notes[path] = "a link that leaves the tree"
        del kept[path]


def _drop_collisions(kept: dict[str, Entry | None], rules: PathRules, notes: dict[str, str]) -> None:
    """Take out what cannot exist beside the files that stay because a change of theirs was set aside."""
    files = {path for path in rules.base if path not in kept} | {path for path, entry in kept.items() if entry}
    colliding = {name for path in files for parent in _parents(path) if parent in files for name in (path, parent)}
    for path in colliding:
        if kept.pop(path, None) is not None:
            notes[path] = "a file where another one stays"


def _parents(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path


def _shown(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode()
