"""Commands in a container: one stream from the engine, taken apart, with an end that background processes cannot delay.

The engine ends a command's stream when the last process that holds it ends, which may be one left in the background. So
a small shell around the command marks the end on both outputs. The mark is secret enough for its use: a command that
forges it only lies about its own exit code, which it may choose anyway.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from swegym.errors import SandboxError
from swegym.sandbox.docker_watch import dial
from swegym.sandbox.pump import HeadAndTail

# The shell's own messages ("Terminated") go nowhere; the command's standard error is the real one.
_WRAPPER = (
    'cd -- "$1" || exit 1; m=$2; shift 2; exec 3>&2 2>/dev/null; (exec -- "$@") 2>&3 3>&-; c=$?; '
    r'printf "\0%s %s\0" "$m" "$c"; printf "\0%s %s\0" "$m" "$c" >&3; exit "$c"'
)
_STDOUT, _STDERR = 1, 2
_LONGEST_CODE = 4  # bytes: three digits and the end


@dataclass(frozen=True, slots=True)
class Streamed:
    code: int | None  # None when the mark never came: the stream ended, or was ended by `stopped`
    stdout: bytes
    stderr: bytes
    truncated: int
    stopped: str | None


def new_mark() -> str:
    return f"swegym-{secrets.token_hex(16)}"


def wrapped(argv: list[str], cwd: str, mark: str) -> list[str]:
    """The argument list that runs `argv` from `cwd` and marks its end."""
    return ["/bin/bash", "-c", _WRAPPER, "bash", cwd, mark, *argv]


def hijack(host: str, path: str, body: dict[str, object]) -> tuple[socket.socket, bytes]:
    """Post a request that turns its connection into a stream; the socket, and what of the stream came already.

    The `docker` package can do this too, but loses what arrives together with the answer's head.
    """
    data = json.dumps(body).encode()
    try:
        channel = dial(host)
    except OSError as error:  # not to be taken for a file that is missing in the machine
        raise ConnectionError(f"{host}: {error}") from error
    try:
        head = (
            f"POST {path} HTTP/1.1\r\nHost: engine\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        )
        channel.sendall(head.encode() + b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n" + data)
        received = b""
        while b"\r\n\r\n" not in received:
            more = channel.recv(1 << 16)
            if not more:
                raise SandboxError(f"{path}: the container engine hung up.")
            received += more
        answer, _, rest = received.partition(b"\r\n\r\n")
        status = int(answer.split(None, 2)[1])
        if status not in (http.client.SWITCHING_PROTOCOLS, http.client.OK):
            raise SandboxError(f"{path}: the container engine said: {status} {rest.decode('utf-8', 'replace').strip()}")
        return channel, rest
    except BaseException:
        channel.close()
        raise


class Frames:
    """Takes the engine's stream apart: each frame has a head of 8 bytes with the output's number and the length."""

    def __init__(self, keep: int, mark: str) -> None:
        self._mark = b"\0" + mark.encode() + b" "
        self._rest = bytearray()
        self._outputs = {number: HeadAndTail(keep) for number in (_STDOUT, _STDERR)}
        self._ends = {number: bytearray() for number in (_STDOUT, _STDERR)}  # not yet known to hold no mark
        self.codes: dict[int, int] = {}

    def add(self, data: bytes) -> None:
        self._rest += data
        position = 0
        while len(self._rest) - position >= 8:
            size = int.from_bytes(self._rest[position + 4 : position + 8], "big")
            if len(self._rest) - position - 8 < size:
                break
            number = self._rest[position]
            if number in self._outputs:
                self._take(number, bytes(self._rest[position + 8 : position + 8 + size]))
            position += 8 + size
        del self._rest[:position]

    def _take(self, number: int, data: bytes) -> None:
        if number in self.codes:
            return  # after the end: something in the background speaks
        pending = self._ends[number]
        pending += data
        found = pending.find(self._mark)
        if found >= 0:
            code, end, _ = bytes(pending[found + len(self._mark) :][:_LONGEST_CODE]).partition(b"\0")
            if end or len(code) == _LONGEST_CODE:  # who forges it may forge no number, and never come to an end
                self.codes[number] = int(code) if end and code.isdigit() else 255
                self._outputs[number].add(bytes(pending[:found]))
                pending.clear()
                return
        sure = found if found >= 0 else max(0, len(pending) - len(self._mark))
        self._outputs[number].add(bytes(pending[:sure]))
        del pending[:sure]

    def finish(self) -> tuple[bytes, bytes, int]:
        for number, pending in self._ends.items():
            self._outputs[number].add(bytes(pending))
            pending.clear()
        out, cut_out = self._outputs[_STDOUT].finish()
        err, cut_err = self._outputs[_STDERR].finish()
        return out, err, cut_out + cut_err


def stream(
    channel: socket.socket,
    first: bytes,
    stdin: bytes | None,
    mark: str,
    *,
    timeout: float,
    keep: int,
    tick: Callable[[], str | None],
    interval: float = 0.5,
) -> Streamed:
    """Feed stdin and read until both marks are there, the stream ends, time is over, or `tick` names a reason."""
    frames = Frames(keep, mark)
    frames.add(first)
    deadline = time.monotonic() + timeout
    next_tick = time.monotonic() + interval
    channel.setblocking(False)
    descriptor = channel.fileno()
    poller = select.poll()
    feeding = stdin is not None
    view, position = memoryview(stdin or b""), 0
    stopped: str | None = None
    open_ended = True
    while open_ended and len(frames.codes) < 2 and stopped is None:
        poller.register(descriptor, select.POLLIN | (select.POLLOUT if feeding else 0))
        wait = max(0.0, min(deadline, next_tick) - time.monotonic())
        for _, event in poller.poll(wait * 1000 + 0.5):
            if event & select.POLLOUT and feeding:
                try:
                    position += channel.send(view[position : position + (1 << 16)])
                except BlockingIOError:
                    pass
                except (BrokenPipeError, ConnectionError):
                    feeding = False
                if feeding and position >= len(view):
                    feeding = False
                    with contextlib.suppress(OSError):
                        channel.shutdown(socket.SHUT_WR)
            if event & ~select.POLLOUT:
                open_ended = _drain(descriptor, frames)
        now = time.monotonic()
        if len(frames.codes) < 2 and now >= deadline:
            stopped = "time"
        elif len(frames.codes) < 2 and now >= next_tick:
            stopped = tick()
            next_tick = time.monotonic() + interval
    out, err, cut = frames.finish()
    code = frames.codes.get(_STDOUT, frames.codes.get(_STDERR)) if stopped is None else None
    return Streamed(code, out, err, cut, stopped)


def _drain(descriptor: int, frames: Frames) -> bool:
    """Read what is there, at most some of it; False at the end of the stream."""
    for _ in range(16):
        try:
            data = os.read(descriptor, 1 << 16)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        if not data:
            return False
        frames.add(data)
    return True
