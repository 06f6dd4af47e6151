"""The contract of `Sandbox` as a suite that any backend can be run against.

    from swegym.sandbox.contract import run_contract
    results = run_contract(my_factory, image, {"files", "exec", "shell"})

A check is a function that opens what it needs and raises AssertionError with a sentence. It belongs to one capability:

    files      read, write, snapshot, close
    exec       exit codes, streams, stdin, cwd, timeouts
    shell      a real shell and real processes
    isolation  nothing of the host is seen or changed
    limits     memory, processes, disk and output hold
"""

from __future__ import annotations

import concurrent.futures
import os
import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from swegym.errors import SandboxDied
from swegym.types import Image, Sandbox, Snapshot

Open = Callable[[], Sandbox]

CAPABILITIES = ("files", "exec", "shell", "isolation", "limits")


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    capability: str
    run: Callable[[Callable[..., Sandbox]], None]


@dataclass(frozen=True, slots=True)
class CheckResult:
    name: str
    capability: str
    outcome: str  # passed | failed | skipped
    detail: str
    seconds: float


CHECKS: list[Check] = []


def check(capability: str) -> Callable[[Callable[[Callable[..., Sandbox]], None]], Callable[..., None]]:
    def add(function: Callable[[Callable[..., Sandbox]], None]) -> Callable[..., None]:
        CHECKS.append(Check(function.__name__, capability, function))
        return function

    return add


def run_contract(
    factory: Callable[..., Sandbox], image: Image, capabilities: Collection[str] = CAPABILITIES
) -> list[CheckResult]:
    """Run every check; those of other capabilities are reported as skipped. Never raises for a failed check."""
    results = []
    for item in CHECKS:
        started = time.monotonic()
        outcome, detail = "passed", ""
        if item.capability not in capabilities:
            outcome, detail = "skipped", f"this backend does not claim {item.capability!r}"
        else:
            try:
                run_check(item, factory, image)
            except Exception as error:  # a backend of somebody else may raise anything; that is what is reported
                outcome, detail = "failed", f"{type(error).__name__}: {error}"
        results.append(CheckResult(item.name, item.capability, outcome, detail, time.monotonic() - started))
    return results


def run_check(item: Check, factory: Callable[..., Sandbox], image: Image) -> None:
    """Run one check; sandboxes that it opens are closed afterwards."""
    opened: list[Sandbox] = []

    def open_one(source: Image | Snapshot = image) -> Sandbox:
        opened.append(factory(source))
        return opened[-1]

    try:
        item.run(open_one)
    finally:
        for box in opened:
            box.close()


def _raises(kind: type[BaseException], call: Callable[[], object]) -> None:
    try:
        call()
    except kind:
        return
    raise AssertionError(f"expected {kind.__name__}")


# --- files ------------------------------------------------------------------------------------------------------------


@check("files")
def bytes_survive_a_round_trip(open_one: Open) -> None:
    box = open_one()
    for data in (b"", b"text\n", bytes(range(256)) * 40, b"no newline at end", b"\r\n" * 3):
        box.write("data.bin", data)
        assert box.read("data.bin") == data, f"{data[:20]!r}... came back changed"


@check("files")
def ten_megabytes_survive(open_one: Open) -> None:
    box = open_one()
    data = os.urandom(1 << 20) * 10
    box.write("big.bin", data)
    assert box.read("big.bin") == data


@check("files")
def odd_names_work(open_one: Open) -> None:
    box = open_one()
    for name in ("with space", "ünï-çødé/日本.txt", "-dash", "quote'\"$HOME`", "new\nline", "deep/er/and/deeper"):
        box.write(name, name.encode())
        assert box.read(name) == name.encode(), f"{name!r} was not read back"


@check("files")
def relative_paths_start_at_the_workdir(open_one: Open) -> None:
    box = open_one()
    box.write("here.txt", b"x")
    assert box.read("/testbed/here.txt") == b"x"


@check("files")
def a_missing_file_is_file_not_found(open_one: Open) -> None:
    box = open_one()
    _raises(FileNotFoundError, lambda: box.read("missing.txt"))


@check("files")
def a_directory_is_not_a_file(open_one: Open) -> None:
    box = open_one()
    box.write("folder/file.txt", b"x")
    _raises(IsADirectoryError, lambda: box.read("folder"))
    _raises(IsADirectoryError, lambda: box.write("folder", b"x"))


