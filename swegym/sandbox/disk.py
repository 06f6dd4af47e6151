"""Disk: what the writable part of a machine takes, counted from outside while processes in it change it all the time.

Everything is opened from its folder's descriptor and no link is followed, so that a folder which becomes a link between
two looks leads nowhere. What is deleted but still open has no name; it is found through the processes that hold it. Not
found: files that are deleted and only mapped, or only on their way through a socket.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

DEEPEST = 128  # folders in folders; a deeper tree counts as full, because each level takes a descriptor of ours
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def bytes_used(root: str, most: int) -> int:
    """Bytes of all files below `root`, each at least one block; counting stops above `most`."""
    total = 0
    opened: list[tuple[int, list[str]]] = []  # a folder, and the folders in it that are still to be looked at
    shut: dict[int, int] = {}  # folders that were opened up to be looked at, and the modes to give back
    try:
        pending = _open(root, None, shut)
        while total <= most:
            if pending is not None:
                opened.append((pending, []))
                total += _count(*opened[-1])
                if len(opened) > DEEPEST:
                    return most + 1
            while opened and not opened[-1][1]:
                _close(opened.pop()[0], shut)
            if not opened:
                break
            pending = _open(opened[-1][1].pop(), opened[-1][0], shut)
    finally:
        for descriptor, _ in reversed(opened):
            _close(descriptor, shut)
    return total


def bytes_free(folder: Path) -> int:
    """What the file system of `folder` has left."""
    found = os.statvfs(folder)
    return found.f_bfree * found.f_frsize


def bytes_without_a_name(init: int, processes: Iterable[int] | None) -> int:
    """Bytes of deleted files that processes of a machine hold open.

    Args:
        init: The machine's first process.
        processes: All of its processes; None to find them by their namespace.
    """
    sizes: dict[tuple[int, int], int] = {}
    for process in _members(init) if processes is None else processes:
        with contextlib.suppress(OSError), os.scandir(f"/proc/{process}/fd") as descriptors:
            for descriptor in descriptors:
                with contextlib.suppress(OSError):
                    found = descriptor.stat()
                    if found.st_nlink == 0 and stat.S_ISREG(found.st_mode):
                        sizes[found.st_dev, found.st_ino] = found.st_blocks * 512
    return sum(sizes.values())


def _members(init: int) -> Iterable[int]:
    with contextlib.suppress(OSError):
        space = Path(f"/proc/{init}/ns/pid").readlink()
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (entry / "ns/pid").readlink() == space:
                    yield int(entry.name)


def _open(name: str, folder: int | None, shut: dict[int, int]) -> int | None:
    """A folder's descriptor; None when it is gone or none any more. One that was shut is opened up until `_close`."""
    try:
        return os.open(name, _FOLDER, dir_fd=folder)
    except PermissionError:
        pass
    except OSError:
        return None
    try:
        place = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return None
    try:
        # By descriptor: whatever bears the name now, this is the folder that was found.
        mode = stat.S_IMODE(os.fstat(place).st_mode)
        Path(f"/proc/self/fd/{place}").chmod(0o700)
        descriptor = os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        shut[descriptor] = mode
        return descriptor
    except OSError:
        return None
    finally:
        os.close(place)


def _close(descriptor: int, shut: dict[int, int]) -> None:
    if descriptor in shut:
        with contextlib.suppress(OSError):
            os.fchmod(descriptor, shut.pop(descriptor))
    os.close(descriptor)


def _count(folder: int, folders: list[str]) -> int:
    """Bytes of what lies in a folder; the names of the folders in it go to `folders`."""
    total = 0
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                found = entry.stat(follow_symlinks=False)
                total += max(found.st_blocks * 512, 4096)
                if stat.S_ISDIR(found.st_mode):
                    folders.append(entry.name)
    return total
