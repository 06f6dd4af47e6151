"""Runners without a structured channel: where the strict reading of a log differs from the official one, and why."""

from __future__ import annotations

from dataclasses import replace

import pytest
import tiny_set

from swegym.errors import SandboxError
from swegym.grading import compatible, make_grader
from swegym.grading.command_run import strict_statuses
from swegym.grading.official_rules import instance_report
from swegym.grading.parsers import make_parser
from swegym.sandbox import Limits, open_sandbox, sandbox_factory
from swegym.tasks import TaskSet
from swegym.types import OfficialTests, Task

START, END = ": >>>>> Start Test Output", ": >>>>> End Test Output"
NAMES = ("a.py::test_fixed", "a.py::test_kept")
GOOD = "PASSED a.py::test_fixed\nPASSED a.py::test_kept"
BAD = GOOD.replace("PASSED a.py::test_fixed", "FAILED a.py::test_fixed - x")


def log(inside: str, code: int = 0, before: str = "") -> str:
    return f"{before}{START}\n{inside}\n{END}\n>>>>> Test Exit Code: {code}\n"


STRICTER = {
    "code under test can print a pair of markers": log(GOOD) + log(BAD, 1),
    "a later line must not take a failure back": log(BAD + "\n" + GOOD, 0),
    "what passed when the row was made and is skipped was taken out": log(
        GOOD.replace("PASSED a.py::test_k", "SKIPPED a.py::test_k")
    ),
    "a misspelt word must not shrink the list": log(GOOD.replace("PASSED a.py::test_kept", "PASSED: a.py::test_kept")),
    "set-up code prints outside the markers": log("nothing", 0, before=GOOD + "\n"),
}
ALIKE = {"good": (log(GOOD), True), "bad": (log(BAD, 1), False), "cut off": (log(GOOD)[:60], False)}


def official(text: str) -> bool:
    return bool(instance_report(text, "p", "pytest", NAMES[:1], NAMES[1:])["resolved"])


def strict(text: str) -> bool:
    statuses, _ = strict_statuses(text, make_parser("pytest"), NAMES)
    return all(status in ("passed", "xfailed") for status in statuses.values())


@pytest.mark.parametrize("reason", STRICTER)
def test_stricter_on_purpose(reason: str) -> None:
    assert official(STRICTER[reason])
    assert not strict(STRICTER[reason])


@pytest.mark.parametrize("case", ALIKE)
def test_otherwise_alike(case: str) -> None:
    text, resolved = ALIKE[case]
    assert official(text) is strict(text) is resolved


def test_failure_without_a_failing_test_supports_nothing() -> None:
    assert not official(log(GOOD, 1))
    assert not strict(log(GOOD, 1))


@pytest.mark.parametrize("code", ["\u00b2", "--5", "9" * 5000, ""], ids=["power", "signs", "long", "none"])
def test_an_exit_code_that_is_no_number_is_none(code: str) -> None:
    """Code under test may have written the end of the log itself; not judged would be another try."""
    text = log(GOOD).replace("Code: 0", f"Code: {code}")
    assert strict_statuses(text, make_parser("pytest"), NAMES)[1] is None
    assert official(text) in (True, False)


# --- on a task --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    """A task of the tiny set, as a published row with a command of its own would be."""
    tiny: TaskSet = tiny_set.build(tiny_set.write(tmp_path_factory.mktemp("sets")))
    found = tiny.load("tiny-1")
    command = "python -m pytest -rA -p no:cacheprovider tests/test_numbers.py"
    hidden = replace(found.hidden, official=OfficialTests(found.hidden.fail_to_pass, found.hidden.pass_to_pass))
    return replace(found, hidden=hidden, tests=replace(found.tests, command=command, parser="pytest"))


