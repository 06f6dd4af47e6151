"""The tree that a hidden test run starts from: the pristine tree, the changes that count, the hidden files on top."""

from __future__ import annotations

import io
import posixpath
import tarfile
import time
from collections.abc import Mapping

from swegym.errors import SandboxError
from swegym.grading.apply import Change
from swegym.grading.scratch import EXECUTABLE, LINK
from swegym.types import Sandbox, Task


class TreeRefused(SandboxError):
    """A machine that works did not take the tree: the patch may be to blame, or the host."""


def write_tree(
    sandbox: Sandbox, task: Task, changes: Mapping[str, Change], hidden: Mapping[str, bytes] | None = None
) -> None:
    """Put the changes that count over the pristine tree, empty the owned folders, restore the hidden files.

    `hidden` stands in for the task's own hidden files.
    """
    restored = task.hidden.files if hidden is None else hidden
    files = {path: change for path, change in changes.items() if change.data is not None}
    files |= {path: Change(data) for path, data in restored.items()}
    owned = {*task.hidden.owned, *task.hidden.files}
    gone = [*(path for path, change in changes.items() if change.data is None), *owned, *files]
    workdir = task.image.workdir
    removal = "".join(f"./{path}\0" for path in gone).encode("utf-8", "surrogateescape")
    _must(sandbox, ["/usr/bin/xargs", "-0", "-r", "/bin/rm", "-rf", "--"], workdir, removal)
    _must(sandbox, ["/bin/tar", "-xf", "-", "--no-same-owner", "-p"], workdir, _tar(files))


def _tar(files: Mapping[str, Change]) -> bytes:
    archive = io.BytesIO()
    now = time.time()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as members:
        for path, change in sorted(files.items()):
            data = change.data or b""
            member = tarfile.TarInfo(path)
            member.mtime = now
            member.mode = 0o755 if change.mode == EXECUTABLE else 0o644
            if change.mode == LINK:
                member.type, member.linkname = tarfile.SYMTYPE, data.decode("utf-8", "surrogateescape")
                members.addfile(member)
            else:
                member.size = len(data)
                members.addfile(member, io.BytesIO(data))
    return archive.getvalue()


def _must(sandbox: Sandbox, command: list[str], workdir: str, stdin: bytes) -> None:
    done = sandbox.exec(command, cwd=workdir, stdin=stdin, env={"PATH": "/usr/bin:/bin"}, timeout=120.0)
    if done.exit_code != 0:
        reason = done.limit or done.text.strip()[:300] or f"exit code {done.exit_code}"
        raise TreeRefused(f"the patched tree could not be written ({posixpath.basename(command[0])}): {reason}")
