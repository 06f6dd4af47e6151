"""A change: two states of a project, looked through for tasks. What releases and commits have in common.

    tests that fail on the old sources and pass on the new -> the fewest hunks for each -> one task for each problem

The later state's tests are the hidden ones throughout. Each task is measured again with its own hunks and nothing else.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swegym.errors import TaskError
from swegym.tasks import hunks
from swegym.tasks.build import assemble
from swegym.tasks.hunks import Hunk
from swegym.tasks.miners import behaviour
from swegym.tasks.miners.bench import PASSING, Bench, Run, function_of
from swegym.tasks.miners.splitting import Cluster, reached_hunks, split
from swegym.tasks.recipe import Recipe
from swegym.tasks.sources import gather
from swegym.types import SandboxFactory, Status, Task

TODO = "TODO: say here what a user sees, in your own words, with an example that shows it."
_MOST_TRACED = 60  # test functions


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a search goes."""

    tries: int = 80  # test runs for the smallest fix of one test
    problems: int = 4  # tasks of one change
    largest: int = 400  # hunks of one change
    hunks: int = 12  # of one fix
    lines: int = 150  # that one fix takes away and adds
    timeout: float = 60.0  # seconds for one whole test run
    most_passing: int = 400  # beyond so many tests only files with failing ones count
    repeats: int = 2
    whole: bool = True  # all tests must go on passing; else those of the files that changed


@dataclass(frozen=True, slots=True)
class Workshop:
    """What mining works with; how tests are run and leaks are found lies further down than this room."""

    open_sandbox: SandboxFactory
    run: Run
    leaks: Callable[[str, Task], Sequence[str]]
    write: Callable[[Task, str], str] | None = None  # an issue text from a task and what a miner could say of it
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Found:
    """One task: the fields of its recipe. `complete` is False when its issue text is left to a person."""

    fields: Mapping[str, Any]
    complete: bool
    evidence: str  # fix and failures, for who writes the text; never for a policy


@dataclass(frozen=True, slots=True)
class Examined:
    """What a change gave: tasks, and why not more."""

    found: tuple[Found, ...]
    reasons: tuple[str, ...]


def examine(kind: type[Recipe], fields: Mapping[str, Any], folder: Path, shop: Workshop, said: str = "") -> Examined:
    """Look through one change.

    Args:
        kind: Of recipe.
        fields: Those of its recipes but for tests, hunks and issue.
        folder: A place for its trees, in the store's scratch space.
        shop: What mining works with.
        said: What its author said of it; the issue where no call shows the difference and nothing is leaked.

    Raises:
        TaskError: with a short reason why it gives no task.
    """
    limits = shop.limits
    draft = kind.model_construct(**fields, issue=TODO, fail_to_pass={}, pass_to_pass={})
    trees = gather(draft, folder / "trees")
    tests = changed_tests(trees.buggy, trees.fixed, draft.test_paths)
    parts = hunks.tree_hunks(trees.buggy, trees.fixed, draft.source_paths, draft.test_paths, folder / "hunks.git")
    parts = tuple(part for part in parts if part.path.endswith((".py", ".pyi")) or not part.whole)
    if not parts:
        raise TaskError("the sources do not change")
    if len(parts) > limits.largest:
        raise TaskError(f"the sources differ by more than {limits.largest} hunks")
    task = assemble("draft", "draft", draft, folder / "draft", lambda step: None)

    with Bench(task, trees.buggy, shop.open_sandbox, shop.run) as bench:
        before = bench.run(tests).statuses
        bench.apply(parts)
        after = bench.run(tests).statuses
        broken = {test for test in before if "::" not in test}
        failing = [test for test, status in after.items() if status in PASSING and before.get(test) not in PASSING]
        unseen = [test for test in failing if test.partition("::")[0] in broken]
        failing = [test for test in failing if test not in unseen]
        if not failing:
            raise TaskError(_why_none(after, unseen))
        functions = list(dict.fromkeys(map(function_of, failing)))
        seen = behaviour.trace(
            bench.sandbox, task.tests, draft.source_paths, functions[:_MOST_TRACED], task.image.workdir
        )

        likely = {name: reached_hunks(parts, trees.fixed, lines) for name, lines in _lines(seen).items()}
        bench.apply(())
        result = split(bench, parts, functions, likely, limits.tries, limits.problems)
    reasons = [f"{reason} ({count} tests)" for reason, count in Counter(result.unsettled.values()).items()]
    if not result.clusters:
        raise TaskError("; ".join(reasons))
    paths = draft.test_paths if limits.whole else tests
    whole = _whole_runs(task, trees.buggy, (), paths, shop)
    if max(seconds for _, seconds in whole) > limits.timeout / 2:
        raise TaskError(f"its whole test suite takes longer than {limits.timeout / 2:g} seconds")
    found: list[Found] = []
    for cluster in result.clusters:
        try:
            found.append(
                _finish(
                    kind,
                    fields,
                    cluster,
                    task,
                    trees.buggy,
                    [statuses for statuses, _ in whole],
                    paths,
                    seen,
                    said,
                    shop,
                    folder,
                )
            )
        except TaskError as error:
            reasons.append(str(error))
    return Examined(tuple(found), tuple(reasons))


