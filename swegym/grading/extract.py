"""Extraction: what an agent changed in its work tree, as a patch against the base commit.

The tree leaves the sandbox as one tar file, which is parsed in memory as untrusted data and never unpacked. The agent's
.git is not used: blob ids are computed here, compared with the pristine repository, and git writes the patch from an
index of our own. So no hook, filter, attribute, index flag or configuration of the agent has a say.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass

from swegym.grading.apply import LARGEST_PATCH
from swegym.grading.archive import read_archive
from swegym.grading.links import leaving
from swegym.grading.scratch import EXECUTABLE, GITLINK, LINK, REGULAR, Entry, GitFailed, ScratchRepository, blob_id
from swegym.types import Sandbox, Task

LARGEST_FILE = 16 << 20
LARGEST_TREE = 192 << 20
_MOST_NOTES = 40
_SECONDS = 120.0

# `listing` names everything there is, so that a file which tar cannot read is not taken for a deleted one.
_PACK = """\
cd "$1" || exit 9
umask 077
out=$(mktemp -d /tmp/.swegym-XXXXXXXX) || exit 8
find . -mindepth 1 -path ./.git -prune -o -printf '%y %m %s %P\\0' -name .git -prune > "$out/listing" 2>/dev/null
find . -mindepth 1 -name .git -prune -o '(' -type f -size -"$2"c -o -type l ')' -print0 |
  tar --create --file "$out/tree" --format gnu --no-recursion --hard-dereference --null --files-from - 2> "$out/errors"
status=$?
printf '%s\\n' "$out" "$(stat -c %s "$out/tree")" "$status"
tail -n 3 "$out/errors" >&2
"""


@dataclass(frozen=True, slots=True)
class Extraction:
    """A patch in git's form ("" when nothing changed), and what of the tree is not in it, and why."""

    patch: str
    notes: tuple[str, ...] = ()
    unread: str = ""  # why the work tree could not be read at all; the machine may be to blame, or who worked in it


@dataclass(frozen=True, slots=True)
class _Listed:
    kind: str  # find's letter: f file, d directory, l link, p, s, b, c
    mode: int
    size: int


@dataclass(frozen=True, slots=True)
class _Found:
    mode: str
    data: bytes  # of a link: its target


def extract_patch(sandbox: Sandbox, task: Task) -> Extraction:
    """Read the work tree out of `sandbox` and say what changed since the task's base commit.

    New, deleted, renamed, binary, empty and executable files and links survive, whatever their names. Left out with a
    note: untracked files that the base's .gitignore names, tools' left-overs, special files, links that leave the tree,
    nested .git folders, files over 16 MiB. Only `SandboxError` escapes for what happens in the machine.
    """
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    command = ["/bin/bash", "-c", _PACK, "pack", task.image.workdir, str(LARGEST_FILE + 1)]
    packed = sandbox.exec(command, cwd="/", env=environment, timeout=_SECONDS)
    answer = packed.stdout.decode("utf-8", "replace").split("\n")
    if packed.exit_code != 0 or len(answer) < 3 or not re.fullmatch("[0-9]{1,18}", answer[1]):
        reason = packed.limit or packed.stderr.decode("utf-8", "replace").strip() or f"exit code {packed.exit_code}"
        return _unreadable(reason)
    folder, size = answer[0], int(answer[1])
    if size > LARGEST_TREE:
        return Extraction("", (f"the work tree holds {size} bytes; at most {LARGEST_TREE} are read",))
    try:
        listing, archive = sandbox.read(f"{folder}/listing"), sandbox.read(f"{folder}/tree")
    except OSError as error:
        return _unreadable(str(error))
    sandbox.exec(["/bin/rm", "-rf", "--", folder], cwd="/")
    try:
        return _compare(task, _parse_listing(listing), _parse_archive(archive))
    except ValueError as error:
        return _unreadable(str(error))
    except GitFailed as error:
        with ScratchRepository(task.pristine, task.base_commit) as scratch:
            scratch.staged()  # where git works without what was read, that is to blame, and else this raises
        return _unreadable(error.reason)


def _unreadable(reason: str) -> Extraction:
    return Extraction("", (f"the work tree could not be read: {reason}",), reason)


def _parse_listing(listing: bytes) -> dict[str, _Listed]:
    listed = {}
    for record in listing.decode("utf-8", "surrogateescape").split("\0")[:-1]:
        kind, mode, size, path = record.split(" ", 3)
        listed[path] = _Listed(kind, int(mode, 8), int(size))
    return listed


