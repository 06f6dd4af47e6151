"""What the Docker backend does beyond the contract: nothing is left, and errors say what to do."""

import signal
import socketserver
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from container_engine import engine  # noqa: F401 - a fixture
from docker.errors import NotFound

from swegym.errors import SandboxDied, SandboxUnavailable
from swegym.images import store as layers
from swegym.sandbox import Limits, docker_engine, docker_files, open_sandbox
from swegym.sandbox.docker import how_limits_hold
from swegym.types import Image, Snapshot

pytestmark = pytest.mark.timeout(120)
IMAGE = Image("test", "host")


@pytest.fixture
def api(engine: str) -> Any:  # noqa: F811
    return docker_engine.current().client.api


def containers(api: Any) -> set[str]:
    chosen = {"label": [f"{name}={value}" for name, value in docker_engine.current().labels.items()]}
    return {found["Id"] for found in api.containers(all=True, filters=chosen)}


def test_layers_of_the_store_are_what_a_machine_starts_from(api: Any, tmp_path: Path) -> None:
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    for tree, text in ((lower, "below"), (upper, "above")):
        (tree / "testbed").mkdir(parents=True)
        (tree / "testbed" / "both.txt").write_text(text)
    (lower / "testbed" / "run.sh").write_text("#!/bin/sh\necho $COLOUR")
    (lower / "testbed" / "run.sh").chmod(0o755)
    image = layers.make_image([layers.put_layer(lower), layers.put_layer(upper)], {"COLOUR": "green"})
    with open_sandbox(image, "docker") as box:
        assert box.read("both.txt") == b"above"
        assert box.exec("./run.sh").stdout == b"green\n"
        assert box.exec("rm both.txt && echo new > both.txt && cat both.txt").stdout == b"new\n"


def test_a_file_deleted_in_a_layer_stays_deleted(api: Any) -> None:
    with open_sandbox(IMAGE) as embedded:
        embedded.write("dir/old.txt", b"old")
        embedded.write("gone.txt", b"gone")
        first = embedded.snapshot()
    with open_sandbox(first) as embedded:
        embedded.exec("rm -rf gone.txt dir; mkdir dir; echo new > dir/new.txt")
        second = embedded.snapshot()
        with open_sandbox(second, "docker") as box:
            assert box.exec("ls . dir").stdout == b".:\ndir\n\ndir:\nnew.txt\n"


def test_closing_removes_the_container(api: Any) -> None:
    box = open_sandbox(IMAGE, "docker")
    assert len(containers(api)) == 1
    box.close()
    assert containers(api) == set()


def test_a_container_removed_from_outside_is_a_dead_sandbox(api: Any) -> None:
    with open_sandbox(IMAGE, "docker") as box:
        api.remove_container(next(iter(containers(api))), force=True)
        with pytest.raises(SandboxDied):
            box.exec("true")
        with pytest.raises(SandboxDied):
            box.read("x")


def test_links_mean_what_they_mean_inside(api: Any) -> None:
    with open_sandbox(IMAGE, "docker") as box:
        box.exec("echo inside > real; ln -s real near; ln -s /testbed/real far; ln -s far further; ln -s loop loop")
        for name in ("near", "far", "further"):
            assert box.read(name) == b"inside\n"
        box.write("further", b"changed")
        assert box.read("real") == b"changed"
        with pytest.raises(OSError, match="too many links"):
            box.read("loop")
        box.exec("ln -s /etc/machine-id out")
        with pytest.raises(FileNotFoundError):
            box.read("out")  # this host has one, the machine does not


