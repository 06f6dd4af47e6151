"""A policy against its machine: out of it, around its limits, and into a state in which nobody could judge it.

After each attack the machine has to work again, because a machine that fails judges nobody.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from swegym.sandbox import Limits, open_sandbox, removal, snapshots
from swegym.sandbox.base import _masks, kernel_settings
from swegym.sandbox.disk import DEEPEST, bytes_used
from swegym.sandbox.limits import make_cgroup
from swegym.types import Image

IMAGE = Image("redteam", "host")
PYTHON = "/opt/python/bin/python3"
SMALL = Limits(disk_bytes=20 << 20)
TREE = "import os\nfor i in range(%d): os.mkdir('d'); os.chdir('d')"
UNLINKED = """
import os, time
held = []
for number in range(10):
    held.append(open(f'f{number}', 'wb')); os.unlink(f'f{number}'); held[-1].write(b'x' * 10**7); held[-1].flush()
time.sleep(9)
"""
STOPPER = (  # begins when the shell that starts it is gone
    "(sleep 0.2; while :; do for p in /proc/[0-9]*; do p=${p#/proc/}; "
    "[ $p != 1 ] && [ $p != $BASHPID ] && kill -STOP $p; done; done) >/dev/null 2>&1 &"
)

# name -> (class, what the policy runs)
UNSTARTABLE = {
    "a folder in the place of /bin": ("turn to invalid", "rm -rf /bin; mkdir /bin /bin/sh"),
    "a link in the place of /lib64": ("turn to invalid", "ln -sfn /tmp /lib64; ln -sfn /tmp /lib; ln -sfn /tmp /sbin"),
    "a root that nobody may enter": ("turn to invalid", "chmod 000 /"),
    "no folders at all": ("turn to invalid", "rm -rf /testbed /home /tmp /opt /var /run /etc 2>/dev/null"),
    "code for the machine's init": (
        "turn to invalid",
        "echo /tmp/x.so > /etc/ld.so.preload; ln -sf /tmp/x /etc/ld.so.preload",
    ),
    "a full disk": ("turn to invalid", "for i in 1 2 3 4 5 6; do head -c 9000000 /dev/zero > f$i; done"),
    "a tree deeper than Python recurses": ("break the harness", f'{PYTHON} -c "{TREE % 2500}"'),
    "folders that are shut": ("break the harness", "mkdir -p a/b/c; touch a/b/c/d; chmod 000 a/b/c a/b a"),
    "names that are no text": ("break the harness", r"touch $'\xff\n\x1b[2J' $'\x01' -- -rf; mkfifo pipe"),
    "a folder where a mount has to be": (
        "turn to invalid",
        "mv /etc /etc2; mkdir -p /proc/sys /dev/shm/x; rm -rf /opt",
    ),
}


@pytest.mark.parametrize("attack", [command for _, command in UNSTARTABLE.values()], ids=UNSTARTABLE.keys())
def test_a_machine_starts_again_over_whatever_a_policy_left(attack: str) -> None:
    with open_sandbox(IMAGE, limits=SMALL) as box:
        box.exec(attack, timeout=30)
        box.stop_processes()
        assert box.exec(["/usr/bin/echo", "alive"], cwd="/").stdout == b"alive\n"
        folder = box._folder  # type: ignore[attr-defined]
    assert not folder.exists()


def test_a_stopped_file_access_is_done_in_a_new_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swegym.sandbox.bubblewrap._ACCESS_TIMEOUT", 1.0)
    with open_sandbox(IMAGE) as box:
        box.exec(STOPPER)
        time.sleep(0.4)
        for _ in range(5):
            box.write("x", b"1")
            assert box.read("x") == b"1"


HINDERER = """
import ctypes, os
limit, nothing, last = ctypes.CDLL(None).prlimit, b"\\0" * 16, os.getpid()
while True:
    for pid in range(last + 1, last + 7):
        last = pid if limit(pid, 7, nothing, None) == 0 else last
