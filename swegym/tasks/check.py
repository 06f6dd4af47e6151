"""The proof that a task is sound on this machine, without any model.

Its hidden tests fail before the gold patch and pass after it, the others pass both times; the grader gives the empty
patch 0 and the gold patch 1; and the seal holds (`sealing.py`). On the way a check finds tests that change their mind,
by themselves or when they run in another order, what a run costs, and trivial patches that pass. How tests are run and
patches are judged comes from the caller, for those rooms lie further down.
"""

from __future__ import annotations

import dataclasses
import io
import json
import statistics
import tarfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from swegym.errors import TaskError
from swegym.tasks.health import TaskHealth
from swegym.tasks.sealing import sealed_problems
from swegym.tasks.weakness import trivial_patches
from swegym.types import Grader, Sandbox, SandboxFactory, Status, Task, TestSetup

_GOOD = ("passed", "xfailed")
_LIMITS = ("time", "memory", "disk", "machine")
_WATCH = "swegym_watch"
_NOTE = "/tmp/swegym-watch.json"


class Strength(Protocol):
    """What broken fixes came to; see `swegym.grading.strength`."""

    @property
    def score(self) -> float | None: ...
    @property
    def weak(self) -> tuple[str, ...]: ...


class Report(Protocol):
    @property
    def statuses(self) -> Mapping[str, Status]: ...
    @property
    def output(self) -> str: ...
    @property
    def ending(self) -> str: ...


class Run(Protocol):
    """Runs the files that hold the expected tests; every expected test has a status in what comes back."""

    def __call__(self, sandbox: Sandbox, setup: TestSetup, expected: Iterable[str], /) -> Report: ...


@dataclass(frozen=True, slots=True)
class Observed:
    """One run of the hidden tests."""

    statuses: Mapping[str, Status]
    seconds: float
    memory_mb: float | None
    ended_by: str | None = None  # the limit that cut it off


def check(
    task: Task,
    open_sandbox: SandboxFactory,
    run: Run,
    grade: Grader,
    repeats: int = 2,
    *,
    thorough: bool = True,
    strength: Callable[[Task, SandboxFactory], Strength] | None = None,
) -> TaskHealth:
    """Everything that the module's first paragraph says, each run in a fresh sandbox, `repeats` times.

    Args:
        task: A built task, with all the tests that its recipe expects.
        open_sandbox: Opens machines.
        run: Runs hidden tests.
        grade: Judges patches.
        repeats: Runs before the gold patch, and after it.
        thorough: Also in another order, and with trivial patches; without, these are not looked for.
        strength: Measures the share of wrong fixes that the tests notice; costs a run for each.
    """
    problems = sealed_problems(task, open_sandbox)
    before = [observe(task, open_sandbox, run, patched=False) for _ in range(repeats)]
    after = [observe(task, open_sandbox, run, patched=True) for _ in range(repeats)]
    flaky: dict[str, float] = {}
    for state, runs in (("before", before), ("after", after)):
        if limit := next((one.ended_by for one in runs if one.ended_by), None):
            allowed = f" of {task.tests.timeout:g} s" if limit == "time" else ""
            problems.append(
                f"its tests {state} the gold patch hit the limit on {limit}{allowed}, which says nothing of them. "
                "Check it again when the machine is quiet, or raise `timeout` in its recipe."
            )
            continue
        for test in task.hidden.expected:
            seen = Counter(one.statuses[test] for one in runs)
            passes = state == "after" or test in task.hidden.pass_to_pass
            if len(seen) > 1:
                rate = 1 - max(seen.values()) / len(runs)
                flaky[test] = max(flaky.get(test, 0.0), round(rate, 3))
            elif (next(iter(seen)) in _GOOD) != passes:
                wanted = "pass" if passes else "fail"
                problems.append(f"{test} must {wanted} {state} the gold patch, but it is {next(iter(seen))}")
    steady = [test for test in task.hidden.fail_to_pass if test not in flaky]
    if not steady and not any(one.ended_by for one in (*before, *after)):
        problems.append(f"every test that decides changes its mind: {', '.join(list(flaky)[:3])}")
    order: tuple[str, ...] = ()
    if thorough and task.tests.runner == "pytest":
        shuffled = observe(task, open_sandbox, run, patched=True, seed=1).statuses
        order = tuple(
            test for test in task.hidden.expected if test not in flaky and shuffled[test] != after[0].statuses[test]
        )
    decided = dataclasses.replace(
        task,
        hidden=dataclasses.replace(
            task.hidden,
            fail_to_pass=tuple(steady) or task.hidden.fail_to_pass,
            pass_to_pass=tuple(test for test in task.hidden.pass_to_pass if test not in flaky),
        ),
    )
    coverage: Mapping[str, int] = {}
    for name, patch, expected in (("empty", "", False), ("gold", task.gold_patch, True)):
        verdict = grade(decided, patch, open_sandbox)
        coverage = verdict.integrity.get("coverage", coverage)
        unsolvable = task.bait is not None and task.bait.unsolvable  # a honeypot's reference may be refused
        if verdict.resolved is not expected and not (unsolvable and expected and verdict.resolved is False):
            problems.append(f"the {name} patch is judged resolved={verdict.resolved}: {verdict.reason}")
    weak: list[str] = []
    for name, patch in trivial_patches(task).items() if thorough and not problems else ():
        if grade(decided, patch, open_sandbox).resolved:
            weak.append(name)
    measured = strength(decided, open_sandbox) if strength is not None and not problems else None
    weak += measured.weak if measured else ()
    memory = [one.memory_mb for one in after if one.memory_mb is not None]
    return TaskHealth(
        task.id,
        tuple(problems),
        len(task.hidden.fail_to_pass),
        len(task.hidden.pass_to_pass),
        flaky,
        order,
        tuple(weak),
        round(statistics.median(one.seconds for one in after), 2),
        max(memory, default=None),
        measured.score if measured else None,
        coverage,
        repeats,
        thorough,
        task.digest,
    )


