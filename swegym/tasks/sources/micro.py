"""Micro repositories: small, whole, made by a generator from a seed, each with one injected bug and tests that decide.

    forms with names and numbers filled in -> the fixed repository
    one mutation of one function           -> the repository with the bug
    calls that both were asked             -> visible tests, hidden tests and the issue's example

`micro_task` is a pure function: same seed, index and options, same task, on every machine and Python. It runs in this
process what the forms and operators make, which loops over short lists only and touches nothing outside itself.

A bug's class is the operator that made it. Classes are frequent, rare or absent (`CLASSES`), and each part of a task
set says how often it draws from which, so that a model can be taught by tasks that never show some classes.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swegym.errors import TaskError
from swegym.tasks.micro_options import Frequency, MicroOptions, Split
from swegym.tasks.mutation import Mutation, edits, splice
from swegym.tasks.recipe import InlineRecipe, SetFile
from swegym.tasks.sources.micro_draw import Function, Module, pick, repository, shuffled, weighted, wrap

VERSION = 1  # of the generator: another number, other tasks
PACKAGE = "micro"  # what every one of these repositories is called
TEST_FILE = "tests/test_all.py"
CLASSES: dict[Frequency, tuple[str, ...]] = {
    "frequent": (
        "integer_constant",
        "comparison_boundary",
        "arithmetic_operator",
        "augmented_assignment",
    ),
    "rare": (
        "comparison_negated",
        "function_name",
        "slice_bound",
        "wrong_variable",
    ),
    "absent": (
        "boolean_operator",
        "method_name",
        "removed_branch",
        "swapped_arguments",
    ),
}
_TRIES = 400


@dataclass(frozen=True, slots=True)
class MicroTask:
    """One generated problem. Paths are relative to the repository; `files` has the bug and the visible tests."""

    files: Mapping[str, str]
    visible_tests: Mapping[str, str]
    hidden_tests: Mapping[str, str]  # replace the visible ones, which they repeat
    issue: str
    gold_patch: str
    bug_class: str  # the operator's name
    frequency: Frequency  # of the class: frequent, rare or absent
    path: str  # of the module with the bug
    fixed: str  # that module without it
    line: int  # of the bug in it, from 1
    function: str
    fail_to_pass: tuple[str, ...]
    pass_to_pass: tuple[str, ...]

    @property
    def source(self) -> tuple[str, ...]:
        """The modules, without the tests."""
        return tuple(path for path in self.files if path not in self.visible_tests)


@dataclass(frozen=True, slots=True)
class Place:
    """From what a task of a set is generated, and what for."""

    series: int
    index: int
    options: MicroOptions
    split: Split

    def facts(self) -> list[Any]:
        """Plain data: where it is the same, the task is the same."""
        return ["micro, packed", VERSION, self.series, self.index, self.options.model_dump()]


@dataclass(frozen=True, slots=True)
class _Case:
    """One call of a function: what it should give, and what it gives with the bug."""

    function: str
    call: str
    expected: str
    got: str

    @property
    def notices(self) -> bool:
        return self.expected != self.got


def micro_task(seed: int, index: int, options: MicroOptions | None = None) -> MicroTask:
    """Task number `index` of the series `seed`.

    Raises:
        TaskError: no repository under these options admits a bug of the class that was drawn.
    """
    options = options or MicroOptions()
    draw = random.Random(int.from_bytes(hashlib.sha256(f"{VERSION}/{seed}/{index}".encode()).digest()[:8]))
    frequency = weighted(draw, options.mix)
    bug_class = pick(draw, options.classes.get(frequency) or CLASSES[frequency])
    for _ in range(_TRIES):
        if made := _attempt(draw, bug_class, frequency, options):
            return made
    raise TaskError(
        f"micro task {index} of series {seed}: no repository with {options.functions[0]} to {options.functions[1]} "
        f"functions in a module admits a bug of the class {bug_class}. Allow more functions or modules."
    )


def ids(described: SetFile) -> Iterator[str]:
    """The ids of a generated set, part by part."""
    for part, series in (described.micro.parts if described.micro else {}).items():
        yield from (f"{described.name}-{part}-{number}" for number in range(series.count))


def place(described: SetFile, task: str) -> Place:
    """Where one of the set's `ids` comes from."""
    assert described.micro is not None
    _, name, number = task.rsplit("-", 2)
    part = described.micro.parts[name]
    return Place(described.micro.series(name), int(number), part.options(), part.split)


