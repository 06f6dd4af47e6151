"""What runs inside a machine that SWE-ReX reaches: one request in the arguments, one JSON answer on stdout.

SWE-ReX's own `execute` blocks its server for as long as a command runs, kills one process at a timeout and decodes what
is binary. So its calls are kept short: a command is started here under a keeper of its own, which outlives the call,
enforces the deadline where the command runs, reaps orphans, and leaves the result in a file that later calls fetch.

It is copied into the machine together with `pump.py` and uses nothing but the standard library of Python 3.10. It is
started for every call, so what only some calls need is imported there.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import json
import os
import resource
import select
import signal
import stat
import sys
import time

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from pump import Pumped, pump  # type: ignore[import-not-found]
else:  # for the type checker, and for tests
    from swegym.sandbox.pump import Pumped, pump

from collections.abc import Callable, Iterator
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
_KILL_SECONDS = 5.0
_UNREAL = ("/proc", "/sys", "/dev", "/run")

# --- commands ---------------------------------------------------------------------------------------------------------


def start(request: dict[str, Any]) -> dict[str, Any]:
    """Start a command under a keeper; its result if it ends within `patience`, else the job's name."""
    job = os.urandom(8).hex()
    folder = os.path.join(HERE, "jobs", job)
    os.makedirs(folder)
    done, done_theirs = os.pipe()
    if os.fork() == 0:
        code = 1
        try:
            os.close(done)
            keep(request, folder, done_theirs)
            code = 0
        finally:
            os._exit(code)
    os.close(done_theirs)
    poller = select.poll()
    poller.register(done, select.POLLIN)
    poller.poll(request["patience"] * 1000)
    return _result(job)


def wait(request: dict[str, Any]) -> dict[str, Any]:
    """The result of a job if it ends within `patience`."""
    deadline = time.monotonic() + request["patience"]
    while "running" in (answer := _result(request["job"])) and time.monotonic() < deadline:
        time.sleep(0.005)
    return answer


