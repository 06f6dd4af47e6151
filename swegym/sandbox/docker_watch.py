"""The small process that outlives the owner of containers by just so long as it takes to remove them.

Run as a script: `python -I -S docker_watch.py PIPE_FD ENGINE LABEL`. The owner holds the other end of the pipe and
never writes to it, so the pipe ends when the owner does. Then every container and image with the label is
removed. It speaks to the engine with the standard library alone, so that it starts at once and weighs little.
"""

import contextlib
import http.client
import json
import os
import socket
import sys
from typing import Any
from urllib.parse import quote, urlsplit

CALL_TIMEOUT = 60.0


def dial(host: str, timeout: float = CALL_TIMEOUT) -> socket.socket:
    """A connection to an engine at unix://PATH or tcp://HOST:PORT."""
    place = urlsplit(host)
    if place.scheme == "unix":
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        channel.settimeout(timeout)
        try:
            channel.connect(place.path)
        except BaseException:
            channel.close()
            raise
        return channel
    return socket.create_connection((place.hostname or "localhost", place.port or 2375), timeout)


def call(host: str, method: str, path: str) -> Any:
    """One request; the parsed answer, or None where it is empty or a refusal."""
    connection = http.client.HTTPConnection("engine", timeout=CALL_TIMEOUT)
    connection.sock = dial(host)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        body = answer.read()
        return json.loads(body) if answer.status == 200 and body else None
    finally:
        connection.close()


def remove_all(host: str, label: str) -> None:
    chosen = quote(json.dumps({"label": [label]}))
    for container in call(host, "GET", f"/containers/json?all=1&filters={chosen}") or []:
        call(host, "DELETE", f"/containers/{container['Id']}?force=1&v=1")
    for image in call(host, "GET", f"/images/json?filters={chosen}") or []:
        call(host, "DELETE", f"/images/{quote(image['Id'])}?force=1")


def main() -> None:
    descriptor, host, label = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    while os.read(descriptor, 1):
        pass
    with contextlib.suppress(OSError, http.client.HTTPException):  # the engine is gone, and all with it
        remove_all(host, label)
        remove_all(host, label)  # one that was being made when the owner died


if __name__ == "__main__":
    main()