def changed_tests(old: Path, new: Path, test_paths: Iterable[str]) -> list[str]:
    """The test files of the new state that the old one does not have as they are."""
    found = []
    for path in test_paths:
        place = new / path
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            name = file.relative_to(new).as_posix()
            listed = place.is_file() or re.search(r"test", file.name)
            same = (old / name).is_file() and (old / name).read_bytes() == file.read_bytes()
            if file.is_file() and listed and not same and file.name not in ("__init__.py", "conftest.py"):
                found.append(name)
    if not found:
        raise TaskError("no test changes")
    return found


def _lines(seen: behaviour.Trace) -> dict[str, dict[str, set[int]]]:
    """By test function and path, the lines that it reached."""
    found: dict[str, dict[str, set[int]]] = {}
    for test, files in seen.reached.items():
        lines = found.setdefault(function_of(test), defaultdict(set))
        for path, numbers in files.items():
            lines[path] |= numbers
    return {name: lines for name, lines in found.items() if lines}


def _why_none(after: Mapping[str, Status], unseen: Sequence[str]) -> str:
    if not any("::" in test for test in after):
        return "its changed tests cannot be collected"
    if unseen:
        return "its new tests cannot even be imported on the old sources"
    if not any(status in PASSING for status in after.values()):
        return "its changed tests do not pass on the new sources either"
    return "no test fails on the old sources and passes on the new"


def _finish(
    kind: type[Recipe],
    fields: Mapping[str, Any],
    cluster: Cluster,
    task: Task,
    tree: Path,
    before: Sequence[Mapping[str, Status]],
    paths: Sequence[str],
    seen: behaviour.Trace,
    said: str,
    shop: Workshop,
    folder: Path,
) -> Found:
    """Measure one problem with its own hunks alone, and write its recipe's fields."""
    limits, size = shop.limits, sum(part.lines for part in cluster.hunks)
    if len(cluster.hunks) > limits.hunks or size > limits.lines:
        raise TaskError(f"a fix of more than {limits.hunks} hunks or {limits.lines} lines")
    if _tells_version(cluster.hunks, fields):
        raise TaskError("a fix that only tells the version")
    after = [statuses for statuses, _ in _whole_runs(task, tree, cluster.hunks, paths, shop)]
    sides = {test for statuses in (*before, *after) for test in statuses if "::" in test}
    good = sorted(test for test in sides if all(statuses.get(test) in PASSING for statuses in after))
    failing = [test for test in good if all(statuses.get(test) not in PASSING for statuses in before)]
    passing = [test for test in good if all(statuses.get(test) in PASSING for statuses in before)]
    failing = [test for test in failing if function_of(test) in cluster.tests]
    if not failing:
        raise TaskError("its tests do not say the same every time")
    if len(passing) > limits.most_passing:
        files = {test.partition("::")[0] for test in failing}
        passing = [test for test in passing if test.partition("::")[0] in files]
    complete = {**fields, "gold_hunks": hunks.names_of(cluster.hunks)}
    complete |= {"fail_to_pass": grouped(failing), "pass_to_pass": grouped(passing)}

    draft = kind.model_construct(**complete, issue=TODO)
    place = folder / re.sub(r"\W", "-", cluster.tests[0])[-80:]
    judged = assemble("draft", "draft", draft, place, lambda step: None)
    with Bench(judged, tree, shop.open_sandbox, shop.run) as bench:
        bench.apply(cluster.hunks)
        functions = sorted({function_of(test) for test in failing})
        calls = seen.calls_of(functions)
        due = behaviour.outcomes(bench.sandbox, calls)
        bench.apply(())
        got = behaviour.outcomes(bench.sandbox, calls)
        failures = bench.run(sorted({test.partition("::")[0] for test in failing})).output[-6000:]
    different = behaviour.differing(got, due)
    text = behaviour.issue_text(fields["package"], judged.repo.partition(" ")[2], different) if different else said
    if shop.write is not None:
        text = shop.write(judged, text)
    leaks = list(shop.leaks(text, judged)) if text else []
    evidence = "\n".join([judged.gold_patch, *functions, failures, text, *leaks])
    usable = bool(text) and not leaks
    return Found({**complete, "issue": text if usable else TODO}, usable, evidence)


def _whole_runs(
    task: Task, tree: Path, part: Sequence[Hunk], paths: Sequence[str], shop: Workshop
) -> list[tuple[Mapping[str, Status], float]]:
    """The whole suite with a part of the change, each time in a fresh sandbox."""
    runs = []
    for _ in range(shop.limits.repeats):
        with Bench(task, tree, shop.open_sandbox, shop.run) as bench:
            bench.apply(part)
            report = bench.run(paths)
            runs.append((report.statuses, report.seconds))
    return runs


def _tells_version(part: Sequence[Hunk], fields: Mapping[str, Any]) -> bool:
    """Whether all that the hunks add is a line or two with the new version in it."""
    fixed = getattr(fields.get("fixed"), "version", None)
    added = b"".join(line for hunk in part for line in hunk.added)
    return fixed is not None and sum(hunk.lines for hunk in part) <= 4 and fixed.encode() in added


def grouped(tests: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Ids by file, as a recipe writes them."""
    groups: dict[str, list[str]] = defaultdict(list)
    for test in tests:
        path, _, name = test.partition("::")
        groups[path].append(name)
    return {path: tuple(names) for path, names in groups.items()}