@check("files")
def sandboxes_of_one_image_are_apart(open_one: Open) -> None:
    one, other = open_one(), open_one()
    one.write("mine.txt", b"1")
    _raises(FileNotFoundError, lambda: other.read("mine.txt"))


@check("files")
def a_snapshot_branches(open_one: Callable[..., Sandbox]) -> None:
    box = open_one()
    box.write("a.txt", b"before")
    frozen = box.snapshot()
    box.write("a.txt", b"after")
    branch, second = open_one(frozen), open_one(frozen)
    assert branch.read("a.txt") == b"before", "the snapshot saw a later write"
    branch.write("a.txt", b"branch")
    assert box.read("a.txt") == b"after", "the branch wrote into the original"
    assert second.read("a.txt") == b"before", "one branch wrote into another"


@check("files")
def closing_twice_is_fine_and_final(open_one: Open) -> None:
    box = open_one()
    box.close()
    box.close()
    _raises(SandboxDied, lambda: box.exec("true"))
    _raises(SandboxDied, lambda: box.read("x"))


@check("files")
def it_is_a_context_manager(open_one: Open) -> None:
    with open_one() as box:
        assert box.exec("true").exit_code == 0
    _raises(SandboxDied, lambda: box.exec("true"))


# --- exec -------------------------------------------------------------------------------------------------------------


@check("exec")
def exit_codes_are_results(open_one: Open) -> None:
    box = open_one()
    assert box.exec("true").exit_code == 0
    assert box.exec("false").exit_code == 1
    assert box.exec("exit 42").exit_code == 42
    assert box.exec("no-such-command-here").exit_code == 127


@check("exec")
def output_is_returned(open_one: Open) -> None:
    result = open_one().exec("echo hello")
    assert result.stdout == b"hello\n" and result.truncated == 0


@check("exec")
def stdin_is_fed(open_one: Open) -> None:
    box = open_one()
    data = bytes(range(256)) * 100
    assert box.exec("cat", stdin=data).stdout == data


@check("exec")
def cwd_is_the_workdir_unless_given(open_one: Open) -> None:
    box = open_one()
    assert box.exec("pwd").stdout == b"/testbed\n"
    assert box.exec("pwd", cwd="/tmp").stdout == b"/tmp\n"


@check("exec")
def an_argument_list_is_not_interpreted(open_one: Open) -> None:
    assert open_one().exec(["echo", "two words"]).stdout == b"two words\n"


@check("exec")
def a_timeout_is_a_result_and_on_time(open_one: Open) -> None:
    box = open_one()
    started = time.monotonic()
    result = box.exec("sleep 30", timeout=0.5)
    assert result.timed_out and result.exit_code != 0
    assert time.monotonic() - started < 1.5, "the deadline was missed by more than a second"
    assert box.exec("true").exit_code == 0, "the sandbox cannot be used after a timeout"


# --- shell ------------------------------------------------------------------------------------------------------------


@check("shell")
def streams_are_kept_apart(open_one: Open) -> None:
    result = open_one().exec("echo out; echo err >&2; exit 3")
    assert (result.stdout, result.stderr, result.exit_code) == (b"out\n", b"err\n", 3)


@check("shell")
def variables_are_passed(open_one: Open) -> None:
    result = open_one().exec('printf %s "$GREETING"', env={"GREETING": "hé $x '"})
    assert result.stdout.decode() == "hé $x '"


@check("shell")
def no_stdin_means_end_of_file(open_one: Open) -> None:
    result = open_one().exec("cat; read x; echo done", timeout=5)
    assert result.stdout == b"done\n" and not result.timed_out


@check("shell")
def a_large_command_and_a_large_input_work(open_one: Open) -> None:
    box = open_one()
    assert box.exec(f"x={'y' * 100_000}; echo ${{#x}}").stdout == b"100000\n"
    assert box.exec("wc -c", stdin=b"z" * 3_000_000).stdout.strip() == b"3000000"
    assert box.exec("true", stdin=b"z" * 3_000_000).exit_code == 0, "unread input must not block"


@check("shell")
def a_signal_is_128_plus_its_number(open_one: Open) -> None:
    assert open_one().exec("kill -TERM $$").exit_code == 128 + 15


@check("shell")
def a_missing_cwd_is_a_result(open_one: Open) -> None:
    box = open_one()
    assert box.exec("true", cwd="/no/such/place").exit_code != 0
    box.exec("mkdir -p /tmp/gone")
    assert box.exec("rmdir /tmp/gone; pwd; echo $?", cwd="/tmp/gone").exit_code == 0


