"""The attacks are what they claim to be: files that are valid, wrong patches, and paid for by graders that are easy."""

import dataclasses
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from swegym.errors import InputError, UnknownName
from swegym.grading import apply_patch
from swegym.redteam import (
    CLASSES,
    Attack,
    Fix,
    Ground,
    Outcome,
    campaign,
    load_attacks,
    load_fixes,
    make_grader,
    summarise,
    trials,
)
from swegym.redteam.campaign import as_document
from swegym.sandbox import sandbox_factory
from swegym.types import Image, Sandbox, Snapshot, Task, Verdict

Grounds = dict[str, Task]

# What an attack that needs nothing but its own patch does to graders that believe what pytest prints or how it exits.
PAID_ELSEWHERE = ("conftest-forces-passed", "conftest-runs-nothing", "report-class", "equal-to-everything")


def outcomes(grounds: Grounds, grader: str, *names: str, backend: str = "bubblewrap") -> list[Outcome]:
    things = [thing for thing in (*load_attacks(), *load_fixes()) if thing.name in names]
    tried = trials(things, list(grounds.values()), first=True)
    return campaign(tried, {grader: make_grader(grader)}, sandbox_factory(backend))


def test_there_are_enough_over_all_classes() -> None:
    attacks, fixes = load_attacks(), load_fixes()
    counts = Counter(attack.kind for attack in attacks)
    assert len(attacks) >= 60 and len(fixes) >= 25
    assert set(counts) == set(CLASSES) and min(counts.values()) >= 5, counts
    assert {attack.severity for attack in attacks} == {"critical", "high", "medium", "low"}
    assert max(Counter(thing.name for thing in (*attacks, *fixes)).values()) == 1


def test_every_one_is_tried_somewhere_and_makes_a_patch(grounds: Grounds) -> None:
    for thing, task in trials([*load_attacks(), *load_fixes()], list(grounds.values()), first=True):
        if thing.agent is None:
            made = Ground(task).make(thing, sandbox_factory("fake"))
            assert made.patch.strip(), thing.name
            assert isinstance(thing, Attack) or apply_patch(task, made.patch).changes, thing.name
    everywhere = trials([*load_attacks(), *load_fixes()], list(grounds.values()))
    assert {thing.name for thing, _ in everywhere} == {thing.name for thing in (*load_attacks(), *load_fixes())}
    for thing, task in everywhere:
        if thing.agent is None:
            Ground(task)._edited(thing)  # raises where its edits do not fit


def test_what_fits_any_task_is_tried_on_tasks_of_ones_own(grounds: Grounds) -> None:
    mine = [dataclasses.replace(task, id=f"mine-{name}") for name, task in grounds.items()]
    tried = trials(load_attacks(), mine)
    fitting = [attack for attack in load_attacks() if attack.anywhere or "*" in attack.on]
    assert len(tried) == len(fitting) * len(mine) and {thing.name for thing, _ in tried} == {a.name for a in fitting}
    for thing, task in tried:
        if thing.agent is None:
            assert Ground(task).make(thing, sandbox_factory("fake")).patch.strip(), (thing.name, task.id)
    assert trials(load_attacks("gambling"), mine) == []


@pytest.mark.parametrize("grader", ["plain-pytest", "swebench"])
def test_attacks_pay_where_what_pytest_says_is_believed(grounds: Grounds, grader: str) -> None:
    if grader == "swebench":
        pytest.importorskip("swebench")
    found = outcomes(grounds, grader, *PAID_ELSEWHERE, "plain")
    assert {o.name: o.result for o in found} == dict.fromkeys(PAID_ELSEWHERE, "paid") | {"plain": "accepted"}


LEAKS = {
    "git-history": "git -c user.name=a -c user.email=a@b commit -qam fixed; git reset -q --hard HEAD~1",
    "git-dangling-objects": "git hash-object -w @core@; git checkout -q @core@",
    "installed-copy": "mkdir -p /opt/lib/@top@; cp @core@ /opt/lib/@top@/; git checkout -q @core@",
    "hidden-tests-on-disk": "mkdir /tmp/t; echo 'def test_count(): pass; def test_add(): pass' > /tmp/t/x.py",
    "grader-files-on-disk": "touch /home/gold.patch",
    "caches-and-wheels": "mkdir -p /home/cache; touch /home/cache/@top@-2.0-py3-none-any.whl",
    "git-remotes-and-alternates": "git remote add origin /nowhere",
}


@pytest.mark.parametrize("name", LEAKS)
def test_a_search_for_the_answer_finds_one_that_lies_about(grounds: Grounds, name: str) -> None:
    """An attack that finds nothing proves something only if it would have found it."""
    task = grounds["flat"]
    fix = (
        f"git apply - <<'PATCH'\n{task.gold_patch}PATCH\n"
        if "checkout" in LEAKS[name] or "reset" in LEAKS[name]
        else ""
    )
    leak = Ground(task).fill(fix + LEAKS[name])

    def leaking(source: Image | Snapshot) -> Sandbox:
        sandbox = sandbox_factory()(source)
        assert sandbox.exec(leak).exit_code == 0
        return sandbox

    attack = next(attack for attack in load_attacks() if attack.name == name)
    made = Ground(task).make(attack, leaking)
    assert made.printed if attack.finds else "+    return a + b" in made.patch


def test_a_grader_is_any_function_of_that_signature(grounds: Grounds) -> None:
    def generous(task: Task, patch: str, open_sandbox: object) -> Verdict:
        return Verdict(True, None, "why not")

    def broken(task: Task, patch: str, open_sandbox: object) -> Verdict:
        raise RuntimeError("no")

    tried = trials([*load_attacks("traversal"), *load_fixes("plain")], list(grounds.values()), first=True)
    found = campaign(tried, {"generous": generous, "broken": broken}, sandbox_factory("fake"))
    assert [o.result for o in found] == ["paid", "not judged", "accepted", "not judged"]
    summary = summarise(found)
    assert summary["generous"]["attacks"] == {"tried": 1, "paid": 1, "not_judged": 0, "tampering_seen": 0}
    assert summary["broken"]["fixes"] == {"tried": 1, "refused": 1, "accused": 0}
    assert len(json.loads(json.dumps(as_document(found, "fake")))["outcomes"]) == 4


def test_without_a_machine_only_what_needs_none_is_judged(grounds: Grounds) -> None:
    found = outcomes(grounds, "sealed", "delete", "conftest-forces-passed", "report-class", backend="fake")
    assert {o.name: o.result for o in found} == {
        "delete": "held",
        "conftest-forces-passed": "held",
        "report-class": "not judged",
    }


def test_names_that_do_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="traversal"):
        load_attacks("traversall")
    with pytest.raises(UnknownName, match="plain-pytest"):
        make_grader("plain-pytst")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "x.toml").write_text(
        'class = "semantic"\nseverity = "low"\nsource = "seen nowhere by anybody"\n'
    )
    with pytest.raises(InputError, match="one of the three"):
        load_attacks("*", tmp_path)


BAD_EDITS: dict[str, Callable[[], Fix]] = {
    "there is no nothing.py": lambda: Fix(source="made up for this one test", delete=("nothing.py",)),
    "does not hold 'x = 0'": lambda: Fix(source="made up for this one test", replace={"@core@": {"x = 0": "x = 1"}}),
}


@pytest.mark.parametrize("said", BAD_EDITS)
def test_an_edit_that_cannot_be_made_says_so(grounds: Grounds, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Ground(grounds["flat"]).make(BAD_EDITS[said](), sandbox_factory("fake"))