def recipe(made: MicroTask) -> InlineRecipe:
    """The task as any other recipe says it."""
    fixed = {TEST_FILE: made.hidden_tests[TEST_FILE], made.path: made.fixed}
    return InlineRecipe(
        source="inline",
        package=PACKAGE,
        version=str(VERSION),
        issue=made.issue,
        source_paths=made.source,
        test_paths=("tests",),
        timeout=60.0,
        files=dict(made.files),
        fixed=fixed,
        fail_to_pass=_grouped(made.fail_to_pass),
        pass_to_pass=_grouped(made.pass_to_pass),
    )


def _grouped(tests: Sequence[str]) -> dict[str, tuple[str, ...]]:
    return {TEST_FILE: tuple(test.partition("::")[2] for test in tests)}


def _attempt(draw: random.Random, bug_class: str, frequency: Frequency, options: MicroOptions) -> MicroTask | None:
    modules = repository(draw, options)
    places = [
        (module, function, mutation)
        for module in modules
        for function in module.functions
        for mutation in _mutations(module, function, bug_class)
    ]
    for module, function, mutation in shuffled(draw, places):
        if draw.random() < options.wrapped and len(modules) > 1:
            other = pick(draw, [one for one in modules if one is not module])
            wrapped = wrap(draw, function, module, other)
        else:
            wrapped = None
        whole = [*modules]
        if wrapped is not None:
            whole[whole.index(other)] = wrapped[0]
        edited = splice(module.text.encode(), mutation).decode()
        called = wrapped[1] if wrapped else function
        if made := _finished(draw, whole, module, edited, mutation, called, function, bug_class, frequency):
            return made
    return None


# --- the bug ----------------------------------------------------------------------------------------------------------


def _mutations(module: Module, function: Function, operator: str) -> Iterator[Mutation]:
    for mutation in edits(module.text.encode(), operator):
        if mutation.function == function.name:
            yield mutation


def _finished(
    draw: random.Random,
    modules: Sequence[Module],
    buggy: Module,
    edited: str,
    mutation: Mutation,
    called: Function,
    function: Function,
    bug_class: str,
    frequency: Frequency,
) -> MicroTask | None:
    """The task, if visible and hidden tests can both notice the bug."""
    right = {module.name: module.text for module in modules}
    wrong = right | {buggy.name: edited}
    cases: dict[str, list[_Case]] = {}
    try:
        for module in modules:
            for one in module.functions:
                before, after = _outcomes(wrong, module.name, one.calls), _outcomes(right, module.name, one.calls)
                cases[one.name] = [
                    _Case(one.name, call, expected, got)
                    for call, expected, got in zip(one.calls, after, before, strict=True)
                ]
    except SyntaxError:
        return None
    noticing = [case for case in cases[called.name] if case.notices]
    direct = [case for case in cases[function.name] if case.notices]
    if len(noticing) < 2 or len(direct) < 2 or all(case.notices for case in cases[function.name]):
        return None
    visible, hidden = _dealt(draw, cases, called.name, {called.name, function.name})
    example = next(case for case in visible[called.name] if case.notices)
    owner = {one.name: module.name for module in modules for one in module.functions}
    shown = _test_file(owner, visible)
    whole = _test_file(owner, {name: [*visible[name], *hidden[name]] for name in cases})
    path = buggy.path
    failing, passing = _expected(visible, hidden)
    return MicroTask(
        files={**{f"{name}.py": text for name, text in wrong.items()}, TEST_FILE: shown},
        visible_tests={TEST_FILE: shown},
        hidden_tests={TEST_FILE: whole},
        issue=_issue(example, owner[called.name]),
        gold_patch=patch_of(path, edited, right[buggy.name]),
        bug_class=bug_class,
        frequency=frequency,
        path=path,
        fixed=right[buggy.name],
        line=mutation.line,
        function=function.name,
        fail_to_pass=failing,
        pass_to_pass=passing,
    )


