"""Moving a command's streams without ever waiting for more than the command itself."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from dataclasses import dataclass


class HeadAndTail:
    """Bytes of which only the first and the last half of `keep` are kept (all of them when it is None)."""

    def __init__(self, keep: int | None) -> None:
        self._half = None if keep is None else keep // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def add(self, data: bytes) -> None:
        if self._half is None:
            self._head += data
            return
        room = self._half - len(self._head)
        self._head += data[: max(room, 0)]
        self._tail += data[max(room, 0) :]
        if len(self._tail) > 2 * self._half:
            self._trim()

    def _trim(self) -> None:
        assert self._half is not None
        surplus = len(self._tail) - self._half
        if surplus > 0:
            self._dropped += surplus
            del self._tail[:surplus]

    def finish(self) -> tuple[bytes, int]:
        """The kept bytes, with a line that says what was cut, and the number of bytes cut."""
        if self._half is not None:
            self._trim()
        if not self._dropped:
            return bytes(self._head + self._tail), 0
        note = f"\n[... {self._dropped} bytes left out ...]\n".encode()
        return bytes(self._head) + note + bytes(self._tail), self._dropped


@dataclass(frozen=True, slots=True)
class Pumped:
    status: bytes | None  # what the status pipe said; None when the deadline or `tick` ended it first
    stdout: bytes
    stderr: bytes
    truncated: int
    stopped: str | None  # "time", or what `tick` returned


def pump(
    stdin: tuple[int, bytes] | None,
    stdout: int,
    stderr: int,
    status: int,
    *,
    timeout: float,
    keep: int | None,
    tick: Callable[[], str | None],
    interval: float = 0.25,
) -> Pumped:
    """Feed stdin and drain the outputs until the status pipe speaks, the time is over, or `tick` names a reason.

    A process left in the background may hold the outputs open: once the status is there, only what is already in the
    pipes is still read. The descriptors stay the caller's to close, but stdin is closed here when it is all written.
    """
    buffers = {stdout: HeadAndTail(keep), stderr: HeadAndTail(keep)}
    deadline = time.monotonic() + timeout
    poller = select.poll()
    for descriptor in (stdout, stderr, status):
        os.set_blocking(descriptor, False)
        poller.register(descriptor, select.POLLIN)
    feed, unsent = stdin if stdin is not None else (-1, b"")
    position = 0
    if feed >= 0:
        os.set_blocking(feed, False)
        poller.register(feed, select.POLLOUT)
    answer: bytes | None = None
    stopped: str | None = None
    next_tick = time.monotonic() + interval
    while answer is None and stopped is None:
        now = time.monotonic()
        wait = max(0.0, min(deadline, next_tick) - now)
        for descriptor, event in poller.poll(wait * 1000 + 0.5):
            if descriptor == status:
                answer = os.read(status, 4096)
            elif descriptor == feed:
                try:
                    position += os.write(feed, unsent[position : position + 65536])
                except BlockingIOError:
                    pass
                except BrokenPipeError:
                    position = len(unsent)
                if position >= len(unsent) or event & select.POLLERR:
                    poller.unregister(feed)
                    os.close(feed)
                    feed = -1
            elif not _drain(descriptor, buffers[descriptor], 1 << 20):
                poller.unregister(descriptor)
        now = time.monotonic()
        if answer is None and now >= deadline:
            stopped = "time"
        elif answer is None and now >= next_tick:
            stopped = tick()
            next_tick = time.monotonic() + interval
    if feed >= 0:
        os.close(feed)
    for descriptor, buffer in buffers.items():
        _drain(descriptor, buffer, 64 << 20)
    out, cut_out = buffers[stdout].finish()
    err, cut_err = buffers[stderr].finish()
    return Pumped(answer, out, err, cut_out + cut_err, stopped)


def _drain(descriptor: int, buffer: HeadAndTail, most: int) -> bool:
    """Read what is there, at most `most` bytes; False at the end of the stream."""
    taken = 0
    while taken < most:
        try:
            data = os.read(descriptor, 1 << 16)
        except BlockingIOError:
            return True
        if not data:
            return False
        buffer.add(data)
        taken += len(data)
    return True
