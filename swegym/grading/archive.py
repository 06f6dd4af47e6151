"""Reading the tar file of a work tree, as GNU tar's "gnu" format writes it, from memory and as untrusted data.

Python's tarfile knows a dozen formats, and who writes the archive chooses among them: sparse members that claim
gigabytes, headers that recurse, sizes below zero. Here a member is a file or a link, a long name comes before the
member that bears it, and anything else is left out. What is read is never larger than the archive.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

BLOCK = 512
LONGEST_PATH = 4096
_FILE, _LINK, _LONG_NAME, _LONG_TARGET = b"0\0", b"2", b"L", b"K"


@dataclass(frozen=True, slots=True)
class Member:
    path: str
    mode: int
    data: bytes | None  # None for a link
    target: bytes = b""


def read_archive(archive: bytes) -> Iterator[Member]:
    """The files and links of an archive. Raises ValueError where it is not in the format, or cut off."""
    position = 0
    name = target = b""
    while position + BLOCK <= len(archive):
        header = archive[position : position + BLOCK]
        if not header.strip(b"\0"):
            return
        size, kind = _number(header[124:136]), header[156:157]
        start, end = position + BLOCK, position + BLOCK + size
        if end > len(archive):
            raise ValueError("the archive of the work tree is cut off")
        position = end + -size % BLOCK
        if kind in (_LONG_NAME, _LONG_TARGET):
            if size > LONGEST_PATH:
                raise ValueError(f"the archive of the work tree holds a name of {size} bytes")
            text = archive[start:end].partition(b"\0")[0]
            name, target = (text, target) if kind == _LONG_NAME else (name, text)
            continue
        path = (name or header[:100].partition(b"\0")[0]).decode("utf-8", "surrogateescape")
        if kind == _LINK:
            yield Member(path, 0o777, None, target or header[157:257].partition(b"\0")[0])
        elif kind in _FILE:
            yield Member(path, _number(header[100:108]), archive[start:end])
        name = target = b""
    raise ValueError("the archive of the work tree has no end")


def _number(field: bytes) -> int:
    """An octal number; the binary form, for sizes of 8 GiB and more and for those below zero, is refused."""
    text = field.strip(b" \0")
    if not text.isdigit():
        raise ValueError(f"the archive of the work tree holds the number {field!r}")
    return int(text, 8)
