"""Likeness: when two attempts are so much alike that one of them teaches nothing new."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable

SHINGLE = 5  # words in a row
_COMMENT = re.compile(r"^\s*#")


def shingles(text: str) -> frozenset[int]:
    """Runs of words, hashed; numbers count as one word, because times and line numbers differ by chance."""
    words = re.findall(r"[^\W\d]\w*|\d+(?:\.\d+)?|[^\w\s]", text)
    words = ["0" if word[0].isdigit() else word for word in words]
    if len(words) <= SHINGLE:
        return frozenset([zlib.crc32(" ".join(words).encode("utf-8", "replace"))])
    runs = (" ".join(words[start : start + SHINGLE]) for start in range(len(words) - SHINGLE + 1))
    return frozenset(zlib.crc32(run.encode("utf-8", "replace")) for run in runs)


def likeness(one: frozenset[int], other: frozenset[int]) -> float:
    """Jaccard's index: 1.0 for the same shingles, 0.0 for none in common."""
    return len(one & other) / len(one | other) if one or other else 1.0


def essence(patch: str) -> tuple[str, ...]:
    """What a patch changes, without positions, context, white space and comment lines: equal for equal changes."""
    changed: list[str] = []
    for line in patch.split("\n"):
        if line.startswith(("+++ ", "--- ")):
            path = line[4:].split("\t")[0]
            changed.append(line[:4] + ("" if path == "/dev/null" else path.partition("/")[2] or path))
        elif line.startswith(("+", "-")) and line[1:].strip() and not _COMMENT.match(line[1:]):
            changed.append(line[0] + "".join(line[1:].split()))
    return tuple(changed) or ("".join(patch.split()),)


def first_of_each(texts: Iterable[tuple[tuple[str, ...], str]], threshold: float) -> list[int | None]:
    """For each (essence, text), the place of an earlier one that it nearly repeats, or None.

    A repetition makes the same change and is at least `threshold` alike in words; two ways to the same change are not.
    """
    kept: list[tuple[int, tuple[str, ...], frozenset[int]]] = []
    found: list[int | None] = []
    for place, (change, text) in enumerate(texts):
        mine = shingles(text)
        like = [earlier for earlier, other, theirs in kept if other == change and likeness(mine, theirs) >= threshold]
        found.append(like[0] if like else None)
        if not like:
            kept.append((place, change, mine))
    return found