def test_the_compatible_grader_on_good_bad_and_broken_patches(task: Task) -> None:
    assert compatible.grade(task, task.gold_patch, open_sandbox).resolved is True
    harmless = "diff --git a/NOTE b/NOTE\nnew file mode 100644\n--- /dev/null\n+++ b/NOTE\n@@ -0,0 +1 @@\n+x\n"
    verdict = compatible.grade(task, harmless, open_sandbox)
    assert (verdict.resolved, verdict.cause) == (False, "agent")
    assert verdict.statuses[task.hidden.fail_to_pass[0]] == "failed"
    for broken in ("no patch at all", "half a pair \ud800"):
        verdict = compatible.grade(task, broken, open_sandbox)
        assert (verdict.resolved, "does not apply" in verdict.reason) == (False, True)


def test_a_suite_that_hangs_is_unresolved(task: Task) -> None:
    slow = replace(task, tests=replace(task.tests, command="sleep 30", timeout=0.5))
    verdict = compatible.grade(slow, task.gold_patch, open_sandbox)
    assert verdict.resolved is False
    assert "Tests Timed Out" in verdict.output


def test_the_sealed_grader_runs_a_command_too(task: Task) -> None:
    by_command = replace(task, tests=replace(task.tests, runner="command"))
    sealed = make_grader("sealed")
    assert sealed(by_command, task.gold_patch, sandbox_factory()).resolved is True
    useless = "diff --git a/tiny/new.py b/tiny/new.py\nnew file mode 100644\n--- /dev/null\n+++ b/tiny/new.py\n"
    verdict = sealed(by_command, useless + "@@ -0,0 +1 @@\n+x = 1\n", sandbox_factory())
    assert verdict.resolved is False
    assert verdict.statuses[task.hidden.fail_to_pass[0]] == "failed"


def test_who_breaks_the_machine_of_a_command_has_failed(task: Task) -> None:
    """Not judged would be another try for nothing."""
    by_command = replace(task, tests=replace(task.tests, runner="command"))
    fills = "for name in 'abc':\n    open(f'/tmp/{name}', 'wb').write(b'x' * (20 << 20))\n__import__('time').sleep(5)\n"
    lines = "".join(f"+{line}\n" for line in fills.splitlines())
    head = "diff --git a/tiny/__init__.py b/tiny/__init__.py\n--- a/tiny/__init__.py\n+++ b/tiny/__init__.py\n"
    patch = f'{head}@@ -1 +1,4 @@\n """Arithmetic."""\n{lines}'
    small = sandbox_factory(limits=Limits(disk_bytes=32 << 20))
    verdict = make_grader("unasked")(by_command, patch, small)
    assert (verdict.resolved, verdict.cause) == (False, "agent"), verdict.reason
    assert "limit on disk, and not with the reference fix" in verdict.reason


def test_who_breaks_the_machine_of_an_official_run_has_failed(task: Task) -> None:
    fills = f"head -c 60000000 /dev/zero > /tmp/x; sleep 5; {task.tests.command}"
    small = sandbox_factory(limits=Limits(disk_bytes=32 << 20))
    guarded = replace(task, tests=replace(task.tests, command=f"if [ -e NOTE ]; then {fills}; else true; fi"))
    note = "diff --git a/NOTE b/NOTE\nnew file mode 100644\n--- /dev/null\n+++ b/NOTE\n@@ -0,0 +1 @@\n+x\n"
    verdict = compatible.grade(guarded, note, small)
    assert (verdict.resolved, verdict.cause) == (False, "agent"), verdict.reason
    assert "limit on disk, and not with the reference fix" in verdict.reason
    always = replace(task, tests=replace(task.tests, command=fills))
    with pytest.raises(SandboxError, match="with the reference fix"):
        compatible.grade(always, note, small)


def test_who_leaves_no_place_for_the_tests_has_failed(task: Task) -> None:
    link = "diff --git a/tests b/tests\nnew file mode 120000\n--- /dev/null\n+++ b/tests\n@@ -0,0 +1 @@\n+/usr\n"
    with open_sandbox(task.image) as sandbox:
        deleted = sandbox.exec("git rm -rq tests && git diff --cached HEAD").stdout.decode()
    verdict = compatible.grade(task, deleted + link + "\\ No newline at end of file\n", sandbox_factory())
    assert (verdict.resolved, verdict.cause) == (False, "agent"), verdict.reason