def _parse_archive(archive: bytes) -> dict[str, _Found]:
    found = {}
    for member in read_archive(archive):
        path = member.path.removeprefix("./")
        if not _is_plain(path):
            continue
        if member.data is None:
            found[path] = _Found(LINK, member.target)
        else:
            found[path] = _Found(EXECUTABLE if member.mode & 0o100 else REGULAR, member.data)
    return found


def _is_plain(path: str) -> bool:
    parts = path.split("/")
    return not any(part in ("", ".", "..") or part.lower() == ".git" for part in parts)


def _compare(task: Task, listed: Mapping[str, _Listed], found: Mapping[str, _Found]) -> Extraction:
    notes = []
    with ScratchRepository(task.pristine, task.base_commit) as scratch:
        base = scratch.base_files
        unread = _unread(listed, found)
        notes += [f"{path}: {why}; set aside" for path, why in unread.items()]
        changed: dict[str, _Found | None] = {}
        for path, now in found.items():
            if base.get(path) != Entry(now.mode, blob_id(now.data)):
                changed[path] = now
        hidden_folders = tuple(f"{path}/" for path, why in unread.items() if listed[path].kind == "d")
        for path, entry in base.items():
            gone = path not in found and path not in unread and entry.mode != GITLINK
            if gone and not path.startswith(hidden_folders):
                changed[path] = None

        links = {path: now.data.decode("utf-8", "surrogateescape") for path, now in found.items() if now.mode == LINK}
        added = {path: links[path] for path, now in changed.items() if now is not None and now.mode == LINK}
        odd_links = [path for path in added if not _is_text(found[path].data)]  # git has no binary form of links
        set_aside = dict.fromkeys(leaving(added, links), "a link that leaves the tree")
        set_aside |= dict.fromkeys(odd_links, "a link to a name that is no text")
        for path in set_aside:
            del changed[path]
        notes += [f"{path}: {why}; set aside" for path, why in set_aside.items()]

        fresh = [path for path, now in changed.items() if now is not None and path not in base]
        rules = [path for path in base if posixpath.basename(path) == ".gitignore" and base[path].mode != LINK]
        if fresh:
            contents = scratch.read_blobs(base[path].blob for path in rules)
            left_out = scratch.ignored(fresh, {path: contents[base[path].blob] for path in rules})
            notes += _ignored_notes(left_out)
            for path in left_out:
                del changed[path]
        if not changed:
            return Extraction("", _bounded(notes))
        scratch.stage({path: _store(scratch, now) for path, now in changed.items()})
        before = scratch.read_blobs(base[path].blob for path in changed if path in base)
        odd = [
            path
            for path, now in changed.items()
            if (now is not None and not _is_text(now.data)) or (path in base and not _is_text(before[base[path].blob]))
        ]
        patch = scratch.patch(binary=odd)
        if len(patch) > LARGEST_PATCH:  # no grader takes it, and every record of the attempt would hold it
            notes = [f"the patch has {len(patch)} characters; at most {LARGEST_PATCH} are taken", *notes]
            patch = ""
        return Extraction(patch, _bounded(notes))


def _unread(listed: Mapping[str, _Listed], found: Mapping[str, _Found]) -> dict[str, str]:
    """What exists but was not read, and why. Where such a path is part of the base, its base content stands."""
    unread = {}
    for path, entry in listed.items():
        if posixpath.basename(path).lower() == ".git":
            unread[path] = "a nested .git"
        elif entry.kind == "d":
            if entry.mode & 0o500 != 0o500:
                unread[path] = "a folder that cannot be read"
        elif entry.kind not in "fl":
            unread[path] = "a special file"
        elif path not in found and _is_plain(path):
            over = entry.size > LARGEST_FILE
            unread[path] = f"{entry.size} bytes, over {LARGEST_FILE}" if over else "a file that cannot be read"
    return unread


def _store(scratch: ScratchRepository, now: _Found | None) -> Entry | None:
    return None if now is None else Entry(now.mode, scratch.write_blob(now.data))


def _is_text(data: bytes) -> bool:
    """Whether these bytes can stand in a patch that is text."""
    try:
        return "\0" not in data.decode("utf-8")
    except UnicodeDecodeError:
        return False


def _ignored_notes(left_out: Mapping[str, bool]) -> list[str]:
    notes = []
    for generated, why in ((True, "left behind by tools"), (False, "ignored by the repository's .gitignore")):
        paths = sorted(path for path, is_generated in left_out.items() if is_generated is generated)
        if paths:
            more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
            notes.append(f"{', '.join(paths[:3])}{more}: {why}; left out")
    return notes


def _bounded(notes: list[str]) -> tuple[str, ...]:
    shown = [note.encode("utf-8", "backslashreplace").decode() for note in notes[:_MOST_NOTES]]
    more = len(notes) - len(shown)
    return (*shown, *([f"{more} more notes"] if more else []))