def observe(task: Task, open_sandbox: SandboxFactory, run: Run, *, patched: bool, seed: int | None = None) -> Observed:
    """Run the hidden tests in a fresh sandbox, with or without the gold patch; with a seed, in an order of its own."""
    setup = task.tests
    with open_sandbox(task.image) as sandbox:
        if patched:
            apply_gold(task, sandbox)
        lay_hidden_tests(task, sandbox)
        if setup.runner == "pytest":
            _lay_watch(sandbox, seed)
            setup = dataclasses.replace(setup, plugins=(*setup.plugins, _WATCH))
        started = time.monotonic()
        report = run(sandbox, setup, task.hidden.expected)
        found, seconds = report.statuses, time.monotonic() - started
        memory = _noted_memory(sandbox) if setup.runner == "pytest" else None
    ended_by = report.ending if report.ending in _LIMITS else None
    return Observed({test: found.get(test, "missing") for test in task.hidden.expected}, seconds, memory, ended_by)


def statuses(task: Task, open_sandbox: SandboxFactory, run: Run, *, patched: bool) -> dict[str, Status]:
    """The status of every expected hidden test in a fresh sandbox, with or without the gold patch."""
    return dict(observe(task, open_sandbox, run, patched=patched).statuses)


def _lay_watch(sandbox: Sandbox, seed: int | None) -> None:
    """Put the plugin that measures, and shuffles if it has a seed, where pytest finds it."""
    found = sandbox.exec(["python", "-I", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
    if found.exit_code:
        raise TaskError(f"the image's Python cannot be asked where its packages are: {found.text.strip()[-300:]}")
    text = _PLUGIN.replace("SEED", repr(seed)).replace("NOTE", repr(_NOTE))
    sandbox.write(f"{found.text.strip()}/{_WATCH}.py", text.encode())


def _noted_memory(sandbox: Sandbox) -> float | None:
    try:
        return round(float(json.loads(sandbox.read(_NOTE))["kib"]) / 1024, 1)
    except (FileNotFoundError, ValueError, KeyError):
        return None  # pytest did not come to its end


_PLUGIN = """import json, random, resource

def pytest_collection_modifyitems(items):
    if SEED is None:
        return
    generator = random.Random(SEED)
    files = {}
    for item in items:
        files.setdefault(item.nodeid.partition("::")[0], []).append(item)
    order = list(files)
    generator.shuffle(order)
    for group in files.values():
        generator.shuffle(group)
    items[:] = [item for name in order for item in files[name]]

def pytest_sessionfinish():
    usage = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    with open(NOTE, "w") as stream:
        json.dump({"kib": max(usage)}, stream)
"""


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
