"""`Opened`: the machines of one piece of work, so that all can be ended from outside while others work with them.

An interrupt must not wait for a test suite that runs in a machine of the grader's. A command in flight ends with its
machine, and what would open the next one is told that this is over.
"""

from __future__ import annotations

import threading

from swegym.errors import SandboxDied
from swegym.types import Image, Sandbox, SandboxFactory, Snapshot


class Opened:
    """A `SandboxFactory` around another one. `stop` may be called from any thread, more than once."""

    def __init__(self, open_sandbox: SandboxFactory) -> None:
        self._open = open_sandbox
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._machines: list[Sandbox] = []

    def __call__(self, source: Image | Snapshot) -> Sandbox:
        if not self._stopped.is_set():
            sandbox = self._open(source)
            with self._lock:
                if not self._stopped.is_set():
                    self._machines.append(sandbox)
                    return sandbox
            sandbox.close()
        raise SandboxDied("no machine is opened any more: the work that needs it was interrupted. Start it again.")

    def stop(self) -> None:
        """Close every machine that was opened here, and open none from now on."""
        with self._lock:
            self._stopped.set()
            machines, self._machines = self._machines, []
        for sandbox in machines:
            sandbox.close()
