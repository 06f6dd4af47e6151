"""The proof that a task is sound on this machine, without any model.

Its hidden tests fail before the gold patch and pass after it, the others pass both times, every time alike; the grader
gives the empty patch 0 and the gold patch 1; and nothing in the image tells of the release with the fix. How tests are
run and patches are judged comes from the caller, for those rooms lie further down.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from swegym.errors import TaskError
from swegym.tasks.environment import canonical_name
from swegym.types import Grader, Sandbox, SandboxFactory, Status, Task, TestSetup

_GOOD = ("passed", "xfailed")


class Report(Protocol):
    @property
    def statuses(self) -> Mapping[str, Status]: ...
    @property
    def output(self) -> str: ...


class Run(Protocol):
    """Runs the files that hold the expected tests; every expected test has a status in what comes back."""

    def __call__(self, sandbox: Sandbox, setup: TestSetup, expected: Iterable[str], /) -> Report: ...


@dataclass(frozen=True, slots=True)
class TaskHealth:
    """What a check found. Sound when nothing is wrong."""

    id: str
    problems: tuple[str, ...]
    fail_to_pass: int
    pass_to_pass: int

    @property
    def sound(self) -> bool:
        return not self.problems


def check(task: Task, open_sandbox: SandboxFactory, run: Run, grade: Grader, repeats: int = 2) -> TaskHealth:
    """Everything that the module's first paragraph says, each run in a fresh sandbox, `repeats` times."""
    problems = sealed_problems(task, open_sandbox)
    before = [statuses(task, open_sandbox, run, patched=False) for _ in range(repeats)]
    after = [statuses(task, open_sandbox, run, patched=True) for _ in range(repeats)]
    for state, runs in (("before", before), ("after", after)):
        for test in task.hidden.expected:
            seen = {found[test] for found in runs}
            passes = state == "after" or test in task.hidden.pass_to_pass
            if len(seen) > 1:
                problems.append(f"{test} is not stable {state} the gold patch: {', '.join(sorted(seen))}")
            elif (next(iter(seen)) in _GOOD) != passes:
                wanted = "pass" if passes else "fail"
                problems.append(f"{test} must {wanted} {state} the gold patch, but it is {next(iter(seen))}")
    for name, patch, expected in (("empty", "", False), ("gold", task.gold_patch, True)):
        verdict = grade(task, patch, open_sandbox)
        if verdict.resolved is not expected:
            problems.append(f"the {name} patch is judged resolved={verdict.resolved}: {verdict.reason}")
    return TaskHealth(task.id, tuple(problems), len(task.hidden.fail_to_pass), len(task.hidden.pass_to_pass))


def statuses(task: Task, open_sandbox: SandboxFactory, run: Run, *, patched: bool) -> dict[str, Status]:
    """The status of every expected hidden test in a fresh sandbox, with or without the gold patch."""
    with open_sandbox(task.image) as sandbox:
        if patched:
            apply_gold(task, sandbox)
        lay_hidden_tests(task, sandbox)
        found = run(sandbox, task.tests, task.hidden.expected).statuses
    return {test: found.get(test, "missing") for test in task.hidden.expected}


def apply_gold(task: Task, sandbox: Sandbox) -> None:
    """Apply the reference fix in a sandbox whose repository is as the image has it."""
    patch = task.gold_patch.encode("utf-8", "surrogateescape")
    done = sandbox.exec(["git", "apply", "--whitespace=nowarn", "-"], cwd=task.image.workdir, stdin=patch)
    if done.exit_code:
        raise TaskError(f"{task.id}: its gold patch does not apply: {done.text.strip()[:500]}")


def lay_hidden_tests(task: Task, sandbox: Sandbox) -> None:
    """Put the hidden tests where they belong; nothing else stays under the folders that they own."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, data in task.hidden.files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))
    workdir = task.image.workdir
    removed = sandbox.exec(["rm", "-rf", "--", *task.hidden.owned], cwd=workdir)
    done = sandbox.exec(["tar", "-xf", "-", "--no-same-owner"], cwd=workdir, stdin=archive.getvalue())
    if removed.exit_code or done.exit_code:
        raise TaskError(f"{task.id}: its hidden tests cannot be laid out: {removed.text}{done.text}")


def sealed_problems(task: Task, open_sandbox: SandboxFactory) -> list[str]:
    """What in the image tells more than the release with the bug does."""
    package, _, version = task.repo.partition(" ")
    with open_sandbox(task.image) as sandbox:
        done = sandbox.exec(["python", "-I", "-c", _LOOK], cwd=task.image.workdir)
    if done.exit_code:
        return [f"the image cannot be looked at: {done.text.strip()[-500:]}"]
    seen = json.loads(done.stdout)
    problems = []
    if seen["commits"] != [task.base_commit]:
        problems.append(f"the repository holds the commits {seen['commits']}, not just {task.base_commit}")
    if seen["strangers"]:
        problems.append(f"the repository holds objects outside its commit: {', '.join(seen['strangers'][:5])}")
    if seen["leftovers"]:
        problems.append(f"the repository holds {', '.join(seen['leftovers'])}")
    if seen["changes"]:
        problems.append(f"the repository is not clean: {seen['changes'][:200]}")
    copies = [
        (name, found, place)
        for name, found, place in seen["distributions"]
        if canonical_name(name) == canonical_name(package)
    ]
    if [found for _, found, _ in copies] != [version]:
        problems.append(f"the package is installed as {copies}, not once as {version}")
    return problems


_LOOK = r"""
import json, os, subprocess
from importlib import metadata

def git(*arguments):
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout

inside = {line.split()[0] for line in git("rev-list", "--objects", "--all").splitlines()}
held = {line.split()[0] for line in git("cat-file", "--batch-all-objects", "--batch-check").splitlines()}
leftovers = [name for name in ("logs", "hooks", "refs/remotes", "ORIG_HEAD", "FETCH_HEAD", "packed-refs",
                               "objects/info/alternates") if os.path.exists(".git/" + name)]
print(json.dumps({
    "commits": git("rev-list", "--all").split(),
    "strangers": sorted(held - inside),
    "leftovers": leftovers,
    "changes": git("status", "--porcelain", "--ignored"),
    "distributions": [(found.name, found.version, str(found.locate_file("")))
                      for found in metadata.distributions() if found.name],
}))
"""
