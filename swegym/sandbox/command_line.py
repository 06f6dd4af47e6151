"""The command line of bubblewrap: what a machine is and what it sees."""

from collections.abc import Sequence
from pathlib import Path

from swegym.sandbox.base import USER, Base, kernel_settings
from swegym.sandbox.complaints import bubblewrap_path

# Descriptor 4 says that it runs. The dead are reaped by the kernel, as this init waits for nobody.
_READY = "echo >&4; exec /usr/bin/env --ignore-signal=CHLD /usr/bin/sleep infinity 4>&-"


def machine_argv(base: Base, layers: Sequence[Path], upper: Path, folder: Path, shared: Path) -> list[str]:
    """How to start a machine over read-only `layers`, lowest first, that writes to `upper`.

    `folder` holds `upper` and a work folder; `shared` is the /dev/shm in it. Its status goes to descriptor 3.
    """
    argv = [bubblewrap_path(), "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent"]
    argv += ["--new-session", "--as-pid-1", "--clearenv", "--hostname", "sandbox", "--cap-drop", "ALL"]
    argv += ["--uid", str(USER), "--gid", str(USER), "--json-status-fd", "3"]
    for layer in layers:
        argv += ["--overlay-src", str(layer)]
    argv += ["--overlay", str(upper), str(folder / "work"), "/"]
    for source, inside in base.binds:
        argv += ["--ro-bind", source, inside]
    for inside in base.masks:
        argv += ["--tmpfs", inside, "--remount-ro", inside]
    argv += ["--proc", "/proc"]
    for path in kernel_settings():
        argv += ["--ro-bind", path, path]
    # /dev is a tmpfs, which no limit of ours holds; what programs share there lies on the disk that is watched.
    argv += ["--dev", "/dev", "--bind", str(shared), "/dev/shm", "--remount-ro", "/dev"]
    return [*argv, "--", "/bin/sh", "-c", _READY]
