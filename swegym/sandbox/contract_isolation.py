"""The contract's hostile half: what must not be seen, changed, killed or exhausted from inside."""

from __future__ import annotations

import os
import secrets
import socket
import time
from pathlib import Path

from swegym.sandbox.contract_check import Open, check

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
def files_are_reached_while_all_processes_are_used_up(open_one: Open) -> None:
    box = open_one()
    box.exec("(for i in $(seq 2000); do sleep 300 & done) 2>/dev/null & sleep 1", timeout=20)
    box.write("still.txt", b"here")
    assert box.read("still.txt") == b"here"


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
