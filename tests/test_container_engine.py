"""The tests' own container engine is shared, and whoever leaves it last leaves nothing behind."""

import os
import subprocess
import threading
from pathlib import Path

import container_engine
import pytest

FAKE = """#!/bin/sh
case $1 in
start) mkdir -p {folder}; echo unix://{folder}/docker.sock;;
stop) rmdir {folder};;
esac
"""
# Fails at once, after it has noted whether another one was at it.
DOCKERD = """#!/bin/sh
mkdir {folder}/at-it || touch {folder}/overlap
sleep 0.05
rmdir {folder}/at-it
echo tried >> {folder}/tries
exit 1
"""


def program(path: Path, text: str, folder: Path) -> Path:
    path.write_text(text.format(folder=folder))
    path.chmod(0o755)
    return path


def test_users_come_and_go_and_the_last_one_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = tmp_path / "engine" / "running"
    running.parent.mkdir()
    monkeypatch.setattr(container_engine, "SCRIPT", program(tmp_path / "script", FAKE, running))
    monkeypatch.setattr(container_engine, "USERS", running.with_suffix(".users"))
    seen: list[bool] = []

    def use() -> None:
        for _ in range(8):
            with container_engine.own_engine():
                seen.append(running.exists())

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 32 and all(seen), "one was stopped while somebody used it"
    assert list(running.parent.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may start an engine")
def test_one_starts_it_at_a_time_and_no_lock_is_left(tmp_path: Path) -> None:
    programs, noted = tmp_path / "bin", tmp_path / "noted"
    programs.mkdir()
    noted.mkdir()
    program(programs / "dockerd", DOCKERD, noted)
    program(programs / "ip", "#!/bin/sh\n", noted)
    # So that no engine answers but its own, which never does.
    more = {"PATH": f"{programs}:{os.environ['PATH']}", "SWEGYM_ENGINE": str(tmp_path / "engine"), "DOCKER_HOST": ""}
    starts = [
        subprocess.Popen([container_engine.SCRIPT, "start"], env=os.environ | more, stdout=-1, stderr=-1)
        for _ in range(2)
    ]
    ended = [(start.communicate()[0], start.returncode) for start in starts]
    if (b"", 1) not in ended:
        pytest.skip("an engine answers here")
    assert len((noted / "tries").read_text().splitlines()) >= 2 * len(starts)
    assert sorted(path.name for path in noted.iterdir()) == ["tries"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "noted"]
