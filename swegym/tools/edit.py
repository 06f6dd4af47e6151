"""Replace text that occurs exactly once in a file."""

from __future__ import annotations

import difflib
import time

from swegym.tools.base import ToolContext, ToolError, tool
from swegym.tools.files import contents, store

_MOST_PLACES = 1_000
_LONGEST_LINE, _SECONDS = 200, 2.0  # of a line that is compared, for the time grows with its square; of all comparing


@tool
def edit(context: ToolContext, path: str, old: str, new: str) -> str:
    """Replace `old` by `new` in a file. `old` must occur exactly once, character for character.

    Args:
        path: The file, relative to the repository's root or absolute.
        old: The text to replace, without line numbers, with enough lines around the change to be unique.
        new: The text to put there instead; empty to delete.
    """
    data = contents(context, path)
    if not old:
        raise ToolError("old is empty. To create or replace a whole file use write.")
    if old == new:
        raise ToolError("old and new are the same, so nothing would change.")
    # Bytes that are not UTF-8 survive the round trip.
    text = data.decode("utf-8", "surrogateescape")
    if old not in text and "\r\n" in text and "\r" not in old:
        old, new = old.replace("\n", "\r\n"), new.replace("\n", "\r\n")
    count = _count(text, old)
    if count == 0:
        raise ToolError(f"{path}: old was not found. {_nearest(text, old)}")
    if count > 1:
        often = f"{count} times" if count < _MOST_PLACES else f"{count} times and more"
        places = ", ".join(str(line) for line in _lines_of(text, old))
        raise ToolError(f"{path}: old occurs {often}, at lines {places}. Add lines around it until it is unique.")
    position = text.index(old)
    changed = text[:position] + new + text[position + len(old) :]
    store(context, path, changed.encode("utf-8", "surrogateescape"))
    first = text.count("\n", 0, position) + 1
    last = first + max(new.removesuffix("\n").count("\n"), 0)
    return f"Edited {path}, " + (f"line {first}." if first == last else f"lines {first} to {last}.")


def _count(text: str, old: str) -> int:
    """Occurrences, those that overlap included: each is a place that could have been meant."""
    return len(_positions(text, old))


def _positions(text: str, old: str) -> list[int]:
    found: list[int] = []
    position = text.find(old)
    while position >= 0 and len(found) < _MOST_PLACES:
        found.append(position)
        position = text.find(old, position + 1)
    return found


def _lines_of(text: str, old: str) -> list[int]:
    return [text.count("\n", 0, position) + 1 for position in _positions(text, old)[:10]]


def _nearest(text: str, old: str) -> str:
    """Where the policy may have meant: the same lines but for white space, else the line most like the first one."""
    rows = [row.removesuffix("\r") for row in text.split("\n")]
    wanted = [row.strip() for row in old.strip("\n").split("\n")]
    stripped = [row.strip() for row in rows]
    # As text, for a search for it takes as long as the file is; one of rows takes as many times that as there are rows.
    before, found, _ = ("\n" + "\n".join(stripped) + "\n").partition("\n" + "\n".join(wanted) + "\n")
    if found:
        start = before.count("\n")
        shown = _show(rows, start, start + len(wanted))
        return f"Lines {start + 1} to {start + len(wanted)} differ only in white space:\n{shown}"
    first = next((row for row in wanted if row), "")
    near = _most_like(first, stripped)
    if not near:
        return "No line is like it. Read the file again and copy the text exactly, without line numbers."
    start = stripped.index(near)
    shown = _show(rows, start, start + min(len(wanted), 10))
    return f"The most similar place is line {start + 1}:\n{shown}\nCopy the text exactly, without line numbers."


def _most_like(wanted: str, rows: list[str]) -> str | None:
    """The row most like `wanted`, among as many as can be compared in a moment; nothing else ends this."""
    best, found = 0.6, None
    matcher = difflib.SequenceMatcher(b=wanted) if len(wanted) <= _LONGEST_LINE else None
    started = time.monotonic()
    for row in dict.fromkeys(row for row in rows if 0 < len(row) <= _LONGEST_LINE):
        if matcher is None or time.monotonic() - started > _SECONDS:
            break
        matcher.set_seq1(row)
        if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best and matcher.ratio() > best:
            best, found = matcher.ratio(), row
    return found


def _show(rows: list[str], start: int, end: int) -> str:
    shown = "\n".join(f"{number:>6}\t{row[:300]}" for number, row in enumerate(rows[start:end], start + 1))
    return shown.encode("utf-8", "replace").decode()