@check("shell")
def files_written_are_executable_when_asked(open_one: Open) -> None:
    box = open_one()
    box.write("bin/tool", b"#!/bin/sh\necho ran\n", executable=True)
    assert box.exec("./bin/tool").stdout == b"ran\n"


@check("shell")
def a_background_process_does_not_block_and_stays(open_one: Open) -> None:
    box = open_one()
    started = time.monotonic()
    assert box.exec("sleep 31.5 & echo started").stdout == b"started\n"
    assert time.monotonic() - started < 5, "exec waited for a background process"
    assert box.exec("pgrep -f 'sleep 31[.]5'").exit_code == 0, "the background process was killed"


@check("shell")
def a_timeout_kills_the_whole_tree(open_one: Open) -> None:
    box = open_one()
    script = "trap '' TERM INT HUP; (setsid sh -c 'trap \"\" TERM; sleep 97.25 & sleep 97.25' &) ; sleep 97.25"
    assert box.exec(script, timeout=0.7).timed_out
    assert box.exec("pgrep -f 'sleep 97[.]25'").exit_code != 0, "a child survived the timeout"


@check("shell")
def files_survive_a_timeout(open_one: Open) -> None:
    box = open_one()
    box.exec("echo kept > kept.txt; echo too > /tmp/kept.txt; sleep 30", timeout=0.5)
    assert box.read("kept.txt") == b"kept\n"
    assert box.read("/tmp/kept.txt") == b"too\n"


@check("shell")
def binary_output_comes_back(open_one: Open) -> None:
    assert open_one().exec(r"printf '\377\376\000\200'").stdout == b"\xff\xfe\x00\x80"


@check("shell")
def zombies_are_reaped(open_one: Open) -> None:
    box = open_one()
    box.exec("for i in 1 2 3 4 5 6 7 8; do (sleep 0.05 & exec true) & done; wait; sleep 0.3")
    assert box.exec("ps -eo stat= | grep -c Z").stdout.strip() == b"0", "zombies are left"


@check("shell")
def commands_run_side_by_side(open_one: Open) -> None:
    box = open_one()
    started = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda i: box.exec(f"sleep 0.5; echo {i}"), range(8)))
    assert [result.stdout for result in results] == [f"{i}\n".encode() for i in range(8)]
    assert time.monotonic() - started < 3, "commands waited for each other"


@check("shell")
def a_special_file_is_not_read(open_one: Open) -> None:
    box = open_one()
    box.exec("mkfifo pipe")
    _raises(PermissionError, lambda: box.read("pipe"))


@check("shell")
def a_sandbox_survives_the_thread_that_opened_it(open_one: Open) -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        box = pool.submit(open_one).result()
    time.sleep(0.1)
    assert box.exec("true").exit_code == 0


# --- isolation --------------------------------------------------------------------------------------------------------


@check("isolation")
def the_home_of_the_host_is_not_seen(open_one: Open) -> None:
    box = open_one()
    home = Path.home()
    listing = box.exec(f"ls -A {home} 2>/dev/null; ls -A /root /home 2>/dev/null").stdout.decode().split()
    host = {entry.name for entry in home.iterdir()} if home.is_dir() else set()
    assert not host & set(listing), f"seen of the host's home: {sorted(host & set(listing))[:5]}"


@check("isolation")
def the_environment_of_the_host_is_not_seen(open_one: Open) -> None:
    box = open_one()
    secret = f"swegym-contract-{secrets.token_hex(8)}"
    os.environ["SWEGYM_CONTRACT_SECRET"] = secret
    try:
        seen = box.exec("env; cat /proc/*/environ").stdout
    finally:
        del os.environ["SWEGYM_CONTRACT_SECRET"]
    assert secret.encode() not in seen
    for name, value in os.environ.items():
        if any(word in name for word in ("KEY", "TOKEN", "SECRET", "PASSWORD")) and len(value) > 7:
            assert value.encode() not in seen, f"the value of {name} is visible"


@check("isolation")
def credentials_of_the_host_are_not_seen(open_one: Open) -> None:
    box = open_one()
    paths = "/etc/shadow /etc/ssh /etc/ssl/private ~/.ssh ~/.aws ~/.netrc ~/.git-credentials ~/.config /etc/docker"
    found = box.exec(f"ls -d {paths} 2>/dev/null").stdout.decode().split()
    assert not found, f"visible: {found}"