def _outcomes(sources: Mapping[str, str], module: str, calls: Sequence[str]) -> list[str]:
    """What each call gives, in a fresh copy of the repository: the value's text, or `!` and the exception's name."""
    spaces: dict[str, dict[str, Any]] = {}

    def load(name: str) -> dict[str, Any]:
        if name not in spaces:
            spaces[name] = {}
            text = sources[name]
            while text.startswith("from "):  # only other modules of the repository are imported
                line, _, text = text.partition("\n")
                _, other, _, wanted = line.split()
                spaces[name][wanted] = load(other)[wanted]
            exec(_compiled(text), spaces[name])
        return spaces[name]

    found = []
    for call in calls:
        try:
            found.append(repr(eval(call, load(module))))
        except Exception as error:  # whatever a bug raises is what the call gives
            found.append(f"!{type(error).__name__}")
    return found


@functools.lru_cache(maxsize=64)
def _compiled(text: str) -> Any:
    return compile(text, "micro", "exec")


# --- tests and issue --------------------------------------------------------------------------------------------------


def _dealt(
    draw: random.Random, cases: Mapping[str, list[_Case]], called: str, suspects: set[str]
) -> tuple[dict[str, list[_Case]], dict[str, list[_Case]]]:
    """Per function a few visible cases and the hidden rest; of what the bug changes, one at least of either."""
    visible: dict[str, list[_Case]] = {}
    hidden: dict[str, list[_Case]] = {}
    for name, all_cases in cases.items():
        ordered = shuffled(draw, all_cases)
        if name in suspects:
            noticing = [case for case in ordered if case.notices]
            quiet = [case for case in ordered if not case.notices]
            shown = [noticing[0], *quiet[:1]] if name == called else quiet[:2]
            shown = shuffled(draw, shown)
            rest = [case for case in ordered if case not in shown]
            hidden[name] = rest[:8] if any(case.notices for case in rest[:8]) else [*rest[:7], noticing[-1]]
        else:
            shown, hidden[name] = ordered[:2], ordered[2:4]
        visible[name] = shown
    return visible, hidden


def _test_file(owner: Mapping[str, str], cases: Mapping[str, list[_Case]]) -> str:
    modules: dict[str, list[str]] = {}
    for name in cases:
        modules.setdefault(owner[name], []).append(name)
    raising = any(case.expected.startswith("!") for some in cases.values() for case in some)
    head = "import pytest\n\n" if raising else ""
    head += "".join(f"from {module} import {', '.join(sorted(names))}\n" for module, names in sorted(modules.items()))
    tests = []
    for name, some in cases.items():
        for number, case in enumerate(some, 1):
            if case.expected.startswith("!"):
                body = f"    with pytest.raises({case.expected[1:]}):\n        {case.call}\n"
            elif case.expected in ("True", "False", "None"):
                body = f"    assert {case.call} is {case.expected}\n"
            else:
                body = f"    assert {case.call} == {case.expected}\n"
            tests.append(f"\n\ndef test_{name}_{number}():\n{body}")
    return head + "".join(tests)


def _expected(
    visible: Mapping[str, list[_Case]], hidden: Mapping[str, list[_Case]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The ids of the whole test file that fail with the bug, and those that pass."""
    failing: list[str] = []
    passing: list[str] = []
    for name in visible:
        for number, case in enumerate([*visible[name], *hidden[name]], 1):
            (failing if case.notices else passing).append(f"{TEST_FILE}::test_{name}_{number}")
    return tuple(failing), tuple(passing)


def _issue(case: _Case, module: str) -> str:
    """What a user sees: the call, what it gives, and what it should give."""
    got, expected = (_shown(text) for text in (case.got, case.expected))
    session = f">>> from {module} import {case.function}\n>>> {case.call}\n{got}\n"
    return f"{case.function} is wrong.\n\n{session}\nExpected: {expected}\n"


def _shown(text: str) -> str:
    return f"{text[1:]} is raised" if text.startswith("!") else text


def patch_of(path: str, old: str, new: str) -> str:
    lines = difflib.unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), f"a/{path}", f"b/{path}")
    return f"diff --git a/{path} b/{path}\n" + "".join(lines)