"""


def test_who_comes_into_a_machine_cannot_be_kept_out_of_it() -> None:
    """A process may set limits of another of its user: without descriptors the next command did not begin."""
    with open_sandbox(IMAGE) as box:
        box.write("hinder.py", HINDERER.encode())
        for _ in range(6):
            box.exec(f"{PYTHON} hinder.py >/dev/null 2>&1 & sleep 0.2")
            assert box.exec(["/bin/echo", "in"]).stdout in (b"in\n", b"")  # or it came in, and could open no file


def test_what_a_policy_calls_a_list_of_cgroups_is_none(tmp_path: Path) -> None:
    """What is listed is ended and removed with a machine, so a policy could have any process of its owner ended."""
    group = make_cgroup(Limits(), tmp_path / "list")
    if group is None:
        pytest.skip("no cgroup may be made here")
    with subprocess.Popen(["sleep", "60"]) as other:
        for entry in group.entries():
            Path(entry).write_text(str(other.pid))
        for attack in ("tee /cgroup /dev/shm/cgroup", "cat > /dev/null; mkfifo /cgroup /dev/shm/cgroup"):
            with open_sandbox(IMAGE, limits=SMALL) as box:
                box.exec(attack, stdin=(tmp_path / "list").read_bytes())
                frozen = box.snapshot()
            snapshots.discard(frozen)
        time.sleep(0.1)
        assert other.poll() is None
        assert all(folder.is_dir() for folder in group.folders)
        other.kill()
    assert removal.remove_groups([str(folder) for folder in group.folders])


# name -> (class, what the policy runs); nothing of it may succeed
WRITES = {
    "a program for the host's crashes": ("escape", "cat /proc/sys/kernel/core_pattern > /proc/sys/kernel/core_pattern"),
    "the host's memory settings": ("escape", "cat /proc/sys/vm/swappiness > /proc/sys/vm/swappiness"),
    "any kernel setting": (
        "escape",
        "[ -n \"$(find /proc -path '/proc/[0-9]*' -prune -o -type f -writable -print -quit)\" ]",
    ),
    "the host's programs": ("escape", "touch /usr/bin/env /bin/env /lib/x /opt/python/bin/python3"),
    "memory of no limit in /dev": ("dodge a limit", "echo > /dev/file"),
    "a mask taken off": ("find the answer", "umount /usr/local || umount -l /usr/local"),
    "a device of its own": ("escape", "mknod /tmp/disk b 8 0"),
    "a namespace of its own": ("escape", "unshare -Ur true"),
}


@pytest.mark.parametrize("attack", [command for _, command in WRITES.values()], ids=WRITES.keys())
def test_what_is_the_hosts_stays_as_it_is(attack: str) -> None:
    with open_sandbox(IMAGE) as box:
        assert box.exec(attack).exit_code != 0


def test_kernel_settings_are_covered_for_root_and_for_others() -> None:
    assert "/proc/sys" in kernel_settings()


# name -> (class, what the policy runs); each ends at the limit on disk
FILLERS: dict[str, tuple[str, str | list[str]]] = {
    "deleted files that stay open": ("dodge a limit", [PYTHON, "-c", UNLINKED]),
    "shared memory": (
        "dodge a limit",
        "for i in 1 2 3 4 5 6; do head -c 9000000 /dev/zero > /dev/shm/$i; done; sleep 9",
    ),
    "small files": ("dodge a limit", "for i in $(seq 9000); do echo > s$i; done; sleep 9"),
    "a tree that is too deep to look at": (
        "dodge a limit",
        f"{PYTHON} -c \"{TREE % (DEEPEST + 9)}; open('x', 'wb').write(b'x' * 10**7)\"; sleep 9",
    ),
    "a folder that is shut": (
        "dodge a limit",
        "mkdir s; for i in 1 2 3; do head -c 9000000 /dev/zero > s/$i; done; chmod 0 s; sleep 9",
    ),
}


@pytest.mark.parametrize("attack", [command for _, command in FILLERS.values()], ids=FILLERS.keys())
def test_the_limit_on_disk_holds(attack: str | list[str]) -> None:
    with open_sandbox(IMAGE, limits=SMALL) as box:
        assert box.exec(attack, timeout=60).limit == "disk"


def test_sparse_files_cost_what_they_take() -> None:
    with open_sandbox(IMAGE, limits=SMALL) as box:
        assert box.exec("truncate -s 15M a b c d e f; sleep 0.6").limit is None


# link -> whether a read or a write through it may reach what is behind; none may reach memory or a device
LINKS = ("/proc/self/mem", "/proc/self/fd/0", "/proc/1/mem", "/proc/1/environ", "/dev/zero", "/proc/sys/vm/swappiness")


@pytest.mark.parametrize("target", LINKS)
def test_a_link_does_not_make_the_file_access_write_what_no_command_could(target: str) -> None:
    with open_sandbox(IMAGE) as box:
        box.exec(["/bin/ln", "-s", target, "link"])
        with pytest.raises(OSError):
            box.write("link", b"60\n")


def test_keys_of_the_owner_are_not_handed_down(tmp_path: Path) -> None:
    """In a process of its own: the supervisor takes over the session keyring of the process that starts it."""
    code = """
import ctypes, os
from swegym.sandbox import open_sandbox
from swegym.types import Image
call = ctypes.CDLL(None, use_errno=True).syscall
if call(250, 1, None) < 0 or call(248, b"user", b"swegym-redteam", b"hello", 5, -3) < 0:
    raise SystemExit(3)
search = "import ctypes; print(ctypes.CDLL(None).syscall(250, 10, -3, b'user', b'swegym-redteam', 0))"
with open_sandbox(Image("redteam", "host")) as box:
    raise SystemExit(0 if box.exec(["/opt/python/bin/python3", "-c", search]).stdout == b"-1\\n" else 1)
