"""The machine for questions may be made while the tests run; no code of the repository runs in it before they end."""

import dataclasses
import threading
import time

import pytest
from calc_repository import FORGE_REPORTS

from swegym.errors import SandboxError
from swegym.grading import ahead, sealed
from swegym.grading.taking import reference_for
from swegym.sandbox import sandbox_factory


class Recorder:
    """A factory that notes, machine by machine, what is done in it and in which order."""

    def __init__(self) -> None:
        self.events: list[tuple[int, str]] = []
        self._open = sandbox_factory()
        self._machines = 0

    def __call__(self, source):
        machine, self._machines = self._machines, self._machines + 1
        sandbox = self._open(source)
        original, close = sandbox.exec, sandbox.close

        def execute(command, **options):
            word = "give" if ahead._GIVE in command else "wait" if command[-1] == "ahead" else command[0]
            self.events.append((machine, word))
            return original(command, **options)

        def closed():
            if (machine, "closed") not in self.events:
                self.events.append((machine, "closed"))
            close()

        sandbox.exec, sandbox.close = execute, closed
        return sandbox

    def place(self, word: str) -> int:
        return next(number for number, (_, said) in enumerate(self.events) if said == word)


@pytest.fixture
def idle(monkeypatch):
    monkeypatch.setattr(sealed, "core_is_idle", lambda: True)


@pytest.fixture
def known(task):
    reference_for(task, sandbox_factory())
    return task


def test_questions_wait_in_a_machine_of_their_own_until_that_of_the_tests_is_closed(known, idle) -> None:
    recorder = Recorder()
    verdict = sealed.grade(known, known.gold_patch, recorder)
    assert verdict.resolved is True and verdict.integrity["asked"]["seals"] >= 1, verdict
    waiting = recorder.events[recorder.place("wait")][0]
    tests = 1 - waiting
    assert {machine for machine, _ in recorder.events} == {0, 1}
    assert recorder.events.index((tests, "closed")) < recorder.place("give")
    assert recorder.events.index((waiting, "closed")) > recorder.place("give")


def test_a_forged_success_is_found_there_too(known, idle) -> None:
    wrong = known.gold_patch.replace("+    return a + b", "+    return 0").replace("-1,5 +1,5", "-1,5 +1,13")
    added = "".join(f"+{line}\n" for line in FORGE_REPORTS.strip().split("\n"))
    forging = wrong.replace(" def add(a, b):", added + " def add(a, b):")
    verdict = sealed.grade(known, forging, sandbox_factory())
    assert verdict.resolved is False and verdict.tampering, verdict


def test_a_patch_that_fails_closes_the_machine_and_asks_nothing(known, idle) -> None:
    recorder = Recorder()
    verdict = sealed.grade(known, known.gold_patch.replace("a + b", "a * b"), recorder)
    assert verdict.resolved is False and verdict.cause == "agent"
    assert not any(word == "give" for _, word in recorder.events)
    assert sum(word == "closed" for _, word in recorder.events) == 2


def test_where_no_machine_can_be_made_ahead_one_is_made_later(known, idle) -> None:
    opened = []
    real = sandbox_factory()

    def failing(source):
        opened.append(threading.current_thread())
        if threading.current_thread() is not threading.main_thread():
            raise SandboxError("no second machine just now")
        return real(source)

    verdict = sealed.grade(known, known.gold_patch, failing)
    assert verdict.resolved is True and verdict.integrity["asked"]["seals"] >= 1, verdict
    assert len(opened) == 3


def test_a_machine_that_dies_while_it_waits_is_replaced(known, idle) -> None:
    real = sandbox_factory()

    def dying(source):
        sandbox = real(source)
        if threading.current_thread() is not threading.main_thread():
            original = sandbox.exec

            def execute(command, **options):
                if ahead._GIVE in command:
                    raise SandboxError("it died")
                return original(command, **options)

            sandbox.exec = execute
        return sandbox

    verdict = sealed.grade(known, known.gold_patch, dying)
    assert verdict.resolved is True and verdict.integrity["asked"]["seals"] >= 1, verdict


def test_a_runner_that_cannot_start_there_says_so(known, idle) -> None:
    with ahead.Ahead(
        known, _applied(known), reference_for(known, sandbox_factory()), _without_python, ("seals",)
    ) as made:
        made.begin()
        ready = made.ready()
        assert ready is not None
        done = ready[1].run_runner(b"{}", 30.0)
    assert done.exit_code == 127


def test_nothing_of_the_repository_runs_before_the_job_comes(known) -> None:
    """A package that leaves a mark when it is imported, in a machine that waits."""
    marking = known.gold_patch.replace("@@ -1,5 +1,5 @@", "@@ -1,5 +1,6 @@").replace(
        " def add(a, b):", "+open('/tmp/mark', 'w')\n def add(a, b):"
    )
    reference = reference_for(known, sandbox_factory())
    applied = sealed.apply_patch(known, marking)
    with ahead.Ahead(known, applied, reference, sandbox_factory(), ("seals",)) as made:
        made.begin()
        ready = made.ready()
        assert ready is not None
        plan, machine = ready
        time.sleep(1)
        assert machine.exec(["/usr/bin/test", "-e", "/tmp/mark"]).exit_code == 1
        sealed.strict.question(known, applied, reference, sandbox_factory(), ("seals",), ready)
        assert machine.exec(["/usr/bin/test", "-e", "/tmp/mark"]).exit_code == 0
        assert plan.inquiry.keys


def test_an_idle_core_is_told_by_what_runs_just_now(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(ahead, "_LOAD", tmp_path / "loadavg")
    monkeypatch.setattr(ahead.os, "sched_getaffinity", lambda _: {0, 1})
    assert ahead.core_is_idle() is False  # nobody says
    for running, idle in ((1, True), (2, False), (7, False)):
        (tmp_path / "loadavg").write_text(f"0.1 0.2 0.3 {running}/300 12345\n")
        assert ahead.core_is_idle() is idle


def _applied(task):
    return sealed.apply_patch(task, task.gold_patch)


def _without_python(source):
    return sandbox_factory()(dataclasses.replace(source, environment={**source.environment, "PATH": "/nowhere"}))
