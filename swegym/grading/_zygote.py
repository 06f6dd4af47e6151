"""What a zygote does: it has imported pytest once, and forks a runner into each fresh machine that it is told of.

It is `_runner.py` in a Python of the task's environment, started as the cold child is, that executes this text. It
never runs code of a repository and knows nothing of any grading: the fork that becomes the runner's parent first forks
the child, and only then reads the job with its secret word. Standard library only.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import traceback
from typing import Any

CHANNEL, HOME = 3, 5  # as `start_zygote` of the supervisor leaves them
PR_SET_DUMPABLE = 4
_REAP_MS = 500


def serve(runner: Any, supervisor_text: str) -> None:
    """Fork for each request, until the owner is gone. Does not return."""
    sys.path[:] = [entry for entry in sys.path if entry]
    runner.import_pytest()
    known = frozenset(sys.modules)  # the rest is this program's, and goes before the child begins
    import gc
    import select
    import socket

    supervisor = runner.load("supervisor", supervisor_text)
    for descriptor in (CHANNEL, HOME):
        os.set_inheritable(descriptor, False)
    channel = socket.socket(fileno=CHANNEL)
    gc.collect()
    gc.freeze()  # a collection in a fork would touch, and so copy, every page
    children = 0
    waiting = select.poll()
    waiting.register(channel, select.POLLIN)
    while True:
        ready = waiting.poll(_REAP_MS if children else None)
        children -= len(supervisor.reap())
        if not ready:
            continue
        kind, descriptors = supervisor.receive(channel)
        if not kind:
            os._exit(0)
        if os.fork() == 0:
            channel.detach()
            try:
                with open(descriptors[0], closefd=False) as file:
                    request = json.load(file)
                supervisor.os_setns(HOME)
                supervisor.enter(request, descriptors, lambda asked: work(runner, asked, known))
            finally:
                os._exit(70)
        children += 1
        for descriptor in descriptors:
            os.close(descriptor)


def work(runner: Any, request: dict[str, Any], known: frozenset[str]) -> None:
    """In the fresh machine, where only stdin, stdout and stderr are open: fork the child and become its parent."""
    os.environ.clear()
    os.environ.update(request["environment"])
    request.clear()  # it names things of the host
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # what an interpreter does when it starts
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in set(sys.modules) - known:
        del sys.modules[name]
    if "random" in sys.modules:
        sys.modules["random"].seed()  # a fork would share its state with all others
    try:
        runner.parent(fork_child(runner))
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    os._exit(1)


def fork_child(runner: Any) -> tuple[Any, int, int, int]:
    """As the runner's `start_child`, without exec. Nothing of the job has been read yet."""
    job_read, job_write = os.pipe()
    result_read, output_read, result_write, output_write = runner.pipes()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            for source, number in ((job_read, 0), (output_write, 1), (output_write, 2)):
                os.dup2(source, number)
            os.closerange(3, result_write)
            os.closerange(result_write + 1, 4096)
            os.chdir("/")
            environment = runner.child_environment()
            os.environ.clear()
            os.environ.update(environment)
            sys.argv, sys.orig_argv[0], sys.orig_argv[-1] = ["-c", "child"], sys.executable, "child"
            if "random" in sys.modules:
                sys.modules["random"].seed()
            # A program that was executed can be traced by its like; the parent stays closed to it.
            ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
            runner.leave(finished(runner.child))
        finally:
            os._exit(70)
    for descriptor in (job_read, result_write, output_write):
        os.close(descriptor)
    return Forked(pid, job_write), result_read, output_read, result_write


def finished(program: Any) -> int:
    """The exit code of a program: what it returned, or as an interpreter has it of what it raised, which is shown."""
    code: Any = 1
    try:
        code = program()
    except SystemExit as error:
        code = error.code
        if code is not None and not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        traceback.print_exc()
    return code or 0


class Forked:
    """What the runner needs of a child, under the names of subprocess.Popen."""

    def __init__(self, pid: int, stdin: int) -> None:
        self.pid, self.stdin = pid, os.fdopen(stdin, "wb")
        self._code: int | None = None

    def poll(self) -> int | None:
        return self._waited(os.WNOHANG)

    def wait(self) -> int | None:
        return self._waited(0)

    def _waited(self, how: int) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self.pid, how)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code
