import dataclasses
import time

import pytest

from swegym.tools import ToolError
from swegym.tools.bash import bash, describe
from swegym.types import ExecResult


def test_output_and_a_silent_success(context):
    assert bash(context, "echo out; echo err >&2") == "out\nerr\n"
    assert bash(context, "true") == "[no output, exit code 0]"


def test_a_failing_command_tells_its_exit_code(context):
    assert bash(context, "printf partial; exit 3") == "partial\n[exit code 3]"


def test_it_starts_in_the_repository_each_time(context):
    assert bash(context, "cd /tmp; pwd") == "/tmp\n"
    assert bash(context, "pwd") == "/testbed\n"


def test_a_command_that_takes_too_long_is_stopped(context):
    assert "[stopped after 0.5 seconds]" in bash(context, "echo begun; sleep 60", timeout=0.5)


def test_no_command_outlives_the_episode(context):
    started = time.monotonic()
    assert "stopped after 1 seconds" in bash(dataclasses.replace(context, seconds_left=0.5), "sleep 60", timeout=50)
    assert time.monotonic() - started < 5


def test_bytes_that_are_no_text_do_not_break_it(context):
    assert bash(context, r"printf '\377\376ok'") == "\ufffd\ufffdok"


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan")])
def test_a_timeout_must_be_positive(context, timeout):
    with pytest.raises(ToolError, match="timeout"):
        bash(context, "true", timeout=timeout)


def test_what_a_limit_did_is_said():
    assert "memory" in describe(ExecResult(137, b"", b"", 1.0, "memory"), 60)
    assert "5 bytes" in describe(ExecResult(0, b"x", b"", 1.0, None, 5), 60)
