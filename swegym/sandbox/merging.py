"""Copying a writable layer and merging several frozen ones, with all that overlayfs means by what is in them.

Run as a script: `python -I -S merging.py copy TARGET LAYER` or `... merge TARGET LOWEST ... HIGHEST`. It is a process
of its own because of its rights: in a user namespace it may read folders that a policy has shut, without opening them
for anybody else, and make whiteouts (character devices 0, 0).

A merged layer does to what is below it what the layers did one after another. Its files are hard links, so merging
costs no space and a time that depends on the number of files only.
"""

# It runs alone, and importing pathlib would be most of its time.
# ruff: noqa: PTH102, PTH108, PTH118, PTH123

import ctypes
import errno
import os
import shutil
import stat
import sys

CLONE_NEWUSER = 0x10000000
OPAQUE = "user.overlay.opaque"


def merge(target: str, layers: list[str]) -> None:
    os.mkdir(target)
    for layer in layers:
        lay_over(layer, target)


def lay_over(source: str, target: str) -> None:
    """Put the folder `source` of a higher layer over the folder `target`, which exists."""
    with os.scandir(source) as entries:
        for entry in entries:
            place = os.path.join(target, entry.name)
            below = _mode(place)
            if not entry.is_dir(follow_symlinks=False):
                if below is not None:
                    _remove(place, below)
                _link(entry.path, place)
                continue
            hides = OPAQUE in os.listxattr(entry.path, follow_symlinks=False)
            if below is not None and (hides or not stat.S_ISDIR(below)):
                # A folder where a whiteout or a file was hides what the layers further down have there.
                _remove(place, below)
                hides, below = True, None
            if below is None:
                os.mkdir(place)
            lay_over(entry.path, place)
            if hides:
                os.setxattr(place, OPAQUE, b"y")
    shutil.copystat(source, target, follow_symlinks=False)
    status = os.lstat(source)
    os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)


def _link(source: str, place: str) -> None:
    try:
        os.link(source, place, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.EMLINK:  # overlayfs links all whiteouts of a machine to one
            raise
        status = os.lstat(source)
        if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
            shutil.copy2(source, place, follow_symlinks=False)
        else:
            os.mknod(place, status.st_mode, status.st_rdev)


def _mode(place: str) -> int | None:
    try:
        return os.lstat(place).st_mode
    except FileNotFoundError:
        return None


def _remove(place: str, mode: int) -> None:
    if stat.S_ISDIR(mode):
        shutil.rmtree(place)
    else:
        os.unlink(place)


def become_owner() -> None:
    """Get a root user's rights over the files of this user, and over no others."""
    if os.geteuid() == 0:
        return
    user, group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "no user namespace can be made")
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def main() -> None:
    verb, target, *layers = sys.argv[1:]
    become_owner()
    if verb == "copy":
        os.execvp("cp", ["cp", "-a", "--reflink=auto", "--", layers[0], target])
    merge(target, layers)


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.exit(f"{error.filename or sys.argv[2]}: {error.strerror or error}")
