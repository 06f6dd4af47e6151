"""Verdicts: who is to blame, what is tried again, and what is never a reward of 0."""

import dataclasses

import pytest
from calc_repository import BASE, EXPECTED_TO_STAY, EXPECTED_TO_TURN, GOLD

from swegym.errors import InputError, SandboxDied, SandboxUnavailable, UnknownName
from swegym.grading import GRADERS, make_grader, sealed
from swegym.sandbox import sandbox_factory
from swegym.types import HiddenTests, TestSetup

grade = make_grader()


def fix_with(line):
    """The reference fix, with one more statement in front of its return."""
    return GOLD.replace("@@ -1,5 +1,5 @@", "@@ -1,5 +1,6 @@").replace("+    return", f"+    {line}\n+    return")


@pytest.fixture(autouse=True)
def no_machine_ahead(monkeypatch):
    """Machines are counted here; one that is made ahead, where a core is idle, has tests of its own."""
    monkeypatch.setattr(sealed, "core_is_idle", lambda: False)


class Counting:
    """A factory that counts, and fails as often as it is told to."""

    def __init__(self, failures=0, error=SandboxDied, wrap=None):
        self.opened, self.failures, self.error = 0, failures, error
        self.wrap = wrap or (lambda sandbox, number: sandbox)

    def __call__(self, source):
        self.opened += 1
        if self.opened <= self.failures:
            raise self.error("out of order")
        return self.wrap(sandbox_factory()(source), self.opened)


def test_reference_fix_is_resolved(task):
    opened = Counting()
    verdict = grade(task, GOLD, opened)
    assert (verdict.resolved, verdict.cause, verdict.reward) == (True, None, 1.0)
    assert set(verdict.statuses.values()) == {"passed"} and set(verdict.statuses) == set(task.hidden.expected)
    assert {"open", "apply", "run", "ask"} == set(verdict.seconds) and verdict.compatible is True
    before = opened.opened
    assert grade(task, GOLD, opened).resolved is True and opened.opened == before + 2  # one to run, one to ask
    assert "4 passed" in verdict.output


def test_wrong_fix_names_what_failed(task):
    verdict = grade(task, GOLD.replace("a + b", "a * b"), sandbox_factory())
    assert (verdict.resolved, verdict.cause, verdict.reward) == (False, "agent", 0.0)
    assert {test for test, status in verdict.statuses.items() if status == "failed"} == set(EXPECTED_TO_TURN)
    assert "2 of 4" in verdict.reason and EXPECTED_TO_TURN[0] in verdict.reason


def test_a_fix_that_breaks_another_test_is_unresolved(task):
    broken = GOLD.replace("@@ -1,5 +1,5 @@", "@@ -1,6 +1,6 @@") + "-    return a / 2\n+    return a / 3\n"
    verdict = grade(task, broken, sandbox_factory())
    assert verdict.resolved is False and verdict.statuses[EXPECTED_TO_STAY[0]] == "failed"
    assert all(verdict.statuses[test] == "passed" for test in EXPECTED_TO_TURN)


@pytest.mark.parametrize("patch", ["", "\n", "  \n\t\n"])
def test_empty_patch_is_unresolved_without_a_sandbox(task, patch):
    opened = Counting()
    verdict = grade(task, patch, opened)
    assert (verdict.resolved, verdict.cause, verdict.reason) == (False, "agent", "empty patch")
    assert opened.opened == 0


def test_a_patch_that_does_not_apply_is_the_agents(task):
    opened = Counting()
    verdict = grade(task, GOLD.replace("a - b", "a // b"), opened)
    assert (verdict.resolved, verdict.cause) == (False, "agent")
    assert "patch does not apply" in verdict.reason and "calc/core.py" in verdict.reason and opened.opened == 0


def test_a_patch_of_which_nothing_counts_is_the_agents(task):
    patch = "diff --git a/conftest.py b/conftest.py\nnew file mode 100644\n--- /dev/null\n+++ b/conftest.py\n"
    verdict = grade(task, patch + "@@ -0,0 +1 @@\n+x = 1\n", Counting())
    assert (verdict.resolved, verdict.cause) == (False, "agent")
    assert "conftest.py" in verdict.notes[0]


def test_one_dead_sandbox_is_tried_again(task):
    opened = Counting(failures=1)
    assert grade(task, GOLD, opened).resolved is True
    assert opened.opened >= 3


@pytest.mark.parametrize("error", [SandboxDied, SandboxUnavailable])
def test_machines_that_do_not_start_are_nobodys_zero(task, error):
    opened = Counting(failures=99, error=error)
    verdict = grade(task, GOLD, opened)
    assert (verdict.resolved, verdict.cause, verdict.reward) == (None, "sandbox", None)
    assert "out of order" in verdict.reason and opened.opened == 2


class Dying:
    """A real machine whose exec fails from the n-th call on."""

    def __init__(self, sandbox, calls):
        self._sandbox, self._calls = sandbox, calls

    def exec(self, *arguments, **options):
        self._calls -= 1
        if self._calls < 0:
            raise SandboxDied("gone")
        return self._sandbox.exec(*arguments, **options)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self._sandbox.close()


def test_machines_that_always_die_are_nobodys_zero(task):
    verdict = grade(task, GOLD, Counting(wrap=lambda sandbox, number: Dying(sandbox, 2)))
    assert (verdict.resolved, verdict.cause) == (None, "sandbox")


def test_a_machine_that_dies_twice_judges_nobody_even_if_a_third_would_live(task):
    opened = Counting(wrap=lambda sandbox, number: Dying(sandbox, 2) if number <= 2 else sandbox)
    verdict = grade(task, GOLD, opened)
    assert (verdict.resolved, verdict.cause) == (None, "sandbox") and opened.opened == 2