@check("isolation")
def sockets_of_the_host_are_not_seen(open_one: Open) -> None:
    found = open_one().exec("find / -xdev -type s 2>/dev/null; ls -A /run /tmp 2>/dev/null | grep -v :").stdout
    assert not found.strip(), f"visible: {found!r}"


@check("isolation")
def processes_of_the_host_are_not_seen(open_one: Open) -> None:
    box = open_one()
    assert int(box.exec("ls -d /proc/[0-9]* | wc -l").stdout) < 12
    assert box.exec(f"kill -0 {os.getpid()}; [ -e /proc/{os.getpid()}/fd ]").exit_code != 0 or os.getpid() < 12


@check("isolation")
def there_is_no_network_but_loopback(open_one: Open) -> None:
    box = open_one()
    devices = {line.split(":")[0].strip() for line in box.exec("cat /proc/net/dev").stdout.decode().splitlines()[2:]}
    assert devices <= {"lo"}, f"devices: {devices}"
    assert box.exec("exec 3<>/dev/tcp/192.0.2.1/80", timeout=5).exit_code != 0


@check("isolation")
def ports_of_the_host_are_not_reached(open_one: Open) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert open_one().exec(f"exec 3<>/dev/tcp/127.0.0.1/{port}", timeout=5).exit_code != 0


@check("isolation")
def system_folders_are_read_only_or_private(open_one: Open) -> None:
    box = open_one()
    mark = f"swegym-{secrets.token_hex(6)}"
    box.exec(f"touch /usr/{mark} /usr/bin/{mark} /etc/{mark} /{mark}; mount -o remount,rw /usr; touch /usr/{mark}")
    for folder in ("/usr", "/usr/bin", "/etc", "/"):
        assert not Path(folder, mark).exists(), f"{folder} of the host was written"


@check("isolation")
def there_are_no_capabilities_to_use(open_one: Open) -> None:
    box = open_one()
    status = box.exec("grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status").stdout.decode().split()
    assert status == ["CapEff:", "0" * 16, "CapBnd:", "0" * 16, "NoNewPrivs:", "1"], status
    assert box.exec("unshare -Ur true").exit_code != 0, "a user namespace can be made inside"


@check("isolation")
def the_machine_cannot_be_killed_from_inside(open_one: Open) -> None:
    box = open_one()
    box.exec("kill -9 1; kill -9 -1", timeout=5)
    assert box.exec("echo alive").stdout == b"alive\n"


# --- limits -----------------------------------------------------------------------------------------------------------


@check("limits")
def long_output_keeps_head_and_tail(open_one: Open) -> None:
    result = open_one().exec("echo first; yes | head -c 50000000; echo last", timeout=30)
    assert result.stdout.startswith(b"first\n") and result.stdout.endswith(b"last\n")
    assert len(result.stdout) < 5_000_000 and result.truncated > 10_000_000
    assert b"bytes left out" in result.stdout, "the cut is not said"


@check("limits")
def endless_output_ends_at_the_deadline(open_one: Open) -> None:
    started = time.monotonic()
    assert open_one().exec("yes; :", timeout=1.0).timed_out
    assert time.monotonic() - started < 2.5


@check("limits")
def a_fork_bomb_is_contained(open_one: Open) -> None:
    box = open_one()
    result = box.exec("bomb() { bomb | bomb & }; bomb; sleep 20", timeout=2)
    assert result.exit_code != 0
    assert box.exec("echo alive", timeout=10).stdout == b"alive\n"
    count = int(box.exec("ls -d /proc/[0-9]* | wc -l").stdout)
    assert count < 20, f"{count} processes are left"


@check("limits")
def a_memory_bomb_is_contained(open_one: Open) -> None:
    box = open_one()
    bomb = "head -c 3000000000 /dev/zero | tail"  # tail keeps the one line, all of it
    assert box.exec(bomb, timeout=30).exit_code != 0 or box.exec("true").exit_code == 0
    result = box.exec("x=y; while :; do x=$x$x; done", timeout=30)
    assert result.exit_code != 0
    assert box.exec("echo alive").stdout == b"alive\n"


@check("limits")
def a_disk_filler_is_stopped(open_one: Open) -> None:
    box = open_one()
    fill = "for i in $(seq 100); do head -c 100000000 /dev/zero > fill$i || exit 9; done"
    result = box.exec(fill, timeout=60)
    assert result.exit_code != 0 and not result.timed_out
    size = int(box.exec("du -sm /testbed | cut -f1").stdout)
    assert size < 9000, f"{size} MB were written"
    assert box.exec("rm -f fill*; echo alive").stdout == b"alive\n"
