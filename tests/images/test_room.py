"""Where root file systems are unpacked: nothing of it is left by who is killed."""

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from swegym import paths
from swegym.images import rootfs
from swegym.sandbox import machines

WAITING = """
import time
from swegym.images import rootfs
with rootfs._roomy() as folder:
    (folder / "work").mkdir()
    print(folder, flush=True)
    time.sleep(600)
"""


def test_what_a_killed_build_had_in_memory_is_swept(store: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WAITING], stdout=subprocess.PIPE, text=True) as builder:
        assert builder.stdout is not None
        folder = Path(builder.stdout.readline().strip())
        try:
            assert (folder / "work").is_dir()
            machines.sweep()
            assert (folder / "work").is_dir()
        finally:
            builder.kill()
    machines.sweep()
    assert not folder.exists()


def test_where_memory_is_short_the_store_has_room(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=1 << 30))
    with rootfs._roomy() as folder:
        assert folder.parent == paths.layers()
    assert not folder.exists()
