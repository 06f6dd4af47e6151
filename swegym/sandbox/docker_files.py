"""Reading and writing one file of a container through the engine, with no process and no program of the machine.

Links are followed here, one step at a time, so that they mean what they mean inside the container.
"""

from __future__ import annotations

import base64
import errno
import io
import json
import posixpath
import tarfile
import time
from dataclasses import dataclass
from typing import Any

from swegym.errors import SandboxDied
from swegym.sandbox.base import MOST_READ, USER, too_large
from swegym.sandbox.docker_engine import CALL_TIMEOUT

_MOST_LINKS = 40
# The engine reports modes as Go's bits.
_DIRECTORY, _LINK, _OTHER = 1 << 31, 1 << 27, (1 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 1 << 19)


@dataclass(frozen=True, slots=True)
class _Found:
    path: str  # with every link followed
    mode: int | None  # Go's bits; None where there is nothing yet


def read(api: Any, container: str, workdir: str, path: str) -> bytes:
    found = _resolve(api, container, posixpath.join(workdir, path), path)
    if found.mode is None:
        raise FileNotFoundError(errno.ENOENT, "no such file", path)
    _check_regular(found, path)
    chunks, _ = api.get_archive(container, found.path)
    packed = io.BytesIO()
    for chunk in chunks:
        packed.write(chunk)
        if packed.tell() > MOST_READ + (1 << 20):
            chunks.close()
            raise too_large(path)
    packed.seek(0)
    with tarfile.open(fileobj=packed) as archive:
        entry = archive.next()
        content = archive.extractfile(entry) if entry is not None else None
        if content is None:
            raise PermissionError(errno.EPERM, "not a regular file", path)
        return content.read()


def write(api: Any, container: str, workdir: str, path: str, data: bytes, *, executable: bool) -> None:
    found = _resolve(api, container, posixpath.join(workdir, path), path)
    if found.mode is not None:
        _check_regular(found, path)
    mode = 0o644 if found.mode is None else found.mode & 0o777
    folder, name = posixpath.split(found.path)
    missing: list[str] = []
    while found.mode is None and folder != "/":
        parent = _status(api, container, folder)
        if parent is not None:
            if not parent["mode"] & _DIRECTORY:
                raise PermissionError(errno.ENOTDIR, f"{folder} is not a folder", path)
            break
        folder, above = posixpath.split(folder)
        missing.insert(0, above)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for depth in range(len(missing)):
            entry = tarfile.TarInfo("/".join(missing[: depth + 1]))
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(_owned(entry))
        entry = tarfile.TarInfo("/".join([*missing, name]))
        entry.size, entry.mode = len(data), mode | (0o111 if executable else 0)
        archive.addfile(_owned(entry), io.BytesIO(data))
    api.put_archive(container, folder, packed.getvalue())


def _owned(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = USER
    entry.mtime = time.time()
    return entry


def _check_regular(found: _Found, path: str) -> None:
    assert found.mode is not None
    if found.mode & _DIRECTORY:
        raise IsADirectoryError(errno.EISDIR, "is a directory", path)
    if found.mode & _OTHER:
        raise PermissionError(errno.EPERM, "not a regular file", path)


def _resolve(api: Any, container: str, place: str, path: str) -> _Found:
    """Follow links at the end of `place`; the engine follows those before it."""
    place = posixpath.normpath("/" + place)
    for _ in range(_MOST_LINKS):
        status = _status(api, container, place)
        if status is None:
            return _Found(place, None)
        if not status["mode"] & _LINK:
            return _Found(place, int(status["mode"]))
        # The engine names the target from the container's root, already resolved.
        place = posixpath.normpath(posixpath.join(posixpath.dirname(place), status["linkTarget"]))
    raise OSError(errno.ELOOP, "too many links", path)


def _status(api: Any, container: str, place: str) -> dict[str, Any] | None:
    """What the engine says of one path; None where there is nothing."""
    url = f"{api.base_url}/v{api.api_version}/containers/{container}/archive"
    answer = api.head(url, params={"path": place}, timeout=CALL_TIMEOUT)
    if answer.status_code == 404:
        # A path, or the container; only the latter is the end of the machine.
        header = api.get(f"{api.base_url}/v{api.api_version}/containers/{container}/json", timeout=CALL_TIMEOUT)
        if header.status_code == 404:
            raise SandboxDied("the container is gone: something outside removed it. Open another one.")
        return None
    if (
        answer.status_code == 500
        and "too many links" in api.get(url, params={"path": place}, timeout=CALL_TIMEOUT).text
    ):
        raise OSError(errno.ELOOP, "too many links", place)
    api._raise_for_status(answer)
    return dict(json.loads(base64.b64decode(answer.headers["x-docker-container-path-stat"])))
