"""What counts as what, when trajectories are added up."""

import json
from typing import Any

import pytest

from swegym.report import flips, summarise
from swegym.types import Guidance, Trajectory, Verdict

HINT = Guidance(teacher="oracle", parts={"plan": "look again"}, privileged=True)
SOLVED = Verdict(True, None, "all passed")
FAILED = Verdict(False, "agent", "1 of 2 failed")
BROKEN = Verdict(None, "sandbox", "the machine died")


def trajectory(task: str, verdict: Verdict, attempt: int = 0, **changes: Any) -> Trajectory:
    guided = changes.get("guidance") is not None
    values: dict[str, Any] = {
        "id": f"{task}__{attempt}{'g' if guided else ''}",
        "task": task,
        "set": "toy",
        "task_digest": "d",
        "attempt": attempt,
        "policy": "repair",
        "policy_version": "1",
        "seed": 0,
        "messages": (),
        "tools": (),
        "patch": "diff",
        "verdict": verdict,
        "stop_reason": "submitted",
        "seconds": {"tools": 1.5, "grade": 0.5},
    }
    return Trajectory(**{**values, **changes})


def test_plain_and_guided_are_counted_apart() -> None:
    summary = summarise("r", [trajectory("a", FAILED), trajectory("a", SOLVED, guidance=HINT), trajectory("b", SOLVED)])
    assert (summary.attempts, summary.guided_attempts) == (2, 1)
    assert (summary.solved_plain, summary.solved_guided, summary.solved_only_guided) == (1, 1, 1)


def test_guided_attempts_never_enter_pass_at_k() -> None:
    summary = summarise("r", [trajectory("a", FAILED), trajectory("a", SOLVED, guidance=HINT)])
    assert summary.pass_at[1].value == 0.0


def test_invalid_attempts_are_counted_by_cause_and_enter_no_rate() -> None:
    summary = summarise("r", [trajectory("a", BROKEN), trajectory("a", SOLVED, attempt=1)])
    assert summary.invalid == {"sandbox": 1}
    assert summary.pass_at[1].value == 1.0
    assert summary.tasks[0].plain == 1


def test_an_empty_patch_is_a_failure_that_is_counted() -> None:
    summary = summarise("r", [trajectory("a", FAILED, patch=" \n")])
    assert summary.empty_patches == 1
    assert summary.pass_at[1].value == 0.0


def test_k_doubles_up_to_the_most_attempts() -> None:
    summary = summarise("r", [trajectory("a", FAILED, attempt=n) for n in range(5)] + [trajectory("a", SOLVED, 5)])
    assert list(summary.pass_at) == [1, 2, 4, 6]
    assert summary.pass_at[6].value == 1.0


def test_seconds_add_up_per_phase_and_per_task() -> None:
    summary = summarise("r", [trajectory("a", FAILED), trajectory("a", FAILED, attempt=1)])
    assert summary.seconds == {"tools": 3.0, "grade": 1.0}
    assert summary.tasks[0].seconds == pytest.approx(4.0)


def test_a_run_without_trajectories_has_a_summary() -> None:
    summary = summarise("r", [])
    assert summary.tasks == ()
    assert summary.pass_at == {}


def test_the_json_form_is_plain_data() -> None:
    summary = summarise("r", [trajectory("a", SOLVED)])
    assert json.loads(json.dumps(summary.as_json()))["pass_at"]["1"]["value"] == 1.0


def test_flips_name_only_tasks_judged_in_both_and_changed() -> None:
    before = summarise("a", [trajectory("x", FAILED), trajectory("y", SOLVED), trajectory("z", SOLVED)])
    after = summarise("b", [trajectory("x", SOLVED), trajectory("y", SOLVED), trajectory("w", SOLVED)])
    assert flips(before, after) == [("x", False, True)]