"""
    if os.uname().machine != "x86_64":
        pytest.skip("the numbers of the system calls are those of x86_64")
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "SWEGYM_HOME": str(tmp_path)})
    if done.returncode == 3:
        pytest.skip("keyrings cannot be used here")
    assert done.returncode == 0


def test_counting_the_disk_follows_no_link_and_changes_nothing_behind_it(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (outside / "big").write_bytes(b"x" * 10**6)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(outside)
    assert bytes_used(str(inside), 10**9) < 10**5
    assert outside.stat().st_mode & 0o777 == 0o755


def test_packages_of_the_host_are_masked_wherever_they_lie(tmp_path: Path) -> None:
    for folder in (
        "lib/python3.9/site-packages",
        "lib64/python3.12/site-packages",
        "lib/python3/dist-packages",
        "pkgs",
    ):
        (tmp_path / folder).mkdir(parents=True)
    masks = _masks([(str(tmp_path), "/opt/python")])
    for folder in (
        "lib/python3.9/site-packages",
        "lib64/python3.12/site-packages",
        "lib/python3/dist-packages",
        "pkgs",
    ):
        assert f"/opt/python/{folder}" in masks


KEYS = """
import ctypes, sys
call = ctypes.CDLL(None).syscall
for ring in (-3, -4, -5):
    if sys.argv[1] == "write":
        call(248, b"user", b"answers", b"42", 2, ring)
    elif call(250, 10, ring, b"user", b"answers", 0) > 0:
        print("found in", ring)
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of the system calls are those of x86_64")
def test_what_one_machine_writes_into_a_keyring_the_next_does_not_find() -> None:
    for step, found in (("write", b""), ("read", b"")):
        with open_sandbox(IMAGE, limits=SMALL) as box:
            assert box.exec([PYTHON, "-c", KEYS, step]).stdout == found


RESERVE = """
import fcntl, os, struct
for number in range(50):
    file = os.open(f'r{number}', os.O_CREAT | os.O_RDWR)
    for take in (lambda: libc.fallocate(file, 0, 0, 15 << 20), lambda: fcntl.ioctl(file, 0x40305828, extent)):
        try:
            take()
        except OSError:
            pass
print(sum(os.stat(f'r{number}').st_blocks for number in range(50)))
"""


def test_disk_is_not_taken_faster_than_it_can_be_watched() -> None:
    """A second of a full host is enough to make the machines of others fail."""
    start = (
        "import ctypes, struct\nlibc = ctypes.CDLL(None)\nextent = struct.pack('hhqqIi16x', 0, 0, 0, 15 << 20, 0, 0)\n"
    )
    start += "libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]\n"
    with open_sandbox(IMAGE, limits=SMALL) as box:
        assert box.exec([PYTHON, "-c", start + RESERVE]).stdout == b"0\n"
        kept = "import os\nf = os.open('x', 66)\nos.posix_fallocate(f, 0, 9 << 20)\nprint(os.fstat(f).st_size)"
        assert box.exec([PYTHON, "-c", kept]).stdout == b"%d\n" % (9 << 20), "programs have another way"
        assert box.exec("grep ^Seccomp: /proc/self/status /proc/1/status | cut -f2").stdout == b"2\n2\n"


WATCHES = """
import ctypes, time
libc, held = ctypes.CDLL(None), 0
while libc.inotify_init() >= 0:
    held += 1
print(held, flush=True)
"""


@pytest.mark.skipif(not Path("/proc/sys/user/max_inotify_instances").exists(), reason="a kernel without inotify")
def test_one_machine_does_not_use_up_what_the_kernel_counts_for_all() -> None:
    limit = Path("/proc/sys/user/max_inotify_instances")
    with open_sandbox(IMAGE) as hostile, open_sandbox(IMAGE) as honest:
        if honest.exec(f"cat {limit}").stdout == limit.read_bytes():
            pytest.skip("the /proc of this host is read-only")
        hostile.exec(f'{PYTHON} -c "{WATCHES}time.sleep(30)" > held & until [ -s held ]; do sleep 0.05; done')
        assert int(hostile.read("held")) > 0
        assert int(honest.exec([PYTHON, "-c", WATCHES]).stdout) > 0


TERMINALS = """
import os, time
held = []
while True:
    try:
        held.append(os.openpty())
    except OSError:
        break
print(len(held), flush=True)
"""


def test_one_machine_does_not_use_up_the_hosts_terminals() -> None:
    with open_sandbox(IMAGE) as hostile, open_sandbox(IMAGE) as honest:
        hostile.write("take.py", f"{TERMINALS}time.sleep(60)".encode())
        for number in range(3):  # a process has not enough descriptors for all of them
            hostile.exec(f"{PYTHON} take.py > held{number} & until [ -s held{number} ]; do sleep 0.05; done")
        assert int(hostile.read("held0")) > 0
        assert int(honest.exec([PYTHON, "-c", TERMINALS]).stdout) > 0


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of the system calls are those of x86_64")
def test_what_the_host_has_a_few_of_cannot_be_taken_at_all() -> None:
    """Contexts of asynchronous input and output: some eight large ones are all that there are."""
    take = "import ctypes; n = ctypes.c_ulong(); print(ctypes.CDLL(None).syscall(206, 8, ctypes.byref(n)))"
    with open_sandbox(IMAGE) as box:
        assert box.exec([PYTHON, "-c", take]).stdout == b"-1\n"
