"""The contract's everyday half: files, commands, shells."""

from __future__ import annotations

import concurrent.futures
import os
import time
from collections.abc import Callable

from swegym.errors import SandboxDied
from swegym.sandbox.contract_check import Open, check, raises
from swegym.types import Sandbox

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
    raises(FileNotFoundError, lambda: box.read("missing.txt"))


@check("files")
def a_directory_is_not_a_file(open_one: Open) -> None:
    box = open_one()
    box.write("folder/file.txt", b"x")
    raises(IsADirectoryError, lambda: box.read("folder"))
    raises(IsADirectoryError, lambda: box.write("folder", b"x"))


@check("files")
def sandboxes_of_one_image_are_apart(open_one: Open) -> None:
    one, other = open_one(), open_one()
    one.write("mine.txt", b"1")
    raises(FileNotFoundError, lambda: other.read("mine.txt"))


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
    raises(SandboxDied, lambda: box.exec("true"))
    raises(SandboxDied, lambda: box.read("x"))


@check("files")
def it_is_a_context_manager(open_one: Open) -> None:
    with open_one() as box:
        assert box.exec("true").exit_code == 0
    raises(SandboxDied, lambda: box.exec("true"))


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
def processes_can_be_stopped(open_one: Open) -> None:
    box = open_one()
    box.exec("echo kept > kept.txt; (trap '' TERM; setsid sleep 97.75 &)")
    box.stop_processes()
    assert box.exec("pgrep -f 'sleep 97[.]75'").exit_code == 1, "a process survived"
    assert box.read("kept.txt") == b"kept\n"


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
        results = list(pool.map(lambda i: box.exec(f"sleep 1; echo {i}"), range(8)))
    assert [result.stdout for result in results] == [f"{i}\n".encode() for i in range(8)]
    assert time.monotonic() - started < 6, "commands waited for each other"


@check("shell")
def a_special_file_is_not_read(open_one: Open) -> None:
    box = open_one()
    box.exec("mkfifo pipe")
    raises(PermissionError, lambda: box.read("pipe"))
    raises(PermissionError, lambda: box.write("pipe", b"x"))


@check("shell")
def a_removed_workdir_is_not_the_end(open_one: Open) -> None:
    box = open_one()
    gone = box.exec("rm -rf /testbed").exit_code == 0  # where the root folder is not the policy's, it stays
    assert (box.exec("true").exit_code != 0) == gone, "the command line should fail to start there"
    assert box.exec("pwd", cwd="/tmp").exit_code == 0
    box.write("back.txt", b"x")
    assert box.read("back.txt") == b"x"


@check("shell")
def a_sandbox_survives_the_thread_that_opened_it(open_one: Open) -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        box = pool.submit(open_one).result()
    time.sleep(0.1)
    assert box.exec("true").exit_code == 0
