"""Limits hold against what tries to get round them, and the machine serves the next command all the same."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from swegym.sandbox import Limits, open_sandbox
from swegym.sandbox.limits import how_limits_hold
from swegym.types import ExecResult, Image, Sandbox

IMAGE = Image("limits", "host")
LIMITS = Limits(memory_bytes=256 << 20, processes=100, disk_bytes=50 << 20, open_files=200)
HOW = how_limits_hold()
needs_cgroup = pytest.mark.skipif("cgroup" not in HOW["memory"], reason="memory is limited for each process only")
needs_count = pytest.mark.skipif("not limited" in HOW["processes"], reason="no limit on processes can be had here")


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with open_sandbox(IMAGE, limits=LIMITS) as opened:
        yield opened
        alive = opened.exec("echo alive", cwd="/", timeout=20)
        assert alive.stdout == b"alive\n" and alive.limit is None, alive


def python(box: Sandbox, code: str, timeout: float = 20.0) -> ExecResult:
    return box.exec(["/opt/python/bin/python3", "-c", code], timeout=timeout)


def processes(box: Sandbox) -> int:
    return int(box.exec("ls -d /proc/[0-9]* | wc -l").stdout)


@needs_count
def test_a_fork_bomb_in_new_sessions(box: Sandbox) -> None:
    result = box.exec("bomb() { setsid bash -c 'trap \"\" TERM; sleep 60' & bomb; }; bomb", timeout=2)
    assert result.exit_code != 0
    box.stop_processes()
    assert processes(box) < 10


@needs_count
def test_threads_count_as_processes(box: Sandbox) -> None:
    start = "threading.Thread(target=time.sleep, args=(5,), daemon=True).start()"
    result = python(box, f"import threading, time\nfor _ in range(500): {start}")
    assert b"can't start new thread" in result.stderr


def test_a_memory_bomb(box: Sandbox) -> None:
    result = python(box, "x = []\nwhile True: x.append(bytearray(1 << 22))")
    assert result.exit_code != 0 and not result.timed_out


@needs_cgroup
def test_memory_without_a_name_in_any_file_system(box: Sandbox) -> None:
    code = "import os\nfor i in range(100): os.write(os.memfd_create('x'), b'x' * (10 << 20))"
    assert python(box, code).limit == "memory"


@needs_cgroup
def test_many_processes_share_one_limit_of_memory(box: Sandbox) -> None:
    code = (
        "import os, time\nfor _ in range(8):\n if os.fork() == 0: x = bytearray(60 << 20); time.sleep(3); os._exit(0)\n"
        "print(sum(os.waitpid(-1, 0)[1] != 0 for _ in range(8)))"
    )
    result = python(box, code)
    assert result.limit == "memory", result


def test_shared_memory_does_not_get_round_the_limits(box: Sandbox) -> None:
    result = box.exec("for i in $(seq 40); do head -c 20000000 /dev/zero > /dev/shm/$i || exit 1; done; sleep 5")
    assert result.exit_code != 0 and result.limit in ("disk", "memory")
    box.exec("rm -f /dev/shm/*", cwd="/")


def test_a_large_file_is_refused_to_the_command_itself(box: Sandbox) -> None:
    result = python(box, "import os\nf = os.open('big', 65)\nwhile 1: os.write(f, b'x' * 65536)")
    assert b"File too large" in result.stderr
    assert len(box.read("big")) <= 50 << 20
    box.exec("rm big")


def test_a_disk_filler_with_small_files(box: Sandbox) -> None:
    code = "import os\nfor i in range(10**6): os.write(os.open(f'f{i}', 65), b'x') and os.closerange(3, 50)"
    assert python(box, code, timeout=60).limit == "disk"
    assert box.exec("rm -rf f*; find . -delete; echo").exit_code == 0


def test_endless_output_on_both_streams_is_bounded(box: Sandbox) -> None:
    started = time.monotonic()
    result = box.exec("yes & yes >&2", timeout=1)
    assert result.timed_out and time.monotonic() - started < 6
    assert len(result.stdout) + len(result.stderr) < 3 * LIMITS.output_bytes and result.truncated > 0


def test_a_command_that_ignores_every_signal_ends_at_its_deadline(box: Sandbox) -> None:
    started = time.monotonic()
    result = box.exec("trap '' TERM INT HUP QUIT USR1 ALRM XCPU; while :; do sleep 1; done", timeout=0.5)
    assert result.timed_out and time.monotonic() - started < 5


def test_a_daemon_that_forks_twice_ends_with_the_machine(box: Sandbox) -> None:
    mark = f"4{os.getpid()}"
    daemon = f"import os\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0: os.execlp('sleep', 'sleep', '{mark}')"
    python(box, daemon)
    assert within_seconds(5, lambda: running(f"sleep {mark}"))
    box.stop_processes()
    assert within_seconds(5, lambda: not running(f"sleep {mark}"))


def running(command: str) -> bool:
    return subprocess.run(["pgrep", "-f", command], capture_output=True).returncode == 0


def within_seconds(seconds: float, holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_zombies_do_not_pile_up(box: Sandbox) -> None:
    for _ in range(3):
        python(box, "import os\nfor _ in range(60):\n if os.fork() == 0: os._exit(0)")
    deadline = time.monotonic() + 5
    while processes(box) > 8 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes(box) <= 8


def test_a_command_that_waits_for_input_finds_its_end(box: Sandbox) -> None:
    result = box.exec("cat; read -r line; echo read: $?", timeout=10)
    assert result.stdout == b"read: 1\n" and not result.timed_out


def test_output_may_be_any_bytes(box: Sandbox) -> None:
    everything = bytes(range(256)) * 100
    box.write("bytes", everything)
    result = box.exec("cat bytes; cat bytes >&2")
    assert result.stdout == result.stderr == everything
    assert isinstance(result.text, str)


def test_a_deleted_working_directory_is_said(box: Sandbox) -> None:
    box.exec("rm -rf /testbed")
    result = box.exec("pwd")
    assert result.exit_code == 127 and b"/testbed" in result.stderr
    box.write("again.txt", b"x")
    assert box.exec("pwd; cat again.txt").stdout == b"/testbed\nx"


def test_open_files(box: Sandbox) -> None:
    result = python(box, "x = []\nwhile True: x.append(open('/dev/null'))")
    assert b"Too many open files" in result.stderr
    assert box.exec("ulimit -n 100000").exit_code != 0, "the limit can be raised again"


@pytest.mark.skipif("not limited" in HOW["cpu"], reason="no cgroup with cpu can be had here")
def test_processor_time_of_all_processes_together() -> None:
    with open_sandbox(IMAGE, limits=Limits(cpus=0.1)) as box:
        busy = (
            "import time\nend = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass\nprint(time.process_time())"
        )
        box.write("busy.py", busy.encode())
        run = "/opt/python/bin/python3 busy.py"
        result = box.exec(f"{run} & {run} & {run}; wait", timeout=60)
        assert sum(map(float, result.stdout.split())) < 1.0  # 0.15 s and a start for each, of 4.5 s


def test_limits_are_said_by_name() -> None:
    assert set(HOW) == {"memory", "processes", "cpu", "disk", "time", "output", "open files"}


@pytest.mark.parametrize("count", [30_000])
def test_many_files_are_closed_in_bounded_time(count: int) -> None:
    with open_sandbox(IMAGE, limits=Limits(disk_bytes=16 << 30)) as box:
        code = (
            "import os\nfor d in range({count} // 1000):\n os.mkdir(str(d))\n open(f'{{d}}/f', 'w').close()\n"
            " for i in range(999): os.link(f'{{d}}/f', f'{{d}}/{{i}}')"
        )
        result = python(box, code.format(count=count), timeout=250)
        assert result.exit_code == 0, result
        started = time.monotonic()
    assert time.monotonic() - started < 10 + count / 10_000


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_million_empty_files_fill_the_disk_and_go_with_the_machine() -> None:
    with open_sandbox(IMAGE, limits=Limits(disk_bytes=512 << 20)) as box:
        folder = box._folder  # type: ignore[attr-defined]
        code = "import os\nfor d in range(1000):\n os.mkdir(str(d))\n for i in range(1000): os.mknod(f'{d}/{i}')"
        assert python(box, code, timeout=600).limit == "disk", "empty files cost nothing"
    assert not folder.exists()
