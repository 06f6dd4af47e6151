"""One official evaluation in a sandbox: patch, test files, the project's own command, and the log as it was printed.

As the published harness does it: the patch goes into the work tree by the first of four ways that works, whatever it
changes; the test files are put over it; the command runs with both outputs as one text. Nothing is installed and no
network is there, for the image holds all that the tests need.
"""

from __future__ import annotations

import io
import shlex
import tarfile
from dataclasses import dataclass
from typing import Literal

from swegym.errors import GraderError
from swegym.grading.official_rules import END, EXIT_CODE, START, TIMED_OUT
from swegym.grading.work_tree import TreeRefused
from swegym.types import Sandbox, Task, TestSetup

_PATCH = "/tmp/swegym.patch"
_LOG = "/tmp/swegym.log"
_MOST = 32 << 20  # bytes of a log that are read
_WAYS = (
    "git apply --verbose",
    "git apply --verbose --3way",
    "git apply --verbose --reject",
    "patch --batch --forward --fuzz=5 -p1 -i",
)


@dataclass(frozen=True, slots=True)
class OfficialRun:
    """What came of it. `log` is None where the patch went in by none of the ways."""

    log: str | None
    seconds: float
    said: str = ""  # of the ways, when none worked
    limit: Literal["memory", "disk", "machine"] | None = None  # what ended it, other than time


def run_official(sandbox: Sandbox, task: Task, patch: str) -> OfficialRun:
    """Evaluate `patch` in a sandbox whose repository is as the image has it. `SandboxError` escapes."""
    said = _apply(sandbox, patch)
    if said is not None:
        return OfficialRun(None, 0.0, said)
    lay_hidden(sandbox, task)
    return run_command(sandbox, task.tests, task.image.workdir)


def run_command(sandbox: Sandbox, setup: TestSetup, workdir: str) -> OfficialRun:
    """Run the task's own test command on the tree as it is; the log is as the harness writes it.

    A limit that ends it is part of the result: code under test can bring it about.
    """
    if setup.command is None:
        raise GraderError("the task names no command that runs its tests. Build it again.")
    script = (
        f"{{ echo {shlex.quote(f': {START}')}\n"
        f"{setup.command}\n"
        f"code=$?\n"
        f"echo\necho {shlex.quote(f': {END}')}\n"
        f'echo "{EXIT_CODE}: $code"; }} >{_LOG} 2>&1 </dev/null\n'
    )
    done = sandbox.exec(script, cwd=workdir, env={"COLUMNS": "80"}, timeout=setup.timeout)
    log = _read(sandbox)
    if done.limit is not None:
        said = f"{TIMED_OUT}: {setup.timeout:g} s" if done.timed_out else f"the machine hit its limit on {done.limit}"
        log += f"\n{said}\n"
    return OfficialRun(log, done.seconds, limit=None if done.limit == "time" else done.limit)


def lay_hidden(sandbox: Sandbox, task: Task) -> None:
    """Put the hidden tests where they belong, over whatever the patch made of them."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as members:
        for path, data in sorted(task.hidden.files.items()):
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(data), 0o644
            members.addfile(member, io.BytesIO(data))
    workdir = task.image.workdir
    gone = "".join(f"./{path}\0" for path in task.hidden.owned).encode("utf-8", "surrogateescape")
    for command, data in (
        (["/usr/bin/xargs", "-0", "-r", "/bin/rm", "-rf", "--"], gone),
        (["/bin/tar", "-xf", "-", "--no-same-owner"], archive.getvalue()),
    ):
        done = sandbox.exec(command, cwd=workdir, stdin=data, timeout=120.0)
        if done.exit_code != 0:
            raise TreeRefused(f"the hidden tests could not be written: {done.limit or done.text.strip()[:300]}")


def _apply(sandbox: Sandbox, patch: str) -> str | None:
    """None when the patch is in the tree, else what was said against it."""
    try:
        sandbox.write(_PATCH, patch.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError as error:
        return f"the patch is no text: {error}"
    said = []
    for number, way in enumerate(_WAYS):
        if number:  # what a way left behind half done would stop the next
            sandbox.exec("git checkout -- . ; git clean -fd")
        done = sandbox.exec(f"{way} {_PATCH}", timeout=120.0)
        if done.exit_code == 0:
            return None
        said.append(done.text.strip()[:500])
    if sandbox.exec(f"git apply --check --reverse {_PATCH}").exit_code == 0:
        return None
    return "\n".join(said)


def _read(sandbox: Sandbox) -> str:
    """The log; of a larger one its end."""
    try:
        data = sandbox.read(_LOG)
    except OSError:
        done = sandbox.exec(["/usr/bin/tail", "-c", "100000", _LOG], timeout=10.0)  # a pipe may lie in its place
        data = done.stdout
    return data[-_MOST:].decode("utf-8", "replace")
