"""Read and write text files."""

from __future__ import annotations

from swegym.tools.base import ToolContext, ToolError, tool

_LONGEST_LINE = 2_000
_LARGEST = 16 << 20  # its lines as Python's take many times that
# Writing to a pipe that nobody reads would block until the machine is given up.
_SPECIAL, _EXECUTABLE = 31, 32
_KIND = f"""
[ -e "$1" ] && [ ! -f "$1" ] && [ ! -d "$1" ] && exit {_SPECIAL}
[ -f "$1" ] && [ -x "$1" ] && exit {_EXECUTABLE}
"""


@tool
def read(context: ToolContext, path: str, start: int = 1, lines: int = 200) -> str:
    """Read a text file. Each line is shown as its number, a tab, and its text.

    Args:
        path: The file, relative to the repository's root or absolute.
        start: The first line to show, counted from 1.
        lines: How many lines to show.
    """
    if start < 1 or lines < 1:
        raise ToolError("start and lines count from 1.")
    data = contents(context, path)
    if not data:
        return f"[{path} is empty]"
    if b"\0" in data[:8192]:
        raise ToolError(f"{path} is a binary file of {len(data)} bytes. Use bash to look into it (file, xxd).")
    text = data.decode("utf-8", "replace")
    # Only a line feed ends a line, as for git, grep and Python; str.splitlines knows a dozen other ends.
    rows = text.removesuffix("\n").split("\n")
    if start > len(rows):
        raise ToolError(f"{path} has {len(rows)} lines, so there is no line {start}.")
    shown = rows[start - 1 : start - 1 + lines]
    last = start - 1 + len(shown)
    numbered = [f"{number:>6}\t{_shorten(row)}" for number, row in enumerate(shown, start)]
    if last < len(rows):
        numbered.append(f"[lines {start} to {last} of {len(rows)}; go on with start={last + 1}]")
    if not data.isascii() and text.encode() != data:
        numbered.append("[this file is not UTF-8; bytes that are no text are shown as \ufffd]")
    return "\n".join(numbered)


@tool
def write(context: ToolContext, path: str, content: str) -> str:
    """Create a file with this content, or replace a whole file. For a small change use edit.

    Args:
        path: The file, relative to the repository's root or absolute. Missing folders are made.
        content: All of the text that the file shall hold.
    """
    store(context, path, content.encode())
    count = content.count("\n") + (not content.endswith("\n") and content != "")
    return f"Wrote {path}: {count} line{'' if count == 1 else 's'}."


def contents(context: ToolContext, path: str) -> bytes:
    """The bytes of a file; what a policy can get wrong about a path is a `ToolError`."""
    absolute = context.path(path)
    try:
        data = context.sandbox.read(absolute)
    except FileNotFoundError:
        raise ToolError(f"{path} does not exist. Relative paths start at {context.task.workdir}.") from None
    except IsADirectoryError:
        listing = context.sandbox.exec(["ls", "-Ap", "--", absolute]).stdout.decode("utf-8", "replace").split("\n")
        names = [name for name in listing if name]
        more = f" and {len(names) - 100} more" if len(names) > 100 else ""
        raise ToolError(f"{path} is a directory. It holds: {', '.join(names[:100]) or 'nothing'}{more}") from None
    except OSError as error:
        raise ToolError(f"{path} cannot be read: {error.strerror or error}.") from None
    if len(data) > _LARGEST:
        raise ToolError(f"{path} has {len(data)} bytes; at most {_LARGEST} are taken here. Use bash to look into it.")
    return data


def store(context: ToolContext, path: str, data: bytes) -> None:
    """Write a file, keeping the executable bit of one that exists."""
    absolute = context.path(path)
    kind = context.sandbox.exec(["/bin/sh", "-c", _KIND, "kind", absolute]).exit_code
    if kind == _SPECIAL:
        raise ToolError(f"{path} is not a regular file, so it cannot be written. Remove it first.")
    try:
        context.sandbox.write(absolute, data, executable=kind == _EXECUTABLE)
    except IsADirectoryError:
        raise ToolError(f"{path} is a directory, so it cannot be written as a file.") from None
    except OSError as error:
        raise ToolError(f"{path} cannot be written: {error.strerror or error}.") from None


def _shorten(row: str) -> str:
    row = row.removesuffix("\r")
    if len(row) <= _LONGEST_LINE:
        return row
    return f"{row[:_LONGEST_LINE]} [{len(row) - _LONGEST_LINE} more characters]"