@pytest.mark.parametrize("trouble", [NotFound("moved away"), tarfile.ReadError("unexpected end of data")])
def test_what_moves_while_it_is_read_is_read_again_where_nothing_runs(
    api: Any, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    """What a policy keeps moving must not fail its machine: that would be judged by nobody."""
    troubles, read = [trouble], docker_files.read

    def moved(*arguments: Any) -> bytes:
        if troubles:
            raise troubles.pop()
        return read(*arguments)

    with open_sandbox(IMAGE, "docker") as box:
        box.write("x", b"1")
        box.exec("sleep 60 >/dev/null 2>&1 &")
        monkeypatch.setattr(docker_files, "read", moved)
        assert box.read("x") == b"1"
        assert box.exec("grep -l ^sleep /proc/[0-9]*/comm").stdout == b""


def test_limits_that_end_a_command_are_named(api: Any) -> None:
    with open_sandbox(IMAGE, "docker", Limits(disk_bytes=20 << 20, memory_bytes=64 << 20)) as box:
        assert box.exec("sleep 9", timeout=0.2).limit == "time"
        many = "for i in $(seq 40); do head -c 5000000 /dev/zero > f$i; done; sleep 5"
        assert box.exec(many, timeout=30).limit == "disk"
        assert box.exec("rm -f f*").exit_code == 0
        assert box.exec("x=y; while :; do x=$x$x; done", timeout=30).limit == "memory"
        assert box.exec("echo alive").stdout == b"alive\n"


def test_how_the_disk_is_limited_is_told(api: Any) -> None:
    with open_sandbox(IMAGE, "docker", Limits(disk_bytes=20 << 20)) as box:
        result = box.exec("head -c 30000000 /dev/zero > one; head -c 30000000 /dev/zero > two; sleep 5", timeout=20)
        watched = "watched" in how_limits_hold()["disk"]
        assert (result.limit == "disk") == watched
        assert len(box.read("one")) <= 20 << 20


def test_a_snapshot_belongs_to_its_backend(api: Any) -> None:
    with open_sandbox(IMAGE, "docker") as box:
        frozen = box.snapshot()
    assert isinstance(frozen, Snapshot)
    with pytest.raises(Exception, match="docker"):
        open_sandbox(frozen)


CHILD = """
import sys
from swegym.sandbox import open_sandbox
from swegym.types import Image
box = open_sandbox(Image("test", "host"), "docker")
box.snapshot()
print(box._id, box._engine.labels["swegym.lease"], flush=True)
box.exec("sleep 300")
"""


def test_nothing_is_left_when_the_owner_is_killed(api: Any) -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        container, lease = child.stdout.readline().split()
        child.send_signal(signal.SIGKILL)
        child.wait()
    chosen = {"label": f"swegym.lease={lease}"}
    deadline = time.monotonic() + 60
    while left := [found["Id"] for found in [*api.containers(all=True, filters=chosen), *api.images(filters=chosen)]]:
        assert time.monotonic() < deadline, f"left after a minute: {left}, {container} among them?"
        time.sleep(0.2)
    assert not [found for found in api.containers(all=True) if found["Id"] == container]


def test_what_a_dead_owner_left_is_swept_and_the_living_keep_theirs(api: Any) -> None:
    with open_sandbox(IMAGE, "docker") as box:
        tag = api.inspect_container(next(iter(containers(api))))["Config"]["Image"]
        labels = {**docker_engine.home_labels(), "swegym.lease": "99999-docker-dead"}
        orphan = api.create_container(tag, ["/bin/true"], labels=labels)["Id"]
        assert docker_engine.sweep_engine(docker_engine.current().client) == [orphan]
        assert box.exec("true").exit_code == 0


def test_no_engine_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store: Path) -> None:
    for host, said in (
        (f"unix://{tmp_path}/none.sock", "no container engine answers"),
        ("ssh://somewhere", "only unix:// and tcp://"),
    ):
        monkeypatch.setenv("DOCKER_HOST", host)
        with pytest.raises(SandboxUnavailable, match=said):
            docker_engine.connect(docker_engine.engine_host())


class OldEngine(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        if self.rfile.readline():
            body = b'{"ApiVersion": "1.24", "Version": "1.12"}'
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def test_an_old_engine_is_a_clear_error(tmp_path: Path) -> None:
    with socketserver.ThreadingUnixStreamServer(str(tmp_path / "old.sock"), OldEngine) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        with pytest.raises(SandboxUnavailable, match=r"too old: it speaks version 1\.24"):
            docker_engine.connect(f"unix://{tmp_path}/old.sock")
        server.shutdown()
