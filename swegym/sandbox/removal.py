"""The removal of what machines leave: processes, cgroups, folders.

Only the standard library is used: the supervisor, too, loads this file, by its path.
"""

import contextlib
import os
import shutil
import signal
import stat
import time


def end_strays(folder: str, timeout: float = 5.0) -> None:
    """Kill what still uses a folder of machines: bubblewrap killed in its first milliseconds leaves its other half.

    What is found may have forked before it was killed, so it is over when a look finds nothing.
    """
    deadline = time.monotonic() + timeout
    while kill_users(folder) and time.monotonic() < deadline:
        time.sleep(0.002)


def kill_users(folder: str) -> int:
    """Kill the processes whose command line (bubblewrap) or mounts (what it has become) name the folder, and count."""
    name = os.path.basename(folder).encode()
    killed = 0
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            with open(f"/proc/{entry}/comm", "rb") as file:
                if file.read().strip() not in (b"bwrap", b"sh", b"env", b"sleep"):
                    continue
            for source in ("cmdline", "mountinfo"):
                with open(f"/proc/{entry}/{source}", "rb") as file:
                    if b"/machines/" + name + b"/" in file.read():
                        os.kill(int(entry), signal.SIGKILL)
                        killed += 1
                        break
    return killed


def clean_owner(folder: str) -> bool:
    """As `clean_machine`, of all machines of an owner."""
    with contextlib.suppress(FileNotFoundError):
        return _clean_with_groups(folder, [os.path.join(folder, name, "cgroup") for name in os.listdir(folder)])
    return True


def clean_machine(folder: str) -> bool:
    """Remove a machine's folder and the cgroups that it lists; returns whether it is gone."""
    return _clean_with_groups(folder, [os.path.join(folder, "cgroup")])


def _clean_with_groups(folder: str, listings: list[str]) -> bool:
    """The listings lie where no policy writes. Its own root and shared memory are folders beside them."""
    groups = []
    for listing in listings:
        with contextlib.suppress(OSError), open(listing) as file:
            groups += file.read().splitlines()
    # Once the folder that lists them is gone, nobody would know of them; so the next sweep tries again.
    return remove_groups(groups) and clean(folder)


def clean(folder: str) -> bool:
    """Remove a folder, whatever modes a policy gave to what is in it; returns whether it is gone."""

    def unlock(function, path, _):  # type: ignore[no-untyped-def]
        parent = os.path.dirname(path)
        for place in (parent, path):
            with contextlib.suppress(OSError):
                if stat.S_ISDIR(os.lstat(place).st_mode):
                    os.chmod(place, 0o700)
        with contextlib.suppress(OSError):
            if function is os.rmdir or function is os.unlink:
                function(path)
            else:
                shutil.rmtree(path, ignore_errors=True)

    with contextlib.suppress(FileNotFoundError, RecursionError):  # a tree may be deeper than Python recurses
        shutil.rmtree(folder, onerror=unlock)
    if os.path.lexists(folder):
        for command in (["/bin/chmod", "-R", "u+rwx", "--", folder], ["/bin/rm", "-rf", "--", folder]):
            os.waitpid(os.posix_spawn(command[0], command, {}), 0)
    return not os.path.lexists(folder)


def remove_groups(groups: list[str], timeout: float = 5.0) -> bool:
    """Kill what is in cgroups and remove them; returns whether all are gone.

    The dead still count as members until their parents have waited for them.
    """
    deadline = time.monotonic() + timeout
    for group in groups:
        while os.path.isdir(group):
            with contextlib.suppress(OSError):
                os.rmdir(group)
                break
            if time.monotonic() > deadline:
                return False
            kill_members(group)
            time.sleep(0.005)
    return True


def kill_members(group: str) -> None:
    with contextlib.suppress(OSError), open(os.path.join(group, "cgroup.procs")) as file:
        for pid in map(int, file.read().split()):
            if pid > 0:  # 0 is one that is out of our sight
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
