"""What the embedded sandbox does beyond the contract: errors that say what to do, limits that are named."""

import subprocess
import sys
from pathlib import Path

import pytest

from swegym.errors import InputError, NotBuilt, SandboxDied, SandboxError, SandboxUnavailable, UnknownName
from swegym.sandbox import Limits, machines, open_sandbox
from swegym.sandbox.complaints import unavailable
from swegym.sandbox.limits import how_limits_hold
from swegym.sandbox.removal import clean
from swegym.types import Image

IMAGE = Image("test", "host")


def test_an_unknown_backend_is_told_with_near_matches() -> None:
    with pytest.raises(UnknownName, match="Did you mean bubblewrap"):
        open_sandbox(IMAGE, "bublewrap")
    with pytest.raises(InputError, match="cannot be imported"):
        open_sandbox(IMAGE, "no_such_package.box:Box")


def test_a_missing_layer_says_to_build() -> None:
    with pytest.raises(NotBuilt, match="swegym tasks build"):
        open_sandbox(Image("test", "host", layers=("0" * 64,)))


def test_an_unknown_base_is_told() -> None:
    with pytest.raises(UnknownName, match="base image"):
        open_sandbox(Image("test", "windows"))


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("bwrap: No permissions to create a new namespace", "sysctl -w"),
        ("bwrap: setting up uid map: Permission denied", "apparmor_restrict_unprivileged_userns"),
        ("bwrap: Can't make overlay mount on /newroot/ with options ...: Invalid argument", "SWEGYM_HOME"),
        ("bwrap: something new", "swegym doctor"),
    ],
)
def test_a_refusal_of_the_host_names_the_remedy(said: str, remedy: str) -> None:
    error = unavailable(said, Path("/store"))
    assert isinstance(error, SandboxUnavailable)
    assert said in str(error) and remedy in str(error)


def test_no_user_namespaces_is_a_clear_error(store: Path) -> None:
    code = (
        "from swegym.sandbox import open_sandbox; from swegym.types import Image; open_sandbox(Image('test', 'host'))"
    )
    # The limit is that of a user namespace of its own, so that nothing else on this machine feels it.
    script = f'echo 0 > /proc/sys/user/max_user_namespaces; exec {sys.executable} -c "{code}"'
    done = subprocess.run(["unshare", "-Ur", "sh", "-c", script], capture_output=True, text=True)
    assert "SandboxUnavailable: this host refuses user namespaces" in done.stderr
    assert "sysctl -w user.max_user_namespaces=15000" in done.stderr


def test_limits_that_end_a_command_are_named() -> None:
    with open_sandbox(IMAGE, limits=Limits(disk_bytes=20 << 20)) as box:
        assert box.exec("sleep 9", timeout=0.2).limit == "time"
        many = "for i in $(seq 40); do head -c 5000000 /dev/zero > f$i; done; sleep 3"
        assert box.exec(many, timeout=20).limit == "disk"
        assert box.exec("rm -f f*", timeout=20).limit is None
        assert box.exec("head -c 50000000 /dev/zero > one").exit_code != 0
        assert len(box.read("one")) <= 20 << 20


@pytest.mark.skipif(
    not how_limits_hold()["memory"].startswith("cgroup"),
    reason="no cgroup can be had here, so nothing says who ran out",
)
def test_out_of_memory_is_named() -> None:
    with open_sandbox(IMAGE, limits=Limits(memory_bytes=64 << 20)) as box:
        result = box.exec("x=y; while :; do x=$x$x; done", timeout=20)
        assert result.limit == "memory" and result.exit_code != 0


def test_a_removed_layer_is_a_dead_sandbox_not_a_result() -> None:
    with open_sandbox(IMAGE) as box:
        box._end()  # type: ignore[attr-defined]
        clean(str(box._folder))  # type: ignore[attr-defined]
        with pytest.raises(SandboxDied):
            box.exec("true")
        group = box._cgroup  # type: ignore[attr-defined]
    assert group is None or not any(folder.exists() for folder in group.folders), "nobody else knows of it now"


def test_a_killed_supervisor_is_a_dead_sandbox_and_the_next_one_works() -> None:
    with open_sandbox(IMAGE) as box:
        supervisor = machines.current()._process
        supervisor.kill()
        supervisor.wait()
        with pytest.raises(SandboxDied):
            box.exec("true")
    with open_sandbox(IMAGE) as box:
        assert box.exec("true").exit_code == 0


def test_a_folder_that_the_policy_shut_still_counts() -> None:
    with open_sandbox(IMAGE, limits=Limits(disk_bytes=10 << 20)) as box:
        result = box.exec("mkdir d; head -c 9000000 /dev/zero > d/a; head -c 9000000 /dev/zero > d/b; chmod 000 d")
        assert result.limit == "disk"


def test_commands_find_the_interpreter_and_nothing_that_the_host_installed() -> None:
    with open_sandbox(IMAGE) as box:
        code = "from importlib.util import find_spec; print(find_spec('gymnasium'), find_spec('pip'))"
        result = box.exec(["/opt/python/bin/python3", "-c", code])
        assert result.stdout == b"None None\n", result.text
        assert box.exec("ls -A /usr/local").stdout == b""


def test_what_the_host_refuses_is_its_own_fault_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_sandbox(IMAGE) as box:
        if box._cgroup is None:  # type: ignore[attr-defined]
            pytest.skip("no cgroup can be had here, so none can be taken away")
        monkeypatch.setattr("swegym.sandbox.limits.Cgroup.entries", lambda self: ["/gone/cgroup.procs"])
        with pytest.raises(SandboxError, match=r"No such file or directory: ./gone/cgroup"):
            box.exec("true")
        with pytest.raises(SandboxUnavailable, match=r"No such file or directory: ./gone/cgroup"):
            open_sandbox(IMAGE)