def test_hanging_code_is_the_agents_after_a_second_try(task):
    quick = dataclasses.replace(task, tests=TestSetup(visible=("tests",), timeout=3.0))
    opened = Counting()
    verdict = grade(quick, fix_with("__import__('time').sleep(60)"), opened)
    assert (verdict.resolved, verdict.cause) == (False, "agent")
    assert "out of time" in verdict.reason and opened.opened == 3
    assert {"open", "apply", "run", "control"} == set(verdict.seconds)


def test_tests_that_failed_before_the_hang_decide_at_once(task):
    quick = dataclasses.replace(task, tests=TestSetup(visible=("tests",), timeout=3.0))
    patch = fix_with("a == -1 and __import__('time').sleep(60)").replace("a + b", "a - b - 1")
    opened = Counting()
    assert grade(quick, patch, opened).resolved is False
    assert opened.opened == 1


def test_a_patch_that_breaks_a_conftest_is_the_agents(make_task):
    task = make_task(BASE | {"conftest.py": b"import calc\n"})
    opened = Counting()
    verdict = grade(task, fix_with("return return"), opened)
    assert (verdict.resolved, verdict.cause) == (False, "agent")
    assert "exit code 4" in verdict.reason and opened.opened == 2


def test_a_syntax_error_is_judged_by_one_run(task):
    opened = Counting()
    assert grade(task, fix_with("return return"), opened).resolved is False
    assert opened.opened == 1


def test_too_much_memory_is_the_agents(task):
    limited = sandbox_factory(limits=limits(memory_bytes=256 << 20))
    verdict = grade(task, fix_with("b = b + 0 * len(bytearray(10**9))"), limited)
    assert (verdict.resolved, verdict.cause) == (False, "agent")


def limits(**fields):
    from swegym.sandbox import Limits

    return Limits(**fields)


def test_killing_everything_is_the_agents(task):
    verdict = grade(task, fix_with("__import__('os').kill(-1, 9)"), sandbox_factory())
    assert (verdict.resolved, verdict.cause) == (False, "agent")


def test_a_task_whose_tests_cannot_run_is_not_judged(task):
    """Neither the patch nor the reference fix gives a result."""
    broken = dataclasses.replace(task, tests=TestSetup(visible=("tests",), plugins=("no_such_plugin",)))
    verdict = grade(broken, GOLD, sandbox_factory())
    assert (verdict.resolved, verdict.cause, verdict.reward) == (None, "task", None)
    assert "no_such_plugin" in verdict.output


class Leaving:
    """A machine whose commands end as where a shell finds no program, if code under test wants it so."""

    def __init__(self, sandbox, number):
        self.sandbox = sandbox

    def exec(self, command, **options):
        done = self.sandbox.exec(command, **options)
        left = self.sandbox.exec(["/bin/test", "-e", "/tmp/left"], cwd="/").exit_code == 0
        return dataclasses.replace(done, exit_code=127, stdout=b"") if left else done

    def __getattr__(self, name):
        return getattr(self.sandbox, name)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sandbox.close()


@pytest.mark.parametrize("when", ["True", "'_swegym_questions' in __import__('sys').modules"], ids=["tested", "asked"])
def test_code_that_leaves_as_where_there_is_no_python_has_failed(task, when):
    """Behind a shell, as in a container, the exit code may be its own."""
    patch = fix_with(f"{when} and open('/tmp/left', 'w').close()")
    verdict = grade(task, patch, Counting(wrap=Leaving))
    assert (verdict.resolved, verdict.cause) == (False, "agent"), verdict.reason


def test_a_task_that_is_not_built_says_so(task):
    image = dataclasses.replace(task.image, layers=("f" * 64,))
    verdict = grade(dataclasses.replace(task, image=image), GOLD, sandbox_factory())
    assert (verdict.resolved, verdict.cause) == (None, "task") and "tasks build" in verdict.reason


def test_expected_failures_count_and_skips_do_not(task):
    source = b"import pytest\n@pytest.mark.xfail\ndef test_x(): assert 0\n@pytest.mark.skip\ndef test_s(): pass\n"
    files = {"tests/test_core.py": source}
    marked = HiddenTests(files, ("tests",), ("tests/test_core.py::test_x",), ())
    assert grade(dataclasses.replace(task, hidden=marked), GOLD, sandbox_factory()).resolved is True
    skipped = HiddenTests(files, ("tests",), ("tests/test_core.py::test_x",), ("tests/test_core.py::test_s",))
    verdict = grade(dataclasses.replace(task, hidden=skipped), GOLD, sandbox_factory())
    assert verdict.resolved is False and verdict.statuses["tests/test_core.py::test_s"] == "skipped"


def test_nothing_survives_in_owned_folders(make_task):
    task = make_task(BASE | {"tests/old_helper.py": b"", "tests/deep/conftest.py": b"raise SystemExit\n"})
    probe = b"import os\ndef test(): assert os.listdir(os.path.dirname(__file__)) == ['test_a.py']\n"
    hidden = HiddenTests({"tests/test_a.py": probe}, ("tests",), ("tests/test_a.py::test",), ())
    verdict = grade(dataclasses.replace(task, hidden=hidden), GOLD, sandbox_factory())
    assert verdict.resolved is True, verdict.output


def test_graders_by_name_and_by_path():
    assert make_grader() is sealed.grade and make_grader("swegym.grading.sealed:grade") is sealed.grade
    with pytest.raises(UnknownName, match=r"Did you mean sealed"):
        make_grader("seald")
    with pytest.raises(InputError, match="cannot be imported"):
        make_grader("swegym.nowhere:grade")
    assert list(GRADERS) == ["sealed", "sealed-strong", "unasked", "warm", "compatible"]
