"""The owner's end of a zygote: a program that is started once over an image and forks into fresh machines.

A machine over the image lends the zygote its files; nothing is ever run in it. What the zygote forks enters a machine
as a command does: namespaces, limits, no capabilities, no descriptor but three. The zygote itself stands outside of
machines, with the rights of the supervisor's children, so its program and the image must be trusted. It needs
CAP_SYS_ADMIN: others may not see a machine's files without being confined to it.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swegym.sandbox import machines
from swegym.sandbox.bubblewrap import BubblewrapSandbox
from swegym.types import ExecResult, Image

CAP_SYS_CHROOT, CAP_SYS_ADMIN = 18, 21


def can_fork() -> bool:
    """Whether zygotes work here."""
    status = Path("/proc/self/status").read_text()
    effective = int(status.partition("CapEff:")[2].split()[0], 16)
    return all(effective >> capability & 1 for capability in (CAP_SYS_CHROOT, CAP_SYS_ADMIN))


class Zygote:
    """A running zygote of this process. It ends with `close`, with the owner, or with the supervisor."""

    def __init__(self, image: Image, argv: list[str], environment: Mapping[str, str], code: bytes) -> None:
        """Start `argv`, found by the PATH of the image, which reads `code` from descriptor 4."""
        self.owner = os.getpid()
        self._machine = BubblewrapSandbox(image)
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        text = os.memfd_create("zygote", os.MFD_CLOEXEC)
        try:
            os.write(text, code)
            os.lseek(text, 0, os.SEEK_SET)
            pid, pidfd = self._machine.first_process()
            payload = {"pid": pid, "argv": argv, "environment": self._machine.environment() | dict(environment)}
            machines.current().request(b"z", payload, [theirs.fileno(), text, pidfd])
        finally:
            os.close(text)
            theirs.close()

    def alive(self) -> bool:
        """Whether requests of this process would be taken."""
        if self.owner != os.getpid():
            return False
        poller = select.poll()
        poller.register(self._channel, select.POLLIN)
        return not poller.poll(0)

    def exec(self, sandbox: BubblewrapSandbox, *, cwd: str, stdin: bytes, timeout: float) -> ExecResult:
        """Have a fork of it do its work in `sandbox`, as `exec` there has a command."""
        return sandbox.exec_forked(self._send, cwd=cwd, stdin=stdin, timeout=timeout)

    def close(self) -> None:
        self._channel.close()
        self._machine.close()

    def _send(self, kind: bytes, payload: dict[str, Any], descriptors: list[int]) -> None:
        machines.send_request(self._channel, kind, payload, descriptors)
