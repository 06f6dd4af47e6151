"""The compatible grader: the verdict that the official SWE-bench grader would give of the same patch on the same image.

It trusts what tests print, lets a patch change test configuration, and counts an unknown word as nothing, because the
official one does. Its verdicts are for comparing numbers with others'; `sealed` gives those that we stand by. Where no
official lists are known, the task's own ids are taken for them.
"""

from __future__ import annotations

from typing import Any

from swegym.errors import GraderError, SandboxError
from swegym.grading.official_rules import instance_report, read_log
from swegym.grading.official_run import OfficialRun, run_official
from swegym.grading.parsers import infer_parser, make_parser
from swegym.grading.work_tree import TreeRefused
from swegym.types import OfficialTests, SandboxFactory, Status, Task, Verdict

_WORDS: dict[str, Status] = {
    "PASSED": "passed",
    "FAILED": "failed",
    "ERROR": "error",
    "SKIPPED": "skipped",
    "XFAIL": "xfailed",
}


def grade(task: Task, patch: str, open_sandbox: SandboxFactory) -> Verdict:
    """Judge `patch` by the official rules. `output` is the whole log, so that the verdict can be had again from it."""
    if task.tests.command is None:
        raise GraderError(f"task {task.id} names no command of its project, so there is no official run of it.")
    if not patch.strip():
        return Verdict(False, "agent", "the patch is empty")
    run, trouble = _run(task, patch, open_sandbox)
    if run is None:
        _, also = _run(task, task.gold_patch, open_sandbox)
        if also:
            raise SandboxError(f"{trouble}; with the reference fix: {also}")
        return Verdict(False, "agent", f"{trouble}, and not with the reference fix", compatible=False)
    if run.log is None:
        return Verdict(False, "agent", f"the patch does not apply: {run.said[:300]}")
    return judge_log(task, run.log, run.seconds)


def _run(task: Task, patch: str, open_sandbox: SandboxFactory) -> tuple[OfficialRun | None, str]:
    """The run, or what kept it from its end: limits, which the official runs do not know, or no place for the tests."""
    with open_sandbox(task.image) as sandbox:
        try:
            run = run_official(sandbox, task, patch)
        except TreeRefused as error:
            return None, str(error)
    return (run, "") if run.limit is None else (None, f"the machine hit its limit on {run.limit}")


def judge_log(task: Task, log: str, seconds: float = 0.0) -> Verdict:
    """The official verdict on a log that was kept. Nothing is run."""
    lists, entry = lists_of(task), published_entry(task, log)
    words = read_log(log, make_parser(parser_of(task))) or {}
    listed = (*lists.fail_to_pass, *lists.pass_to_pass)
    statuses: dict[str, Status] = {name: _WORDS.get(words.get(name, ""), "missing") for name in listed}
    facts = (statuses, (), {"run": seconds}, log)
    if entry["resolved"]:
        return Verdict(True, None, "resolved by the official rules", *facts, compatible=True)
    if not entry["patch_successfully_applied"]:
        return Verdict(
            False, "agent", "the log does not count: no markers, no tests, or a timeout", *facts, compatible=False
        )
    failing = [name for lists in entry["tests_status"].values() for name in lists["failure"]]
    reason = f"{len(failing)} of {len(listed)} listed tests fail by the official rules: {', '.join(failing[:3])}"
    return Verdict(False, "agent", reason, *facts, compatible=False)


def published_entry(task: Task, log: str | None, patch: str | None = "patch") -> dict[str, Any]:
    """The task's entry of a published report.json; `log` None: the patch did not apply."""
    lists = lists_of(task)
    return instance_report(
        log, patch, parser_of(task), lists.fail_to_pass, lists.pass_to_pass, only_failures=lists.only_failures
    )


def lists_of(task: Task) -> OfficialTests:
    return task.hidden.official or OfficialTests(task.hidden.fail_to_pass, task.hidden.pass_to_pass)


def parser_of(task: Task) -> str:
    """The task's log parser, or the one whose names look like the listed ones."""
    lists = lists_of(task)
    return task.tests.parser or infer_parser((*lists.fail_to_pass, *lists.pass_to_pass))