def _result(job: str) -> dict[str, Any]:
    folder = os.path.join(HERE, "jobs", job)
    with contextlib.suppress(FileNotFoundError), open(os.path.join(folder, "result"), encoding="utf-8") as file:
        answer: dict[str, Any] = json.load(file)
        os.unlink(file.name)
        return answer
    try:
        with open(os.path.join(folder, "lock"), "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            size = os.fstat(lock.fileno()).st_size
    except (FileNotFoundError, BlockingIOError):
        return {"running": job}
    if os.path.exists(os.path.join(folder, "result")):
        return _result(job)
    # The keeper takes the lock before it writes its number into it: an empty one has not come so far.
    return {"lost": True} if size else {"running": job}


def keep(request: dict[str, Any], folder: str, done: int) -> None:
    """Run the command to its end or its deadline, write the result, then stay while something of it still runs."""
    import ctypes

    os.setsid()
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    lock = os.open(os.path.join(folder, "lock"), os.O_WRONLY | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.write(lock, str(os.getpid()).encode())
    out, out_theirs = os.pipe()
    err, err_theirs = os.pipe()
    status, status_theirs = os.pipe()
    feed, feed_theirs = -1, null
    stdin = _taken(request["stdin"])
    if stdin is not None:
        feed_theirs, feed = os.pipe()
    command = -1

    def reap(*_: object) -> bool:
        """Whether anything is left; of this the kernel knows better than a look through /proc."""
        try:
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == command:
                    code = os.waitstatus_to_exitcode(ended[1])
                    os.write(status_theirs, str(code if code >= 0 else 128 - code).encode())
        except ChildProcessError:
            return False
        return True

    signal.signal(signal.SIGCHLD, reap)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    command = os.fork()
    if command == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        _become(request, feed_theirs, out_theirs, err_theirs)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    for descriptor in {out_theirs, err_theirs, feed_theirs} - {null}:
        os.close(descriptor)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    ended = pump(
        (feed, stdin) if stdin is not None else None,
        out,
        err,
        status,
        timeout=request["timeout"],
        keep=request["keep"],
        tick=lambda: None if _owned(request) else "owner",
    )
    if ended.stopped:
        end(os.getpid())
    _write(os.path.join(folder, "result"), json.dumps(_said(ended)).encode())
    for descriptor in (out, err, done):
        os.close(descriptor)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    while reap():
        if ended.stopped or not _owned(request):
            end(os.getpid())
        signal.sigtimedwait([signal.SIGCHLD], 0.25)


def _become(request: dict[str, Any], stdin: int, stdout: int, stderr: int) -> None:
    """In the forked child: turn into the command. Never returns."""
    try:
        os.setsid()
        for number, descriptor in enumerate((stdin, stdout, stderr)):
            os.dup2(descriptor, number)
        for name, value in request["rlimits"].items():
            kind = getattr(resource, name)
            hard = resource.getrlimit(kind)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (value, value))
        os.chdir(request["cwd"])
        os.execvpe(request["argv"][0], request["argv"], request["environment"])
    except FileNotFoundError as error:
        os.write(2, f"{error.filename}: not found\n".encode())
        os._exit(127)
    except BaseException as error:
        os.write(2, f"{error}\n".encode())
        os._exit(126)


def _said(ended: Pumped) -> dict[str, Any]:
    return {
        "code": 137 if ended.status is None else int(ended.status),
        "stdout": base64.b64encode(ended.stdout).decode(),
        "stderr": base64.b64encode(ended.stderr).decode(),
        "truncated": ended.truncated,
        "stopped": ended.stopped,
    }


def _owned(request: dict[str, Any]) -> bool:
    """Whether the process that wants the result is still there, where it is on this machine at all."""
    return request["owner"] is None or os.path.exists(f"/proc/{request['owner']}")


# --- processes --------------------------------------------------------------------------------------------------------


def _children(root: int) -> list[int]:
    """All living descendants of a process."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/stat", "rb") as file:
                state, parent = file.read().rpartition(b")")[2].split()[:2]
                if state not in (b"Z", b"X"):
                    parents.setdefault(int(parent), []).append(int(entry))
    found: list[int] = []
    pending = [root]
    while pending:
        mine = parents.get(pending.pop(), [])
        found += mine
        pending += mine
    return found


def end(root: int) -> bool:
    """Kill all descendants of a keeper. What they orphan becomes the keeper's, so none gets away; False: some did."""
    deadline = time.monotonic() + _KILL_SECONDS
    while found := _children(root):
        for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first, so that none forks while others are killed
            for pid in found:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def stop(request: dict[str, Any]) -> dict[str, Any]:
    """End everything that commands have left; on a machine of our own (`whole`) everything but what leads here."""
    deadline = time.monotonic() + _KILL_SECONDS
    while (keepers := _keepers()) and time.monotonic() < deadline:  # a keeper goes when nothing of its command is left
        for keeper in keepers:
            end(keeper)
        time.sleep(0.002)
    ended = not keepers
    if request["whole"]:
        spared = {1, os.getpid(), *_ancestors(os.getpid()), *keepers}
        deadline = time.monotonic() + _KILL_SECONDS
        while found := [pid for pid in _children(1) if pid not in spared]:
            for pid in found:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                ended = False
                break
            time.sleep(0.002)
    return {"ended": ended}


def _keepers() -> list[int]:
    """Processes that hold the lock of a job."""
    found = []
    for job in os.listdir(os.path.join(HERE, "jobs")):
        with contextlib.suppress(OSError, ValueError), open(os.path.join(HERE, "jobs", job, "lock"), "rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                found.append(int(lock.read()))
    return found


def _ancestors(pid: int) -> Iterator[int]:
    while pid > 1:
        with open(f"/proc/{pid}/stat", "rb") as file:
            pid = int(file.read().rpartition(b")")[2].split()[1])
        yield pid


# --- files ------------------------------------------------------------------------------------------------------------


def read(request: dict[str, Any]) -> dict[str, Any]:
    descriptor = os.open(request["path"], os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, "is a directory")
        if not stat.S_ISREG(found.st_mode):
            raise PermissionError(errno.EPERM, "not a regular file")
        data = os.pread(descriptor, request["most"], request["offset"])
        return {"data": base64.b64encode(data).decode(), "size": found.st_size}
    finally:
        os.close(descriptor)


def write(request: dict[str, Any]) -> dict[str, Any]:
    data = _taken(request["data"]) or b""
    path = request["path"]
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "is a directory")
        if not stat.S_ISREG(mode):
            raise PermissionError(errno.EPERM, "not a regular file")
    _write(path, data, in_place=True)
    if request["executable"]:
        os.chmod(path, os.stat(path).st_mode | 0o111)
    return {}


def _write(path: str, data: bytes, in_place: bool = False) -> None:
    name = path if in_place else path + ".new"
    with open(name, "wb") as file:
        file.write(data)
    if not in_place:
        os.replace(name, path)


def _taken(given: dict[str, str] | None) -> bytes | None:
    """Bytes handed over in the request itself, or in a file that was uploaded for it."""
    if given is None:
        return None
    if "file" not in given:
        return base64.b64decode(given["data"])
    with open(given["file"], "rb") as file:
        data = file.read()
    os.unlink(given["file"])
    return data


def unpack(request: dict[str, Any]) -> dict[str, Any]:
    """Unpack an uploaded archive over the root; `instead_of` names a folder that it replaces."""
    import shutil
    import tarfile

    if request["instead_of"]:
        shutil.rmtree(request["instead_of"], ignore_errors=True)
    with tarfile.open(request["archive"]) as archive:
        archive.extractall("/", filter="fully_trusted")
    os.unlink(request["archive"])
    return {}


def pack(request: dict[str, Any]) -> dict[str, Any]:
    """Archive all of the workdir, and what has changed elsewhere since the mark was made."""
    import tarfile

    target = os.path.join(HERE, "pack.tar")
    since = os.stat(os.path.join(HERE, "mark")).st_ctime_ns
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        if os.path.isdir(request["workdir"]):
            archive.add(request["workdir"])
        for root in request["roots"]:
            for folder, folders, files in os.walk(root):
                skipped = (*_UNREAL, HERE, request["workdir"])
                folders[:] = [name for name in folders if os.path.join(folder, name) not in skipped]
                for name in (*folders, *files):
                    path = os.path.join(folder, name)
                    with contextlib.suppress(FileNotFoundError):
                        found = os.lstat(path)
                        if found.st_ctime_ns > since and not stat.S_ISSOCK(found.st_mode) and _writable(folder):
                            archive.add(path, recursive=False)
    return {"path": target, "size": os.stat(target).st_size}


def _writable(folder: str) -> bool:
    """Whether the machine can have changed it: what lies in a read-only mount changes from outside only."""
    return not os.statvfs(folder).f_flag & os.ST_RDONLY


def prepare(request: dict[str, Any]) -> dict[str, Any]:
    """Make the folders that a machine needs, and its interpreter's place. Answers what is there instead."""
    for folder in request["folders"]:
        os.makedirs(folder, exist_ok=True)
    os.makedirs(os.path.join(HERE, "jobs"), exist_ok=True)
    place = request["interpreter"]
    if place and not os.path.lexists(place):
        os.makedirs(os.path.dirname(place), exist_ok=True)
        os.symlink(sys.base_prefix, place)
    return {"python": f"{sys.version_info[0]}.{sys.version_info[1]}"}


def mark(request: dict[str, Any]) -> dict[str, Any]:
    _write(os.path.join(HERE, "mark"), b"")
    time.sleep(0.01)  # the clock of the file system is coarser than ours
    return {}


ACTIONS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    action.__name__: action for action in (start, wait, stop, read, write, unpack, pack, prepare, mark)
}


def main(arguments: list[str]) -> None:
    request = json.loads("".join(arguments))
    try:
        answer = ACTIONS[request["do"]](request)
    except OSError as error:
        answer = {"errno": error.errno or errno.EIO, "error": error.strerror or str(error)}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1:])
