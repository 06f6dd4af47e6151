"""Machines of one piece of work end together, also while a command runs in one of them."""

import contextlib
import os
import threading
import time
from pathlib import Path

import pytest

from swegym import paths
from swegym.errors import SandboxDied
from swegym.images.store import make_image
from swegym.sandbox import open_sandbox, sweep
from swegym.sandbox.opened import Opened


def test_a_stop_ends_the_command_in_flight_and_no_machine_is_opened_afterwards() -> None:
    machines, image = Opened(open_sandbox), make_image((), {}, workdir="/")
    sandbox = machines(image)

    def work() -> None:
        with contextlib.suppress(SandboxDied):
            sandbox.exec("sleep 300", timeout=300)

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.5)
    machines.stop()
    thread.join(30)
    assert not thread.is_alive()
    with pytest.raises(SandboxDied, match="interrupted"):
        machines(image)


def test_what_was_not_made_to_the_end_is_swept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SWEGYM_HOME", str(tmp_path))
    emptied, abandoned, new = (paths.machines() / name for name in ("1-abc", ".new-1-abc", ".new-2-abc"))
    for folder in (emptied, abandoned, new):
        folder.mkdir(parents=True)
    (abandoned / "lease").touch()
    hours_ago = time.time() - 7200
    os.utime(abandoned, (hours_ago, hours_ago))
    assert sorted(sweep()) == [abandoned, emptied]
    assert new.exists()
