"""Runs on the command line: recorded, resumed, interrupted, reported, paired; and what wrong settings say."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from swegym.errors import SandboxDied
from swegym.policies import PolicyContext
from swegym.sandbox.fake import FakeSandbox
from swegym.types import ExecResult, Message, Policy, ToolSchema

SWEGYM = [sys.executable, "-c", "from swegym.cli import main; main()"]


class Dying(FakeSandbox):
    """A machine that is gone with the first command."""

    def exec(
        self,
        command: str | list[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        timeout: float = 60.0,
    ) -> ExecResult:
        raise SandboxDied("the machine is gone. Open it again.")


def slow(context: PolicyContext) -> Policy:
    """A policy that thinks for a long time about every task but the first."""

    def act(messages: list[Message], tools: list[ToolSchema]) -> Message:
        if context.task.id != "tiny-1":
            time.sleep(0.2)
            return {"role": "assistant", "content": "still thinking"}
        call: Any = {"id": "1", "type": "function", "function": {"name": "submit", "arguments": "{}"}}
        return {"role": "assistant", "content": "", "tool_calls": [call]}

    return act


def test_the_reference_policy_solves_everything(swegym, tiny: str) -> None:
    result = swegym("run", tiny, "-p", "gold", "-o", "gold", "--json")
    summary = json.loads(result.out)
    assert result.code == 0
    assert (summary["tasks"], summary["solved_plain"], summary["invalid"]) == (2, 2, {})
    assert "solved" in result.err
    assert "\x1b" not in result.err


def test_the_same_command_resumes_and_adds_nothing(swegym, tiny: str, tmp_path: Path) -> None:
    first = swegym("run", tiny, "-p", "nop", "-k", "2")
    lines = (tmp_path / "runs/tiny-nop/trajectories.jsonl").read_text()
    again = swegym("run", tiny, "-p", "nop", "-k", "2")
    assert (first.code, again.code) == (0, 0)
    assert (tmp_path / "runs/tiny-nop/trajectories.jsonl").read_text() == lines
    assert first.out == again.out


def test_a_run_repeats_from_its_own_config(swegym, tiny: str, tmp_path: Path) -> None:
    swegym("run", tiny, "-p", "nop", "-o", "first", "--set", "limits.turns=7")
    assert "turns = 7" in (tmp_path / "first/config.toml").read_text()
    result = swegym("run", "-c", "first/config.toml", "-o", "second", "--json")
    assert json.loads(result.out)["tasks"] == 2
    assert "turns = 7" in (tmp_path / "second/config.toml").read_text()


def test_other_settings_on_the_same_folder_are_refused_by_name(swegym, tiny: str) -> None:
    swegym("run", tiny, "-p", "nop", "-o", "run")
    result = swegym("run", tiny, "-p", "nop", "-o", "run", "--set", "seed=5")
    assert result.code == 1
    assert "config.toml: seed = 0, but this run has 5" in result.err
    assert "-o" in result.err


def test_redo_moves_the_earlier_run_aside(swegym, tiny: str, tmp_path: Path) -> None:
    swegym("run", tiny, "-p", "nop", "-o", "run")
    result = swegym("run", tiny, "-p", "nop", "-o", "run", "--set", "seed=5", "--redo")
    assert result.code == 0
    assert (tmp_path / "run.1/trajectories.jsonl").exists()


def test_guided_runs_are_reported_and_paired(swegym, tiny: str, tmp_path: Path) -> None:
    swegym("run", tiny, "-p", "nop", "--guide", "on-failure", "--teacher", "oracle", "-o", "run")
    summary = json.loads(swegym("report", "run", "--json").out)[0]
    assert (summary["attempts"], summary["guided_attempts"]) == (2, 2)
    pairs = json.loads(swegym("pairs", "run", "--json").out)
    assert pairs["pairs"] == 0
    assert pairs["dropped"] == {"failed in spite of a hint": 2}
    assert (tmp_path / "run/pairs.jsonl").exists()


def test_reports_stand_side_by_side_with_what_flipped(swegym, tiny: str) -> None:
    swegym("run", tiny, "-p", "nop")
    swegym("run", tiny, "-p", "gold")
    result = swegym("report", "tiny-nop", "runs/tiny-gold", "--tasks")
    assert "0.000 [0.000, 0.658] n=2" in result.out
    assert "1.000 [0.342, 1.000] n=2" in result.out
    assert "tiny-1: failed -> solved" in result.out


def test_an_attempt_on_a_dead_machine_is_invalid_and_no_failure(swegym, tiny: str) -> None:
    result = swegym(
        "run", tiny, "-p", "nop", "-o", "run", "-i", "tiny-1", "--set", f"sandbox={__name__}:Dying", "--json"
    )
    summary = json.loads(result.out)
    assert summary["invalid"] == {"sandbox": 1}
    assert summary["pass_at"] == {}
    assert "tried again by the same command" in result.err


def test_play_grades_what_was_typed(swegym, tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    fix = 'bash sed -i "s/number + 2/number * 2/" tiny/numbers.py\nsubmit\n'
    monkeypatch.setattr("sys.stdin", io.StringIO(fix))
    result = swegym("play", tiny, "-i", "tiny-1")
    assert result.code == 0
    assert "Solved: all expected tests passed" in result.out


def test_an_interrupt_exits_130_and_the_same_command_goes_on(tiny: str, tmp_path: Path) -> None:
    variables = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    command = [*SWEGYM, "run", tiny, "-p", f"{__name__}:slow", "-j", "1", "-o", "run", "--set", "limits.turns=12"]
    process = subprocess.Popen(command, cwd=tmp_path, env=variables, stderr=subprocess.PIPE, text=True)
    recorded = tmp_path / "run" / "trajectories.jsonl"
    deadline = time.monotonic() + 60
    while not (recorded.exists() and recorded.read_bytes().count(b"\n")) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert "the same command goes on" in said
    assert recorded.read_bytes().count(b"\n") == 1
    assert subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True).returncode == 0
    assert recorded.read_bytes().count(b"\n") == 2


def test_a_terminal_gets_a_live_board(tiny: str, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    variables = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    command = [*SWEGYM, "run", tiny, "-p", "nop", "-o", "run"]
    process = subprocess.Popen(command, cwd=tmp_path, env=variables, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
    os.close(ours)
    assert process.wait() == 0
    assert b"\x1b[" in shown
    assert b"nop on " in shown
    assert "─".encode() in shown


# --- bad input --------------------------------------------------------------------------------------------------------


def test_guidance_in_an_evaluation_is_refused(swegym, tiny: str, tmp_path: Path) -> None:
    result = swegym("run", tiny, "-p", "nop", "--guide", "on-failure", "--eval", "-o", "run")
    assert result.code == 2
    assert "guide = 'on-failure'" in result.err
    assert not (tmp_path / "run").exists()
    assert swegym("run", tiny, "-p", "nop", "--eval", "-o", "run").code == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("-p", "repare"), "no policy named 'repare'. Did you mean repair?"),
        (("-p", "nop", "--teacher", "oracel", "--guide", "always"), "'oracel'"),
        (("-p", "nop", "--guide", "sometimes"), "guide = 'sometimes'"),
        (("-p", "nop", "--set", "limits.turn=3"), "limits.turn = 3"),
        (("-p", "nop", "--set", "limits.turns"), "expected KEY=VALUE"),
        (("-p", "nop", "--set", "limits.turns=many"), "limits.turns = 'many'"),
        (("-p", "nop", "-i", "tinny-1"), "'tinny-1'. Did you mean tiny-1"),
        (("-p", "nop", "-c", "none.toml"), "none.toml: no such file"),
        (("-p", "nop", "--set", "policy_options.api_key=sk-123"), "policy_options.api_key"),
        (("-p", "nop", "--guide", "sometimes"), ": no such trigger; use one of never"),
        ((), "-p POLICY is missing"),
    ],
)
def test_wrong_settings_are_named_with_a_remedy(
    swegym, tiny: str, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    result = swegym("run", tiny, *arguments, "-o", "run")
    assert result.code == 2
    assert says in result.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("teacher", ["oracel", "recorded"])
def test_a_wrong_teacher_does_not_wait_for_a_build(swegym, teacher: str) -> None:
    result = swegym("run", "micro-mini", "--limit", "1", "-p", "nop", "--guide", "always", "--teacher", teacher)
    assert result.code == 2 and "built" not in result.err and ("'oracel'" in result.err or "file" in result.err)


def test_a_policy_of_the_working_folder_is_found(swegym, tiny: str, tmp_path: Path) -> None:
    (tmp_path / "my_student.py").write_text("from swegym.policies.nop import policy\n")
    assert swegym("run", tiny, "-p", "my_student:policy", "-o", "run").code == 0


def test_settings_that_came_to_nothing_may_be_put_right_in_the_same_folder(swegym, tiny: str, tmp_path: Path) -> None:
    script = tmp_path / "calls.jsonl"
    script.write_text('{"role": "assistant", "content": "Done."}\n')
    wrong = swegym("run", tiny, "-p", "scripted", "-o", "run")
    assert wrong.code == 2
    assert "file is missing. Add it." in wrong.err
    assert swegym("run", tiny, "-p", "scripted", "--set", f"policy_options.file={script}", "-o", "run").code == 0


def test_a_run_that_is_not_there_is_answered_with_those_that_are(swegym, tiny: str) -> None:
    swegym("run", tiny, "-p", "nop")
    for verb in ("report", "pairs"):
        result = swegym(verb, "tiny-nob")
        assert result.code == 1
        assert "tiny-nob: no such run folder. Runs here: tiny-nop" in result.err


def test_a_folder_that_is_no_run_is_refused(swegym, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    result = swegym("report", "other")
    assert result.code == 1
    assert "other: not a run folder" in result.err


def test_a_damaged_record_is_counted_and_named_by_line(swegym, tiny: str, tmp_path: Path) -> None:
    command = ("run", tiny, "-p", "nop", "--guide", "on-failure", "--teacher", "oracle", "-o", "run")
    swegym(*command)
    for name in ("trajectories.jsonl", "hints.jsonl"):
        file = tmp_path / "run" / name
        file.write_text("{broken\n" + file.read_text() + '{"torn')
    result = swegym("report", "run", "--hints")
    assert result.code == 0
    assert "trajectories.jsonl:1: not a trajectory" in result.err
    assert "hints.jsonl:1: not a note of a question" in result.err
    for reason in ("not read: a line that is no trajectory of this version", "not read: a line that is not whole"):
        assert [line.split()[-1] for line in result.out.splitlines() if reason in line] == ["1"]
    summary = json.loads(swegym("report", "run", "--json").out)[0]
    assert (summary["attempts"], summary["guided_attempts"], sum(summary["unread"].values())) == (2, 2, 2)
    again = swegym(*command)  # who writes wants to know what is done, and guesses nothing
    assert again.code == 1
    assert "trajectories.jsonl:1: not a trajectory" in again.err
