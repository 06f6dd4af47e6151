"""No machine that is asked runs beside one in which tests of the same task run; what a busy host spoils is not kept."""

import threading
from dataclasses import replace

import pytest

from swegym.errors import SandboxError
from swegym.grading import reference, sealed, taking
from swegym.grading.pytest_run import TestReport
from swegym.images import store
from swegym.sandbox import sandbox_factory


def test_tests_share_the_gate_and_questions_hold_it_alone(make_task) -> None:
    task = make_task()
    with store.exclusive(reference.gate(task), shared=True), store.exclusive(reference.gate(task), shared=True):
        waited = []
        asking = threading.Thread(target=_hold, args=(task, waited))
        asking.start()
        asking.join(0.3)
        assert asking.is_alive()
    asking.join(10)
    assert waited == ["waits", "has it"]


def test_a_patch_is_not_tested_while_another_is_asked(make_task) -> None:
    task = make_task()
    verdicts = []
    with store.exclusive(reference.gate(task)):
        testing = threading.Thread(
            target=lambda: verdicts.append(sealed.grade_unasked(task, task.gold_patch, sandbox_factory()))
        )
        testing.start()
        testing.join(0.5)
        assert testing.is_alive() and not verdicts
    testing.join(60)
    assert verdicts[0].resolved is True


def test_a_reference_that_ran_out_of_time_is_kept_for_nobody(make_task, monkeypatch) -> None:
    task = make_task(issue="busy", tests={"timeout": 7.0})
    monkeypatch.setattr(reference, "run", lambda *_, **__: TestReport({}, "", 28.0, "time"))
    with pytest.raises(SandboxError, match="did not come to an end"):
        taking.reference_for(task, sandbox_factory())
    assert reference.known_reference(task) is None


def test_a_reference_in_which_a_test_failed_is_taken_once_more(make_task, monkeypatch) -> None:
    """A host without memory left fails tests of the reference fix, and what is not asked is paid to whoever forges."""
    task, runs = make_task(issue="no memory"), []

    def starved(*arguments, **keywords) -> TestReport:
        report = run(*arguments, **keywords)
        runs.append(report)
        failed = dict.fromkeys(report.statuses, "failed")
        return replace(report, statuses=failed) if len(runs) == 2 else report

    run = reference.run
    monkeypatch.setattr(reference, "run", starved)
    known = taking.take(task, sandbox_factory())
    assert len(runs) == 10
    assert known.coverage(task.hidden.fail_to_pass)["tells"] == 2
    runs.clear()
    runs.extend([None, None])
    assert taking.take(task, sandbox_factory()) == known and len(runs) == 7


def _hold(task, waited: list[str]) -> None:
    with store.exclusive(reference.gate(task), lambda: waited.append("waits")):
        waited.append("has it")
